"""A test set that nobody looks at before the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.core.promises import of_many
from minicnn.data.dataset import Dataset
from minicnn.errors import OptionError

__all__ = ["Sealed"]


class Sealed(Dataset[Any]):
    """A data set whose samples are refused until it is opened.

    A figure on test images that were looked at while choices were made is too good. So a training, a search
    and an experiment hold their test images sealed, and open them once, when all is decided.

    Parameters
    ----------
    dataset : Dataset
        The test images.

    Raises
    ------
    OptionError
        If a sample is asked for before :meth:`open`.

    Examples
    --------
    >>> test = Sealed(["a", "b"])
    >>> len(test)
    2
    >>> test[0]
    Traceback (most recent call last):
    ...
    minicnn.errors.OptionError: the test set is sealed until the end; choose on validation images
    >>> test.open()[0]
    'a'
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.is_open = False

    def open(self) -> Any:
        """The data set itself, from now on open."""
        self.is_open = True
        return self._dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:
        self._refuse_closed()
        return self._dataset[index]

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any] | None:
        self._refuse_closed()
        many = of_many(self._dataset)
        return None if many is None else many(indices)

    def _refuse_closed(self) -> None:
        if not self.is_open:
            raise OptionError("the test set is sealed until the end", hint="choose on validation images")
