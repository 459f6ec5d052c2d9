"""Specs that describe the same network: the same tensors and the same function of them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from math import ceil
from typing import NamedTuple, get_args

from resnetlib.config import DenseNetSpec, Shortcut, Spec, StrideIn
from resnetlib.modules.residual import Bottleneck, bottleneck_width


class Change(NamedTuple):
    """What a block does to the shape of a map."""

    c_in: int
    c_out: int
    stride: int

    @property
    def same(self) -> bool:
        """Whether it leaves the shape as it is."""
        return self.stride == 1 and self.c_in == self.c_out


def changes(block: str, depths: Sequence[int], widths: Sequence[int]) -> list[Change]:
    """List what each block does to the shape.

    Args:
        block: "basic" or "bottleneck".
        depths: blocks in each stage.
        widths: width of each stage; the stem has the first one's.

    Returns:
        One change for each block, first to last.

    Example:
        >>> [tuple(change) for change in changes("basic", (1, 2), (8, 16))]
        [(8, 8, 1), (8, 16, 2), (16, 16, 1)]
    """
    expansion = Bottleneck.expansion if block == "bottleneck" else 1
    found, channels = [], widths[0]
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        for index in range(depth):
            found.append(Change(channels, width * expansion, 2 if stage and index == 0 else 1))
            channels = width * expansion
    return found


def simplest(spec: Spec) -> Spec:
    """Return the spec that stands for all that describe the same network.

    An option that makes no difference there has its default, and initialisation, which is of the past once there are weights, is
    "he"; Fixup stays what it is, because its layers are others.

    Args:
        spec: the architecture.

    Returns:
        An equal spec for two networks if and only if they are the same network.

    Example:
        >>> from dataclasses import replace
        >>> from resnetlib import spec_of
        >>> simplest(replace(spec_of("resnet18"), init="zero_init_residual")) == spec_of("resnet18")
        True
    """
    if isinstance(spec, DenseNetSpec):
        widths = spec.stage_widths()
        given = [width + depth * spec.growth for width, depth in zip(widths, spec.depths, strict=True)]
        return replace(spec, compression=share_of(zip(given, widths[1:], strict=False)))
    found = changes(spec.block, spec.depths, spec.widths)
    shortcut = spec.shortcut
    if spec.join == "replace":
        shortcut = "B"
    elif shortcut == "C":
        shortcut = "C" if any(change.same for change in found) else "B"
    elif shortcut != "B":
        changing = [change for change in found if not change.same]
        shortcut = "B" if not changing else "A" if all(change.c_out - change.c_in < 2 for change in changing) else shortcut
    base_width = spec.base_width
    if spec.block == "bottleneck":
        base_width = base_width_of(spec.widths, [bottleneck_width(width, groups=1, base_width=base_width) for width in spec.widths])
    return replace(
        spec,
        shortcut=shortcut,
        stride_in=spec.stride_in if len(spec.depths) > 1 else "3x3",
        base_width=base_width,
        init="fixup" if spec.init == "fixup" else "he",
    )


@lru_cache(maxsize=256)
def same_networks(spec: Spec) -> tuple[Spec, ...]:
    """List the specs of the same network, the simplest first.

    Args:
        spec: the architecture.

    Returns:
        Those that differ in options that make no difference.

    Example:
        >>> from resnetlib import ResNetSpec
        >>> one_stage = ResNetSpec(block="basic", depths=(2,), widths=(8,))
        >>> [same.shortcut for same in same_networks(one_stage)]
        ['B', 'A', 'A_end']
    """
    least = simplest(spec)
    if isinstance(least, DenseNetSpec):
        return (least,)
    found: list[Spec] = [least]
    strides = get_args(StrideIn) if least.block == "bottleneck" else (least.stride_in,)
    for shortcut, stride_in in product(get_args(Shortcut), strides):
        if shortcut in ("A", "A_end") and list(least.widths) != sorted(least.widths):
            continue
        other = replace(least, shortcut=shortcut, stride_in=stride_in)
        if other != least and simplest(other) == least:
            found.append(other)
    return tuple(found)


def base_width_of(widths: Sequence[int], per_group: Sequence[int]) -> int:
    """Return the base width that gives each stage's bottlenecks so many channels in a group.

    Args:
        widths: of the stages.
        per_group: channels in a group.

    Returns:
        64 if that is one of those that do, otherwise the least.

    Raises:
        ValueError: if none does.

    Example:
        >>> base_width_of((64, 128, 256, 512), (4, 8, 16, 32))
        4
    """
    least = max(-(-64 * channels // width) for width, channels in zip(widths, per_group, strict=True))
    most = min((64 * (channels + 1) - 1) // width for width, channels in zip(widths, per_group, strict=True))
    if not 0 < least <= most:
        raise ValueError(
            f"no base_width gives bottlenecks of the widths {tuple(widths)[:8]} so many channels in a group: {per_group[:8]}"
        )
    return 64 if least <= 64 <= most else least


def share_of(pairs: Iterable[tuple[int, int]]) -> float:
    """Return the share of channels that all transitions keep, rounded down.

    Args:
        pairs: channels in and channels out of each.

    Returns:
        A half, or else all, or else the number of fewest decimals that does.

    Raises:
        ValueError: if none does.

    Example:
        >>> share_of([(256, 128), (512, 256)]), share_of([(100, 75)])
        (0.5, 0.75)
    """
    pairs = list(pairs)
    least = max((c_out / c_in for c_in, c_out in pairs), default=0.5)
    shares: list[float] = [0.5, 1.0, *(ceil(least * 10**digits) / 10**digits for digits in range(1, 16)), least]
    for share in shares:
        if 0 < share <= 1 and all(int(c_in * share) == c_out for c_in, c_out in pairs):
            return share
    raise ValueError(f"no compression makes transitions of these channels in and out: {pairs[:8]}")
