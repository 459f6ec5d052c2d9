"""Batches in pieces, whose maps stay in a CPU's caches."""

import math

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

CACHED = 32 * 3 * 32 * 32
"""So many numbers of 32 bits a piece of a batch may have on a CPU: 32 images of CIFAR. The maps of many more leave the caches."""


def pieces_of(x: Tensor, *, half: bool, compiled: bool) -> tuple[Tensor, ...]:
    """Divide a batch into pieces of equal size, but for the last.

    Args:
        x: its images.
        half: numbers are half as long: pieces are twice as large.
        compiled: fewer maps are written: pieces are twice as large; and of one size, if a size not much smaller allows it, since
            each is compiled by itself.

    Returns:
        The pieces.
    """
    room = CACHED * (2 if half else 1) * (2 if compiled else 1)
    most = max(1, room // x[0].numel())
    even = [size for size in range(most, most // 2, -1) if len(x) % size == 0] if compiled and len(x) > most else []
    pieces: tuple[Tensor, ...] = x.split(even[0] if even else math.ceil(len(x) / math.ceil(len(x) / most)))
    return pieces


def looks_at_batches(module: nn.Module) -> bool:
    """Tell whether a module is a norm that uses a batch's statistics in evaluation too."""
    return isinstance(module, _BatchNorm) and module.running_mean is None
