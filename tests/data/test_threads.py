"""Work done ahead in threads, and how they end."""

import threading

import pytest

from minicnn.data.threads import ordered_in_threads


def test_workers_that_hang_share_the_time_to_end(monkeypatch):
    """All of them, and not each: 0.2 seconds, where each would take as long."""
    released, granted, join = threading.Event(), [], threading.Thread.join
    monkeypatch.setattr(
        threading.Thread, "join", lambda one, time=None: granted.append(time) or join(one, time)
    )
    results = ordered_in_threads(
        lambda task: released.wait(20), iter(range(8)), workers=8, ahead=8, timeout=0.2, init=None
    )
    with pytest.raises(TimeoutError):
        next(results)
    released.set()
    assert len(granted) == 8 and sum(granted[1:]) <= 0.2
