"""Checks of arguments. Each raises an error that names the value and what is accepted."""

import re
from collections.abc import Sequence
from math import isfinite
from numbers import Real
from operator import index
from typing import SupportsIndex

import torch
from torch import Tensor, nn

from resnetlib.config.integers import as_integer
from resnetlib.errors import InputError, InputTypeError

Indices = SupportsIndex | Sequence[SupportsIndex] | None
"""A selection of feature maps: the last n, or indices (negative ones count from the end), or all."""


def check_module(module: object) -> None:
    """Raise TypeError for anything but a module."""
    if not isinstance(module, nn.Module):
        raise InputTypeError(f"expected a torch.nn.Module, got {type(module).__name__}")


def check_number(name: str, value: object) -> None:
    """Raise TypeError for anything but a real number, and ValueError for NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputTypeError(f"{name} must be a number, got {value!r:.200}")
    if not isfinite(value):
        raise InputError(f"{name} must be finite, got {value}")


def check_probability(name: str, value: float) -> None:
    """Raise ValueError unless `value` is at least 0 and below 1."""
    try:
        valid = bool(0 <= value < 1)
    except (TypeError, ValueError, RuntimeError):
        valid = False
    if not valid:
        raise InputError(f"{name} must be at least 0 and below 1, got {value}")


def check_device(device: torch.device | str | int) -> None:
    """Raise ValueError if a device is not available."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise InputError(f"device {device!r} cannot be used: {str(error).partition(chr(10))[0]}") from error


def check_dtype(dtype: torch.dtype | None) -> None:
    """Raise TypeError unless a network's parameters can have this dtype."""
    if not (dtype is None or (isinstance(dtype, torch.dtype) and dtype.is_floating_point)):
        raise InputTypeError(f"dtype must be a floating-point torch.dtype, got {dtype!r}")


def select_indices(indices: Indices, available: int) -> set[int]:
    """Return a selection as indices from 0; raise ValueError if it is empty or out of range.

    >>> select_indices(2, 5), select_indices([0, -1], 5)
    ({3, 4}, {0, 4})
    """
    every = range(available)
    if indices is None:
        return set(every)
    if getattr(indices, "ndim", 0) == 0 and (count := as_integer(indices)) is not None:  # a tensor of one index is a list
        if not 1 <= count <= available:
            raise InputError(f"indices, as a number of last maps, must be 1 to {available}, got {indices}")
        return set(every[-count:])
    try:
        selected = {every[index(i)] for i in indices}  # type: ignore[union-attr]
    except (IndexError, TypeError):
        selected = set()
    if not selected:
        raise InputError(f"indices must be a number of last maps, or some of {-available} to {available - 1}, got {indices!r}")
    return selected


def check_images(x: Tensor, channels: int, smallest: int) -> None:
    """Raise an error unless `x` is images `(N, channels, H, W)` of at least `smallest` x `smallest` pixels."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return  # sizes are tensors, and a branch on them would be lost
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        pixels = isinstance(x, Tensor) and x.dtype == torch.uint8
        advice = ": normalize x / 255, or give net.preprocess(x) if the network has pretrained weights" if pixels else ""
        raise InputTypeError(f"expected images, a floating-point tensor (N, {channels}, H, W), got {got}{advice}")
    if x.ndim != 4 or x.shape[1] != channels or x.shape[2] < smallest or x.shape[3] < smallest:
        raise InputError(
            f"expected images (N, {channels}, H, W) with H and W at least {smallest}, got a tensor of shape {tuple(x.shape)}"
        )


def raise_with_advice(error: Exception, module: nn.Module, x: Tensor) -> None:
    """Raise an error with advice if PyTorch's error is about the dtype of `x`, or about a batch of one image in training."""
    if "more than 1 value per channel" in str(error):
        raise InputError(
            "batch norms cannot train on one image where its feature map is one pixel: give more images or larger ones, or freeze "
            f"the norms with resnetlib.frozen_batchnorm(net). {error}"
        ) from error
    dtype = next((weight.dtype for weight in module.parameters()), x.dtype)
    if isinstance(x, Tensor) and dtype != x.dtype and re.search("dtype|scalar type|Input type", str(error)):
        convert = ", or convert the network with net.double()" if x.dtype == torch.float64 else ""
        raise InputTypeError(f"images are {x.dtype}, but weights are {dtype}: give images.to({dtype}){convert}. {error}") from error
