"""What is not printed: figures of a busy machine, and figures that cannot be."""

from __future__ import annotations

__all__ = ["BUSY", "MARGIN", "above_roof", "busy"]

BUSY = 0.15  # processors that others may use meanwhile
MARGIN = 1.05  # how far a figure may stand above a roof: both are measured


def busy(other_cpus: float | None, limit: float = BUSY) -> str | None:
    """Why a measurement is worth nothing: others used the machine. None if it was ours, or nobody knows.

    Parameters
    ----------
    other_cpus : float or None
        Processors that other processes used, on average.

    Examples
    --------
    >>> busy(0.5)
    'the machine is busy: others used 0.50 CPU'
    """
    if other_cpus is None or other_cpus <= limit:
        return None
    return f"the machine is busy: others used {other_cpus:.2f} CPU"


def above_roof(fraction: float) -> str | None:
    """Why a figure cannot be: it stands above what the machine gives. None if it does not.

    Examples
    --------
    >>> above_roof(1.2)
    'above the roof: 120 % of what this machine gives'
    """
    if fraction <= MARGIN:
        return None
    return f"above the roof: {100 * fraction:.0f} % of what this machine gives"
