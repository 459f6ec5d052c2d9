"""Checks of integers and other numbers. Each raises an error that names the value and what is accepted."""

from math import nan
from numbers import Real
from operator import index
from typing import SupportsIndex

from resnetlib.config.spec import MAX_WIDTH
from resnetlib.errors import InputError

MAX_INT = 2**63 - 1
"""The largest integer that PyTorch's and NumPy's functions take."""


def as_integer(value: object) -> int | None:
    """Return an integer of any kind as an int, and None for anything else, such as a bool."""
    try:
        return None if isinstance(value, bool) else index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def as_float(value: object) -> float:
    """Convert a real number to float; return NaN for anything else."""
    try:
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan
    except OverflowError:
        return nan


def check_count(name: str, value: SupportsIndex, *, minimum: int, maximum: int = MAX_WIDTH) -> int:
    """Return an integer from `minimum` to `maximum` as an int; raise ValueError for any other value."""
    number = as_integer(value)
    if number is None or number < minimum:
        raise InputError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    if number > maximum:
        raise InputError(f"{name} must be at most {maximum:,}, got {str(number)[:40]}")
    return number


def check_seed(seed: SupportsIndex) -> int:
    """Check a seed, and return it as an int."""
    number = as_integer(seed)
    if number is None or not 0 <= number <= MAX_INT:
        raise InputError(f"seed must be an integer from 0 to 2^63 - 1, got {seed!r}")
    return number
