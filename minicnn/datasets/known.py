"""The data sets that have a name, with torchvision's constructors."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.data.catalog import CATALOG, read_known
from minicnn.data.vision import ImageArrays
from minicnn.errors import FormatError

__all__ = ["CIFAR10", "CIFAR100", "KMNIST", "MNIST", "Digits", "FashionMNIST"]


class _KnownImages(ImageArrays):
    """Images of a data set in the catalog.

    Parameters
    ----------
    root : path-like
        The folder with its files, directly or in the sub-folder that torchvision makes.
    train : bool
        The training images, or those to test with.
    transform, target_transform : callable, optional
        Applied to the image (a PIL image) and to the class index.
    download : bool
        Download what is not there; see :func:`minicnn.data.fetch.fetch`.

    Raises
    ------
    FormatError
        If a file is missing or damaged.
    """

    known: ClassVar[str]

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        known = CATALOG[self.known]
        hint = None if download else "download=True downloads it"
        try:
            arrays = read_known(known, root, train, hint)
        except FormatError:
            if not download:
                raise
            from minicnn.data.fetch import fetch  # which loads the network's modules

            fetch(known.name, root)
            arrays = read_known(known, root, train)
        super().__init__(*arrays, known.classes, transform, target_transform)
        self.root = os.fspath(root)
        self.train = train


class _Tensors(_KnownImages):
    """Those whose ``data`` and ``targets`` are tensors, as torchvision has them; the other are arrays."""

    def _shown(self, array: np.ndarray) -> Tensor:
        return Tensor.wrap(array)


class MNIST(_Tensors):
    """Handwritten digits: 60,000 grey images of 28x28 to train, 10,000 to test, 10 classes.

    Parameters
    ----------
    root : path-like
        The folder with ``train-images-idx3-ubyte`` and its three companions, plain or ``.gz``: directly, in
        ``mnist`` or in ``MNIST/raw``.
    train : bool
        The training images, or those to test with.
    transform, target_transform : callable, optional
        Applied to the image (a PIL image) and to the class index.
    download : bool
        Download what is not there; see :func:`minicnn.data.fetch.fetch`.

    Attributes
    ----------
    data : (N, 28, 28) tensor of uint8
    targets : (N,) tensor of int64
    classes : list of str

    Raises
    ------
    FormatError
        If a file is missing or damaged.

    References
    ----------
    Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".

    Examples
    --------
    >>> MNIST("d")  # doctest: +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
    ...
    minicnn.errors.FormatError: train-images-idx3-ubyte(.gz): not in d/MNIST/raw, d/mnist, d/MNIST or d;
    download=True downloads it
    """

    known = "mnist"


class FashionMNIST(_Tensors):
    """Clothes: 60,000 grey images of 28x28 to train, 10,000 to test, 10 classes.

    The files are named as MNIST's; see :class:`MNIST` for the options. They are looked for in
    ``FashionMNIST/raw`` and ``fashion-mnist`` first.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset", 2017.
    """

    known = "fashion-mnist"


class KMNIST(_Tensors):
    """Japanese cursive characters: 60,000 grey images of 28x28 to train, 10,000 to test, 10 classes.

    The files are named as MNIST's; see :class:`MNIST` for the options. They are looked for in
    ``KMNIST/raw`` and ``kmnist`` first.

    References
    ----------
    T. Clanuwat et al., "Deep Learning for Classical Japanese Literature", 2018.
    """

    known = "kmnist"


class CIFAR10(_KnownImages):
    """Photographs: 50,000 colour images of 32x32 to train, 10,000 to test, 10 classes.

    The binary version is read: ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``, in
    ``root`` or in ``cifar-10-batches-bin``. The version for Python is a pickle, which can run any code, and
    is not read. See :class:`MNIST` for the options; ``data`` is an array (N, 32, 32, 3).

    References
    ----------
    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """

    known = "cifar10"


class CIFAR100(_KnownImages):
    """Photographs: 50,000 colour images of 32x32 to train, 10,000 to test, 100 classes.

    The binary version is read: ``train.bin`` and ``test.bin``, in ``root`` or in ``cifar-100-binary``. See
    :class:`MNIST` for the options; ``data`` is an array (N, 32, 32, 3).

    References
    ----------
    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """

    known = "cifar100"


class Digits(_Tensors):
    """The bundled handwritten digits: 1,438 grey images of 8x8 to train, 359 to test, 10 classes.

    The test images are a fixed, stratified fifth; see :func:`minicnn.data.formats.read_digits`.

    Parameters
    ----------
    root : path-like
        Not used: the data come with minicnn.
    train : bool
        The training images, or those to test with.
    transform, target_transform : callable, optional
        Applied to the image (a PIL image) and to the class index.
    download : bool
        Not used.

    Examples
    --------
    >>> digits = Digits(train=False)
    >>> len(digits), digits.data.shape, digits[0][1]
    (359, (359, 8, 8), 7)
    """

    known = "digits"

    def __init__(
        self,
        root: str | os.PathLike[str] = "",
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, train, transform, target_transform, download)
