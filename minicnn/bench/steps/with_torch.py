"""The step of PyTorch, with the options that make it fastest: fused Adam, and channels_last on request."""

from __future__ import annotations

from typing import Any

import torch  # type: ignore[import-not-found, unused-ignore]
import torch.nn.functional as F  # type: ignore[import-not-found, unused-ignore]
from torch import nn

from . import networks
from .job import Job, Step


class Block(nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """A residual block; its shortcut skips pixels and adds channels of zeros."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.stride, self.more = stride, (c_out - c_in) // 2

    def forward(self, x: Any) -> Any:
        y = self.main(x)
        if self.more:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        return F.relu(x + y)


BUILDERS: dict[str, Any] = {
    "conv": lambda c_in, c_out, kernel, stride, padding, groups, bias: nn.Conv2d(
        c_in, c_out, kernel, stride, padding, groups=groups, bias=bias
    ),
    "bn": nn.BatchNorm2d,
    "relu": nn.ReLU,
    "pool": lambda: nn.MaxPool2d(2),
    "mean": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "flatten": nn.Flatten,
    "linear": nn.Linear,
    "block": Block,
}


def prepare(
    job: Job, images: Any, labels: Any, channels_last: bool = False, compiled: bool = False
) -> tuple[Step, dict[str, Any]]:
    """The step, and facts about it; see :mod:`.job`."""
    torch.manual_seed(0)
    torch.set_num_threads(job.threads)
    net = nn.Sequential(*(BUILDERS[kind](*sizes) for kind, *sizes in networks.LAYERS[job.model]))
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    if channels_last and x.dim() == 4:
        net = net.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    net.train(job.mode == "train")
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    forward = torch.compile(net) if compiled else net

    def train() -> None:
        optimizer.zero_grad()
        loss = F.cross_entropy(forward(x), y)
        loss.backward()
        optimizer.step()

    def infer() -> None:
        with torch.no_grad() if compiled else torch.inference_mode():
            forward(x)

    facts = {"version": torch.__version__, "parameters": sum(p.numel() for p in net.parameters())}
    return train if job.mode == "train" else infer, facts
