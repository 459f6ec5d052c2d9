"""What callers of analyses may pass."""

from collections.abc import Iterable
from math import inf, isfinite, nan
from typing import SupportsFloat, SupportsIndex, TypeVar

from torch import nn

from resnetlib.analysis.intact import unwrapped
from resnetlib.modules import Backbone
from resnetlib.modules.arguments import as_integer

T = TypeVar("T")


def as_backbone(net: nn.Module) -> Backbone:
    """Return a network, unwrapped; raise ValueError unless it is one of the library's, of which more is known than its blocks."""
    net = unwrapped(net)
    if not isinstance(net, Backbone):
        raise ValueError(
            f"the network must be one of resnetlib's (resnetlib.Backbone), not inside of another module, got {type(net).__name__}"
        )
    return net


def check_numbers(name: str, numbers: Iterable[SupportsFloat], *, least: float = -inf, fewest: int = 1) -> tuple[float, ...]:
    """Return numbers as a tuple; raise ValueError unless they are finite, at least `least`, and not fewer than `fewest`."""
    given = listed(numbers)
    floats = [_as_float(number) for number in given or ()]
    if given is None or len(floats) < fewest or not all(least <= number and isfinite(number) for number in floats):
        accepted = "finite numbers" if least == -inf else f"finite numbers of at least {least:g}"
        raise ValueError(f"{name} must be a sequence of {accepted}, {fewest} or more, got {numbers if given is None else given!r}")
    return tuple(floats)


def check_integers(
    name: str, numbers: Iterable[SupportsIndex], least: int, largest: int | None = None, *, different: bool = True
) -> tuple[int, ...]:
    """Return integers as a tuple; raise ValueError unless there are some, from `least` to `largest`, and different if they must."""
    given = listed(numbers)
    found = [integer for number in given or () if (integer := as_integer(number)) is not None]
    fit = all(least <= integer and (largest is None or integer <= largest) for integer in found)
    if not given or len(found) < len(given) or not fit or (different and len(set(found)) < len(found)):
        accepted = f"of at least {least}" if largest is None else f"from {least} to {largest}"
        kind = "different integers" if different else "integers"
        raise ValueError(f"{name} must be a sequence of {kind} {accepted}, 1 or more, got {numbers if given is None else given!r}")
    return tuple(found)


def listed(values: Iterable[T]) -> tuple[T, ...] | None:
    """Return the items of a sequence; None for text, and for what is no sequence, whatever its type was said to be."""
    try:
        return None if isinstance(values, str | bytes) else tuple(values)
    except TypeError:
        return None


def _as_float(value: object) -> float:
    """Return a number as Python's; NaN for anything else, True and False included."""
    try:
        return nan if isinstance(value, bool | str) else float(value)  # type: ignore[arg-type] # which is what is asked
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return nan
