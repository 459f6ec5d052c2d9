"""Random crops and flips of whole batches, on the device where the images are."""

import torch
from torch import Tensor
from torch.nn import functional


def pad_crop_flip(images: Tensor, *, pad: int = 4, generator: torch.Generator | None = None) -> Tensor:
    """Pad with zeros, crop back to the old size at random, and flip with probability 1/2, each image on its own draws.

    Shapes:
        `(N, C, H, W)` -> `(N, C, H, W)`, of the same dtype, in the memory format channels_last.

    Args:
        images: a batch.
        pad: pixels on each side.
        generator: of the draws, on the CPU; torch's own by default.

    Returns:
        The batch, changed.

    Source:
        arXiv 1512.03385, sec. 4.2.

    Example:
        >>> pad_crop_flip(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape
        torch.Size([2, 3, 32, 32])
    """
    n, _, height, width = images.shape
    top, left = torch.randint(2 * pad + 1, (2, n, 1), generator=generator)
    flip = torch.rand((n, 1), generator=generator) < 0.5
    rows = top + torch.arange(height)
    columns = left + torch.arange(width)
    columns = torch.where(flip, columns.flip(1), columns)
    which, rows, columns = (i.to(images.device) for i in (torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]))
    padded = functional.pad(images, (pad, pad, pad, pad))
    return padded[which, :, rows, columns].permute(0, 3, 1, 2)
