"""Modules that run one after the other."""

from torch import Tensor, nn

Parts = tuple[nn.Module, ...]
"""What makes a section of a network: its stem, a stage, its tail."""


def run(parts: Parts, x: Tensor) -> Tensor:
    """Run modules one after the other."""
    for part in parts:
        x = part(x)
    return x
