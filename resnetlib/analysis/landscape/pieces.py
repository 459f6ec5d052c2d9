"""Batches in pieces, whose maps stay in a CPU's caches."""

import math

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnetlib.analysis.batches import Batch

CACHED = 32 * 3 * 32 * 32
"""So many numbers of 32 bits a piece of a batch may have on a CPU: 32 images of CIFAR. The maps of many more leave the caches."""


def pieces_of(batches: list[Batch], *, half: bool, compiled: bool) -> list[Batch]:
    """Divide batches into pieces of equal size, but for the last of each.

    Args:
        batches: images and labels.
        half: numbers are half as long: pieces are twice as large.
        compiled: fewer maps are written: pieces are twice as large.

    Returns:
        The pieces.
    """
    room = CACHED * (2 if half else 1) * (2 if compiled else 1)
    pieces: list[Batch] = []
    for x, y in batches:
        size = math.ceil(len(x) / math.ceil(x.numel() / room))
        pieces += list(zip(x.split(size), y.split(size), strict=True))
    return pieces


def looks_at_batches(module: nn.Module) -> bool:
    """Tell whether a module is a norm that uses a batch's statistics in evaluation too."""
    return isinstance(module, _BatchNorm) and module.running_mean is None
