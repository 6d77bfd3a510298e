"""What all transforms share, and chains of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minicnn.core.promises import of_transform
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError

__all__ = ["Compose", "Lambda", "Transform", "to_transforms"]


class Transform:
    """Base of the transforms: calling one turns an image into what it makes of it.

    A subclass defines ``forward``, which ``__call__`` calls as in torchvision, or ``__call__`` itself. The
    attributes let a data set in memory spare the way through Pillow. They are promises of the class that they
    are written in: one that comes before it, a subclass or a class mixed in, and defines one of the two or
    ``get_params`` has not made them. See :func:`minicnn.core.promises.of_transform`.

    Attributes
    ----------
    keeps_arrays : bool
        A uint8 array gives an array of the same pixels that a PIL image gives an image of.
    takes_arrays : bool
        A uint8 array gives the very result that a PIL image gives.
    on_batch : callable or None
        From uint8 arrays (N, H, W[, C]), or a tensor (N, C, H, W), to all results at once: arrays of such
        shapes where ``keeps_arrays``, a tensor otherwise. What is random draws for each sample what it would
        draw for it alone; see :func:`minicnn.core.random.uniforms_of_samples`.
    on_batch_with : callable or None
        ``on_batch_with(following)``: what does the work of both on a batch in one pass, or None.
    fitted_on : array or None
        The fingerprints of the samples that it was fitted on; see :func:`minicnn.data.check_fitted`.

    Examples
    --------
    >>> class Invert(Transform):
    ...     def forward(self, image):
    ...         return 1 - image
    >>> Invert()
    Invert()
    """

    keeps_arrays: Any = False
    takes_arrays: Any = False
    on_batch: Any = None
    on_batch_with: Any = None
    fitted_on: Any = None

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What a call does."""
        raise NotImplementedError(f"{type(self).__name__} has to define __call__ or forward")

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({options})"


def to_transforms(transforms: Sequence[Callable[..., Any]], op: str) -> list[Callable[..., Any]]:
    """A list of what can be called, checked."""
    given = list(transforms)
    for transform in given:
        if not callable(transform):
            raise OptionError(expected="transforms that can be called", got=repr(transform), op=op)
    return given


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
        self.transforms = to_transforms(transforms, "Compose")

    def forward(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    @property
    def keeps_arrays(self) -> bool:
        """True if each of them does."""
        return all(of_transform(transform, "keeps_arrays") for transform in self.transforms)

    @property
    def takes_arrays(self) -> bool:
        """True if what comes up to the first conversion to a tensor treats arrays as images."""
        for transform in self.transforms:
            if of_transform(transform, "takes_arrays"):
                return True
            if not of_transform(transform, "keeps_arrays"):
                return False
        return False

    @property
    def on_batch(self) -> Callable[[Any], Tensor] | None:
        """All transforms on a batch at once, if each of them can.

        What moves pixels takes arrays (N, H, W[, C]) alone, and so only stands before the first tensor.
        """
        if not self.takes_arrays:
            return None
        first = [bool(of_transform(t, "takes_arrays")) for t in self.transforms].index(True)
        if any(of_transform(t, "keeps_arrays") for t in self.transforms[first + 1 :]):
            return None
        steps = _on_batch(self.transforms)
        if None in steps:
            return None

        def run(images: Any) -> Tensor:
            for step in steps:
                images = step(images)
            return images

        return run

    def __repr__(self) -> str:
        return "\n".join(["Compose(", *(f"    {transform!r}" for transform in self.transforms), ")"])


def _on_batch(transforms: Sequence[Any]) -> list[Any]:
    """What each of them, or two neighbours in one pass, does to a batch; None for those that cannot."""
    if not transforms:
        return []
    first, *rest = transforms
    join = of_transform(first, "on_batch_with")
    both = join(rest[0]) if join and rest else None
    if both is not None:
        return [both, *_on_batch(rest[1:])]
    return [of_transform(first, "on_batch"), *_on_batch(rest)]


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

    def forward(self, image: Any) -> Any:
        return self.lambd(image)

    def __repr__(self) -> str:
        return "Lambda()"
