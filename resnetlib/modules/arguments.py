"""What callers may pass, and what they are told where it is something else."""

from collections.abc import Sequence
from operator import index
from typing import SupportsIndex

import torch
from torch import Tensor, nn

from resnetlib.config.spec import LARGEST
from resnetlib.errors import InputError, InputTypeError

Indices = SupportsIndex | Sequence[SupportsIndex] | None
"""Which of some things: the last so many, or their numbers, negative ones counted from the end, or all."""


def check_module(module: object) -> None:
    """Raise TypeError for what is no module."""
    if not isinstance(module, nn.Module):
        raise InputTypeError(f"expected a torch.nn.Module, got {type(module).__name__}")


def check_probability(name: str, value: float) -> None:
    """Raise ValueError unless `value` is at least 0 and below 1."""
    try:
        fits = not isinstance(value, str) and 0 <= float(value) < 1
    except (TypeError, ValueError, RuntimeError):
        fits = False
    if not fits:
        raise InputError(f"{name} must be at least 0 and below 1, got {value}")


def as_integer(value: object) -> int | None:
    """Return an integer of any kind, NumPy's or a tensor's, as Python's; None for anything else, True and False included."""
    try:
        return None if isinstance(value, bool) else index(value)  # type: ignore[arg-type] # which is what is asked
    except TypeError:
        return None


def check_count(name: str, value: SupportsIndex, *, least: int) -> int:
    """Return `value` as Python's integer; raise ValueError unless it is one from `least` to `LARGEST`."""
    number = as_integer(value)
    if number is None or number < least:
        raise InputError(f"{name} must be an integer of at least {least}, got {value!r}")
    if number > LARGEST:
        raise InputError(f"{name} must be at most {LARGEST:,}, got {str(number)[:40]}")
    return number


def check_device(device: torch.device | str | int) -> None:
    """Raise ValueError if the device is not available."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InputError(f"device {device!r} cannot be used: {str(error).partition(chr(10))[0]}") from error


def wanted_indices(indices: Indices, available: int) -> set[int]:
    """Return the numbers of what a caller asks for.

    Args:
        indices: the last so many, or their numbers, negative ones counted from the end, or None for all.
        available: how many there are.

    Returns:
        Numbers from 0 to `available - 1`.

    Raises:
        ValueError: for one that there is not.

    Example:
        >>> wanted_indices(2, 5), wanted_indices([0, -1], 5)
        ({3, 4}, {0, 4})
    """
    if indices is None:
        return set(range(available))
    if isinstance(indices, SupportsIndex):
        if not 1 <= index(indices) <= available:
            raise InputError(f"indices, as a number of last maps, must be 1 to {available}, got {indices}")
        return set(range(available - index(indices), available))
    if not isinstance(indices, Sequence) or isinstance(indices, str):
        raise InputError(f"indices must be a number of last maps, or some of {-available} to {available - 1}, got {indices!r}")
    numbers = [i for i in indices if isinstance(i, SupportsIndex) and -available <= index(i) < available]
    if len(numbers) < len(indices) or not numbers:
        raise InputError(f"indices must be some of {-available} to {available - 1}, got {list(indices)}")
    return {index(i) % available for i in numbers}


def check_images(x: Tensor, channels: int, smallest: int) -> None:
    """Say what a network expects, before a layer deep inside says what went wrong.

    Args:
        x: the input.
        channels: that it must have.
        smallest: height and width that it must have at least.

    Raises:
        ValueError: if it is no batch of such images.
        TypeError: if it is no tensor, or one of integers.
    """
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return  # sizes are tensors there, and a branch on them would be lost
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise InputTypeError(f"expected images, a tensor (N, {channels}, H, W) of floating point numbers, got {got}")
    if x.ndim != 4 or x.shape[1] != channels or x.shape[2] < smallest or x.shape[3] < smallest:
        raise InputError(
            f"expected images (N, {channels}, H, W) with H and W at least {smallest}, got a tensor of shape {tuple(x.shape)}"
        )
