"""Compare specs, and tensors with those of a network."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import ceil

from torch import Tensor

from resnetlib.config import DenseNetSpec, Shortcut, Spec
from resnetlib.errors import InputError
from resnetlib.models.catalog import SPECS


def same_network(a: Spec, b: Spec) -> bool:
    """Return whether two specs differ at most in initialization, and in options without effect on this network."""
    return a == b or canonical_spec(a) == canonical_spec(b)


def canonical_spec(spec: Spec) -> Spec:
    """Return the spec with the default for initialization and for each option that has no effect on this network."""
    if isinstance(spec, DenseNetSpec):
        widths = spec.stage_widths()
        given = [width + depth * spec.growth for width, depth in zip(widths, spec.depths, strict=True)]
        return replace(spec, compression=infer_compression(zip(given, widths[1:], strict=False)))
    shortcut: Shortcut = spec.shortcut
    bottleneck = spec.block == "bottleneck"
    if spec.join == "replace" or (shortcut == "C" and bottleneck and max(spec.depths) == 1):
        shortcut = "B"
    elif shortcut in ("A", "A_end") and not bottleneck:  # the shape changes where a later stage begins
        added = [after - before for before, after in pairwise(spec.widths)]
        shortcut = "B" if not added else "A" if max(added) < 2 else shortcut
    base_width = spec.base_width
    if bottleneck:
        base_width = infer_base_width(spec.widths, [width * base_width // 64 for width in spec.widths])
    return replace(
        spec,
        shortcut=shortcut,
        stride_in=spec.stride_in if len(spec.depths) > 1 else "3x3",
        base_width=base_width,
        init="fixup" if spec.init == "fixup" else "he",  # Fixup adds layers
    )


def infer_base_width(widths: Sequence[int], per_group: Sequence[int]) -> int:
    """Return the base width for bottlenecks with these channels in a group; 64 if several are possible."""
    least = max(-(-64 * channels // width) for width, channels in zip(widths, per_group, strict=True))
    most = min((64 * (channels + 1) - 1) // width for width, channels in zip(widths, per_group, strict=True))
    if not 0 < least <= most:
        raise InputError(
            f"no base_width gives bottlenecks of the widths {tuple(widths)[:8]} these channels in a group: {per_group[:8]}"
        )
    return 64 if least <= 64 <= most else least


def infer_compression(pairs: Iterable[tuple[int, int]]) -> float:
    """Return the compression for transitions with these input and output channels: 0.5, 1.0, or that of the fewest decimals."""
    pairs = list(pairs)
    least = max((c_out / c_in for c_in, c_out in pairs), default=0.5)
    shares: list[float] = [0.5, 1.0, *(ceil(least * 10**digits) / 10**digits for digits in range(1, 16)), least]
    for share in shares:
        if 0 < share <= 1 and all(int(c_in * share) == c_out for c_in, c_out in pairs):
            return share
    raise InputError(f"no compression makes transitions of these channels in and out: {pairs[:8]}")


@cache
def _names() -> Mapping[Spec, str]:
    return {
        canonical_spec(spec): name for name, spec in reversed(list(SPECS.items()))
    }  # reversed: a spec of two names gets the first


def name_of(spec: Spec) -> str:
    """Return the name of a known network, or ""."""
    return _names().get(canonical_spec(spec), "")


def state_dict_problems(own: Mapping[str, Tensor], given: Mapping[str, Tensor], unknown: Sequence[str] = ()) -> list[str]:
    """Return a line for each way in which tensors differ from a network's own; none if they fit.

    `num_batches_tracked` may be missing, as in old files.
    """
    both = [(key, own[key], given[key]) for key in own if key in given]
    integers = [f"{key} ({b.dtype})" for key, a, b in both if a.is_floating_point() and not b.is_floating_point()]
    return [
        *listed("missing", [key for key in own if key not in given and not key.endswith("num_batches_tracked")]),
        *listed("unexpected", [*unknown, *(key for key in given if key not in own)]),
        *listed("of another shape", [f"{key} {tuple(b.shape)}, not {tuple(a.shape)}" for key, a, b in both if a.shape != b.shape]),
        *listed("not floating", integers),
    ]


def listed(what: str, names: Sequence[str], shown: int = 8) -> list[str]:
    """Return a line with the number of names and the first few; no line if there are none."""
    more = f" ... and {len(names) - shown} more" if len(names) > shown else ""
    return [f"  {len(names)} {what}: {', '.join(name[:200] for name in names[:shown])}{more}"] if names else []
