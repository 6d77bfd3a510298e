"""Images a second from files, decoded by Pillow: minicnn's loader, and PyTorch's with the same decoding.

    python benchmarks/loading.py minicnn|torch FOLDER [--workers N] [--processes] [--images N]

The folder has one folder of images, all of one size, for each class. One pass comes before the measured one.
"""

from __future__ import annotations

import argparse
import glob
import os
import time
from typing import Any

import numpy as np
from PIL import Image


class Files:
    """What torchvision's ImageFolder with ToTensor gives, for where there is only PyTorch."""

    def __init__(self, torch: Any, folder: str) -> None:
        self.torch = torch
        self.paths = sorted(glob.glob(os.path.join(glob.escape(folder), "*", "*")))
        classes = sorted({os.path.dirname(path) for path in self.paths})
        self.labels = [classes.index(os.path.dirname(path)) for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        with Image.open(self.paths[index]) as image:
            pixels = np.array(image.convert("RGB"))
        planes = self.torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
        return planes.to(self.torch.float32).div(255), self.labels[index]


def loader(args: argparse.Namespace) -> Any:
    """The loader of a framework, in one order."""
    options: dict[str, Any] = {"batch_size": args.batch_size, "num_workers": args.workers}
    if args.framework == "torch":
        import torch

        torch.set_num_threads(1)
        data: Any = Files(torch, args.folder)
        subset: Any = torch.utils.data.Subset(data, range(min(args.images, len(data))))
        return torch.utils.data.DataLoader(subset, **options)
    from minicnn import datasets, transforms
    from minicnn.data import DataLoader, Subset

    data = datasets.ImageFolder(args.folder, transform=transforms.ToTensor())
    if args.processes:
        options["multiprocessing_context"] = "spawn"
    return DataLoader(Subset(data, range(min(args.images, len(data)))), **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=("minicnn", "torch"))
    parser.add_argument("folder")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--processes", action="store_true", help="minicnn: no threads")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=2000)
    args = parser.parse_args()
    batches = loader(args)
    sum(len(labels) for _, labels in batches)
    before, start = os.times(), time.perf_counter()
    count = sum(len(labels) for _, labels in batches)
    seconds, after = time.perf_counter() - start, os.times()
    used = sum(after[:4]) - sum(before[:4])  # of the workers too
    kind = "processes" if args.framework == "torch" or args.processes else "threads"
    what = f"{args.framework}, {args.workers} {kind}"
    print(f"| {what} | {count / seconds:,.0f} | {used / seconds:.2f} | {count / used:,.0f} |")


if __name__ == "__main__":
    main()
