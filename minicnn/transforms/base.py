"""What all transforms share, and chains of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError

__all__ = ["Compose", "Lambda", "Transform"]


class Transform:
    """Base of the transforms: calling one turns an image into what it makes of it.

    The three attributes let a data set in memory spare the way through Pillow. A subclass that defines
    ``__call__`` without them makes no such promise, whatever its base said.

    Attributes
    ----------
    keeps_arrays : bool
        A uint8 array gives an array of the same pixels that a PIL image gives an image of.
    takes_arrays : bool
        A uint8 array gives the very result that a PIL image gives.
    on_batch : callable or None
        From uint8 arrays (N, H, W[, C]), or a tensor (N, C, H, W), to the tensor of all results at once.

    Examples
    --------
    >>> class Invert(Transform):
    ...     def __call__(self, image):
    ...         return 1 - image
    >>> Invert()
    Invert()
    """

    keeps_arrays: bool = False
    takes_arrays: Any = False
    on_batch: Any = None

    def __init_subclass__(cls) -> None:
        if "__call__" in vars(cls):
            for name, nothing in (("keeps_arrays", False), ("takes_arrays", False), ("on_batch", None)):
                if name not in vars(cls):
                    setattr(cls, name, nothing)

    def __call__(self, image: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to define __call__")

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({options})"


class Compose(Transform):
    """Transforms one after the other.

    Parameters
    ----------
    transforms : sequence of callable
        Each gets what the one before it made.

    Raises
    ------
    OptionError
        If one of them cannot be called.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.transforms import Normalize, ToTensor
    >>> chain = Compose([ToTensor(), Normalize((0.5,), (0.5,))])
    >>> chain(np.array([[0, 255]], np.uint8)).tolist()
    [[[-1.0, 1.0]]]
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)
        for transform in self.transforms:
            if not callable(transform):
                raise OptionError(expected="transforms that can be called", got=repr(transform), op="Compose")

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    @property
    def takes_arrays(self) -> bool:
        """True if what comes up to the first conversion to a tensor treats arrays as images."""
        for transform in self.transforms:
            if getattr(transform, "takes_arrays", False):
                return True
            if not getattr(transform, "keeps_arrays", False):
                return False
        return False

    @property
    def on_batch(self) -> Callable[[Any], Tensor] | None:
        """All transforms on a batch at once, if each of them can."""
        steps = [getattr(transform, "on_batch", None) for transform in self.transforms]
        if not self.takes_arrays or None in steps:
            return None

        def run(images: Any) -> Tensor:
            for step in steps:
                images = step(images)  # type: ignore[misc]
            return images

        return run

    def __repr__(self) -> str:
        return "\n".join(["Compose(", *(f"    {transform!r}" for transform in self.transforms), ")"])


class Lambda(Transform):
    """A function of your own as a transform.

    Examples
    --------
    >>> Lambda(lambda image: image * 2)(21)
    42
    """

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise OptionError(expected="a function", got=repr(lambd), op="Lambda")
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)

    def __repr__(self) -> str:
        return "Lambda()"
