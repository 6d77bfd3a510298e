"""Data: sets, samplers, the loader, readers of files, and sources to train on."""

from minicnn.data.collate import default_collate, default_convert
from minicnn.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split, stratified_split
from minicnn.data.discipline import check_fitted, fingerprints, statistics
from minicnn.data.loader import DataLoader
from minicnn.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "check_fitted",
    "default_collate",
    "default_convert",
    "fingerprints",
    "random_split",
    "statistics",
    "stratified_split",
]
