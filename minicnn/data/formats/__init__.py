"""Readers of data files. Each returns arrays or raises :class:`~minicnn.errors.FormatError`."""

from minicnn.data.formats.cifar import read_cifar10, read_cifar100
from minicnn.data.formats.digits import read_digits
from minicnn.data.formats.idx import read_idx
from minicnn.data.formats.images import open_image

__all__ = ["open_image", "read_cifar10", "read_cifar100", "read_digits", "read_idx"]
