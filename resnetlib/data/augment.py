"""Random crops and flips of whole batches, on the device of the images."""

import torch
from torch import Tensor
from torch.nn import functional

from resnetlib.config.integers import MAX_INT, check_count
from resnetlib.errors import InputError


def pad_crop_flip(images: Tensor, *, pad: int = 4, generator: torch.Generator | None = None) -> Tensor:
    """Pad with zeros, crop at random to the original size, and flip with probability 1/2, independently for each image.

    Shapes:
        `(N, C, H, W)` -> `(N, C, H, W)`, with the same dtype, in the memory format channels_last.

    Args:
        images: a batch.
        pad: pixels on each side.
        generator: a CPU generator; None for torch's default.

    Returns:
        The augmented batch.

    Raises:
        ValueError: if `images` is not a batch, or `pad` is negative.

    Source:
        arXiv 1512.03385, sec. 4.2.

    Example:
        >>> pad_crop_flip(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape
        torch.Size([2, 3, 32, 32])
    """
    _check_shape("images", images, "(N, C, H, W)", 4)
    return crop_flip(images, draw_crops(len(images), pad=pad, generator=generator), pad=pad)


def draw_crops(n: int, *, pad: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw random crops and flips for `crop_flip`.

    Args:
        n: number of images.
        pad: pixels on each side.
        generator: a CPU generator; None for torch's default.

    Returns:
        `(n, 3)`, int64: top and left in the padded image, from 0 to 2 pad, and whether to flip.

    Raises:
        ValueError: if a number is negative.
    """
    n, pad = check_count("n", n, minimum=0, maximum=MAX_INT), check_count("pad", pad, minimum=0)
    corner = torch.randint(2 * pad + 1, (2, n), generator=generator)
    flip = torch.rand(n, generator=generator, dtype=torch.float32) < 0.5
    return torch.stack([*corner, flip], dim=1)


def crop_flip(images: Tensor, crops: Tensor, *, pad: int) -> Tensor:
    """Apply the crops and flips of `draw_crops` to a batch padded with zeros; see `pad_crop_flip`.

    Raises ValueError if the crops are not integers `(N, 3)`, or if they are on the CPU and outside the padded images.
    """
    pad = check_count("pad", pad, minimum=0)
    _check_shape("images", images, "(N, C, H, W)", 4)
    _check_crops(crops, len(images), pad)
    n, _, height, width = images.shape
    top, left, flip = crops.to(images.device).T[:, :, None]
    number, row, column = (torch.arange(size, device=images.device) for size in (n, height, width))
    columns = left + torch.where(flip.bool(), width - 1 - column, column)
    padded = functional.pad(images, (pad, pad, pad, pad))
    return padded[number[:, None, None], :, (top + row)[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _check_shape(name: str, tensor: object, expected: str, dimensions: int) -> None:
    """Check that a tensor has this number of dimensions."""
    if not isinstance(tensor, Tensor) or tensor.ndim != dimensions:
        raise InputError(f"{name} must be a tensor {expected}, got {_described(tensor)}")


def _check_crops(crops: object, n: int, pad: int) -> None:
    """Raise ValueError for crops that are not integers `(n, 3)`, or lie outside the images (checked on the CPU only)."""
    integers = isinstance(crops, Tensor) and not (crops.is_floating_point() or crops.is_complex() or crops.dtype == torch.bool)
    if not isinstance(crops, Tensor) or not integers or crops.shape != (n, 3):
        raise InputError(f"crops must be a tensor of integers ({n}, 3), got {_described(crops)}")
    if crops.device.type != "cpu" or torch.compiler.is_compiling():
        return  # reading them would stall a GPU, and break a graph
    outside = ((crops < 0) | (crops > torch.tensor([2 * pad, 2 * pad, 1]))).any(1)
    if outside.any():
        raise InputError(
            f"crops must be (top, left, flip) with top and left from 0 to {2 * pad}, and flip 0 or 1, got "
            f"{tuple(crops[outside][0].tolist())}"
        )


def _described(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}, {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
