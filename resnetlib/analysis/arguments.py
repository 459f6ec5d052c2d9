"""What callers of analyses may pass."""

from collections.abc import Iterable
from math import inf, isfinite
from operator import index
from typing import SupportsFloat, SupportsIndex, TypeVar

from torch import nn

from resnetlib.analysis.intact import unwrapped
from resnetlib.modules import Backbone

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

    def fits(number: object) -> bool:
        return isinstance(number, SupportsFloat) and least <= float(number) and isfinite(float(number))

    listed = _listed(numbers)
    if listed is None or len(listed) < fewest or not all(map(fits, listed)):
        accepted = "finite numbers" if least == -inf else f"finite numbers of at least {least:g}"
        raise ValueError(f"{name} must be a sequence of {accepted}, {fewest} or more, got {numbers!r}")
    return tuple(map(float, listed))


def check_integers(
    name: str, numbers: Iterable[SupportsIndex], least: int, largest: int | None = None, *, different: bool = True
) -> tuple[int, ...]:
    """Return integers as a tuple; raise ValueError unless there are some, from `least` to `largest`, and no two equal."""

    def fits(number: object) -> bool:
        return isinstance(number, SupportsIndex) and least <= index(number) and (largest is None or index(number) <= largest)

    listed = _listed(numbers)
    if not listed or not all(map(fits, listed)) or (different and len(set(map(index, listed))) < len(listed)):
        accepted = f"of at least {least}" if largest is None else f"from {least} to {largest}"
        kind = "different integers" if different else "integers"
        raise ValueError(f"{name} must be a sequence of {kind} {accepted}, one at least, got {numbers!r}")
    return tuple(map(index, listed))


def _listed(values: Iterable[T]) -> tuple[T, ...] | None:
    """Return the items of a sequence; None for what is no sequence, whatever its type was said to be."""
    try:
        return tuple(values)
    except TypeError:
        return None
