"""Networks whose every number can be worked out by hand, and what all results have in common."""

import math
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor, nn

from resnetlib.analysis import AnalysisResult
from resnetlib.modules import Add, Block, Concat, Join


class Times(Block):
    """F(x) = factor x."""

    def __init__(self, factor: float, join: Join | None = None, *, relu: bool = False, channels: int = 2) -> None:
        join = Add() if join is None else join
        super().__init__(channels, 2 * channels if isinstance(join, Concat) else channels)
        self.factor, self.relu, self.join, self.downsample = factor, relu, join, None

    def branch(self, h: Tensor) -> Tensor:
        return self.factor * h

    def out(self, y: Tensor) -> Tensor:
        return y.relu() if self.relu else y

    def zero_branch_(self) -> None:
        self.factor = 0.0


class Wrapped(nn.Module):
    """A network inside of another, which cannot be looked through."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return y


def logits_of(*blocks: Block) -> nn.Sequential:
    """Blocks one after the other, whose last pixels are the logits."""
    return nn.Sequential(*blocks, nn.Flatten())


def pairs(*rows: tuple[float, float]) -> Tensor:
    """Images of two channels and one pixel."""
    return torch.tensor(rows, dtype=torch.float32).view(-1, 2, 1, 1)


def nll(margin: float) -> float:
    """Cross-entropy of the class whose logit is larger by `margin` than the other."""
    return math.log1p(math.exp(-margin))


def kept_exactly(found: AnalysisResult, folder: Path) -> None:
    """Fail unless a result comes back as it was saved, in both formats."""
    for name in ("found.json", "found.safetensors"):
        found.save(folder / name)
        again = type(found).load(folder / name)
        for field in fields(found):  # type: ignore[arg-type]
            one, other = getattr(found, field.name), getattr(again, field.name)
            same = isinstance(one, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
            assert same or (not isinstance(one, Tensor) and one == other), field.name
