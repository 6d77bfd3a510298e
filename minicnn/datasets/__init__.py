"""Data sets under torchvision's names: MNIST and its followers, CIFAR, the bundled digits, image folders."""

from minicnn.data.vision import ImageFolder
from minicnn.datasets.known import CIFAR10, CIFAR100, KMNIST, MNIST, Digits, FashionMNIST

__all__ = ["CIFAR10", "CIFAR100", "KMNIST", "MNIST", "Digits", "FashionMNIST", "ImageFolder"]
