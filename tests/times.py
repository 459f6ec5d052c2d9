"""A block whose gradients and ratios can be done by hand."""

import torch

from resnetlib import Add
from resnetlib.modules import Block, Concat, Join


class Times(Block):
    """F(x) = factor x."""

    def __init__(self, factor: float, *, join: Join | None = None, relu: bool = False, channels: int = 2) -> None:
        join = Add() if join is None else join
        super().__init__(channels, 2 * channels if isinstance(join, Concat) else channels)
        self.factor, self.relu, self.join, self.downsample = factor, relu, join, None

    def branch(self, h: torch.Tensor) -> torch.Tensor:
        return self.factor * h

    def out(self, y: torch.Tensor) -> torch.Tensor:
        return y.relu() if self.relu else y

    def zero_branch_(self) -> None:
        self.factor = 0.0
