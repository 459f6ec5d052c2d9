"""What callers of analyses may pass."""

from collections.abc import Sequence
from operator import index
from typing import SupportsIndex

from torch import nn

from resnetlib.analysis.intact import unwrapped
from resnetlib.modules import Backbone


def as_backbone(net: nn.Module) -> Backbone:
    """Return a network, unwrapped; raise ValueError unless it is one of the library's, of which more is known than its blocks."""
    net = unwrapped(net)
    if not isinstance(net, Backbone):
        raise ValueError(
            f"the network must be one of resnetlib's (resnetlib.Backbone), not inside of another module, got {type(net).__name__}"
        )
    return net


def check_sizes(name: str, sizes: Sequence[float]) -> tuple[float, ...]:
    """Return sizes as a tuple; raise ValueError unless they are finite and at least 0."""
    listed = tuple(float(size) for size in sizes)
    if not listed or not all(0 <= size < float("inf") for size in listed):
        raise ValueError(f"{name} must be finite numbers of at least 0, one at least, got {listed}")
    return listed


def check_integers(name: str, numbers: Sequence[SupportsIndex], least: int, largest: int) -> tuple[int, ...]:
    """Return integers as a tuple; raise ValueError unless they are different ones from `least` to `largest`."""
    listed = tuple(numbers)
    fit = all(isinstance(number, SupportsIndex) and least <= index(number) <= largest for number in listed)
    if not fit or not 0 < len(listed) == len(set(listed)):
        raise ValueError(f"{name} must be different integers from {least} to {largest}, one at least, got {listed}")
    return tuple(map(index, listed))
