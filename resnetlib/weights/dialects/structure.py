"""From names and shapes to the networks that can have them."""

from collections.abc import Iterable, Mapping
from itertools import product

from resnetlib.config import MOST_STAGES, DenseNetSpec, JoinKind, Norm, Order, ResNetSpec, Shortcut, Spec, Stem, StrideIn
from resnetlib.modules.residual import Bottleneck
from resnetlib.weights.dialects.equivalent import base_width_of, changes, share_of, simplest

Shapes = Mapping[str, tuple[int, ...]]
"""Canonical names and shapes."""

STEMS: Mapping[int, Stem] = {7: "imagenet", 3: "cifar"}
"""By the size of the convolution."""

"""Each stage but the first halves the map, so that more would need images of billions of pixels a side."""


def possible_specs(shapes: Shapes) -> list[Spec]:
    """List the networks that these names and shapes leave open, the likeliest first.

    Only what tells networks apart is looked at: whether all the rest is there, and of the right shape, remains to be seen.

    Args:
        shapes: canonical names and shapes.

    Returns:
        At least one spec, each the simplest of its network.

    Raises:
        ValueError: if they are no network's.

    Example:
        >>> from resnetlib import build, spec_of
        >>> state = build(spec_of("densenet121"), device="meta").state_dict()
        >>> possible_specs({key: tuple(tensor.shape) for key, tensor in state.items()}) == [spec_of("densenet121")]
        True
    """
    specs = _dense_nets(shapes) if "features.conv0.weight" in shapes else _block_nets(shapes)
    return list(dict.fromkeys(simplest(spec) for spec in specs))


def _dense_nets(shapes: Shapes) -> list[Spec]:
    places = (key.split(".") for key in shapes if key.startswith("features.denseblock"))
    found = {(int(parts[1].removeprefix("denseblock")), int(parts[2].removeprefix("denselayer"))) for parts in places}
    depths = _depths(found, first=1)
    first = "features.denseblock1.denselayer1"
    bottleneck = f"{first}.conv2.weight" in shapes
    growth = _channels(shapes, f"{first}.conv{2 if bottleneck else 1}.weight")
    transitions = [f"features.transition{i}.conv.weight" for i in range(1, len(depths))]
    norm: Norm = "none"
    if f"{first}.norm1.weight" in shapes:
        norm = "batch" if f"{first}.norm1.running_mean" in shapes else "group"
    return [
        DenseNetSpec(
            growth=growth,
            depths=depths,
            stem_width=_channels(shapes, "features.conv0.weight"),
            bottleneck=_channels(shapes, f"{first}.conv1.weight") // growth if bottleneck else 0,
            compression=share_of((_channels(shapes, key, axis=1), _channels(shapes, key)) for key in transitions),
            stem=_stem(shapes, "features.conv0.weight"),
            norm=norm,
        )
    ]


def _block_nets(shapes: Shapes) -> list[Spec]:
    places = (key.split(".") for key in shapes if key.startswith("layer"))
    depths = _depths({(int(parts[0].removeprefix("layer")), int(parts[1])) for parts in places}, first=0)
    stages = range(1, len(depths) + 1)
    bottleneck = "layer1.0.conv3.weight" in shapes
    last, expansion = ("conv3", Bottleneck.expansion) if bottleneck else ("conv2", 1)
    widths = tuple(max(1, _channels(shapes, f"layer{i}.0.{last}.weight") // expansion) for i in stages)
    groups, base_width = 1, 64
    if bottleneck:
        middle = [f"layer{i}.0.conv2.weight" for i in stages]
        groups = max(1, _channels(shapes, middle[0]) // _channels(shapes, middle[0], axis=1))
        base_width = base_width_of(widths, [_channels(shapes, key, axis=1) for key in middle])
    norm, orders, fixup = _norms(shapes)
    strides: list[StrideIn] = ["3x3", "1x1"] if bottleneck else ["3x3"]
    specs: list[Spec] = []
    problem = "no network has these names and shapes"
    for order, stride_in, (join, shortcut) in product(orders, strides, _joins(shapes, depths, widths, fixup)):
        stem_norms = [False] if order == "post" else [False, True] if norm == "none" else ["bn1.weight" in shapes]
        for stem_norm in stem_norms:
            try:
                spec = ResNetSpec(
                    block="bottleneck" if bottleneck else "basic",
                    depths=depths,
                    widths=widths,
                    join=join,
                    order=order,
                    shortcut=shortcut,
                    stride_in=stride_in,
                    groups=groups,
                    base_width=base_width,
                    stem=_stem(shapes, "conv1.weight"),
                    stem_norm=stem_norm,
                    norm=norm,
                    init="fixup" if fixup else "he",
                )
            except ValueError as error:
                problem = str(error)
                continue
            specs.append(spec)
    if not specs:
        raise ValueError(problem)
    return specs


def _norms(shapes: Shapes) -> tuple[Norm, list[Order], bool]:
    """Return what normalises, the orders that there can be, and whether there are Fixup's layers."""
    for order, name in (("post", "bn1"), ("pre", "norm1")):
        leaves = [leaf for leaf in ("running_mean", "weight", "shift") if f"layer1.0.{name}.{leaf}" in shapes]
        if leaves:
            norm: Norm = "batch" if "running_mean" in leaves else "group" if "weight" in leaves else "none"
            return norm, ["post" if order == "post" else "pre"], leaves == ["shift"]
    return "none", ["post", "pre"], False


def _joins(shapes: Shapes, depths: tuple[int, ...], widths: tuple[int, ...], fixup: bool) -> list[tuple[JoinKind, Shortcut]]:
    """Return how skip and branch can meet, judged by the blocks that have a projection."""
    kind = "bottleneck" if "layer1.0.conv3.weight" in shapes else "basic"
    changed = [not change.same for change in changes(kind, depths, widths)]
    blocks = [(stage, block) for stage, depth in enumerate(depths, 1) for block in range(depth)]
    projected = [f"layer{stage}.{block}.downsample.0.weight" in shapes for stage, block in blocks]
    scaled = "layer1.0.join.alpha" in shapes
    join: JoinKind = "scaled_add" if scaled else "add"
    plain: list[tuple[JoinKind, Shortcut]] = [] if scaled or fixup else [("replace", "B")]
    if projected == changed:
        return [(join, "B"), *([] if any(changed) else plain)]
    if all(projected):
        return [(join, "C")]
    if not any(projected):
        return [(join, "A"), (join, "A_end"), *plain]
    odd = [f"layer{s}.{b}" for (s, b), has, needs in zip(blocks, projected, changed, strict=True) if has != needs]
    raise ValueError(
        f"projections are where the shape changes, or in every block, or nowhere: not so at {len(odd)} blocks: {', '.join(odd[:8])}"
    )


def _depths(found: set[tuple[int, int]], *, first: int) -> tuple[int, ...]:
    """Return the number of blocks in each stage; stages count from 1, and blocks from `first`, without gaps."""
    blocks: dict[int, set[int]] = {}
    for stage, block in found:
        blocks.setdefault(stage, set()).add(block)
    if not blocks or set(blocks) != set(range(1, len(blocks) + 1)):
        raise ValueError(f"stages are numbered 1, 2, ..., got {_numbers(blocks)}")
    if len(blocks) > MOST_STAGES:
        raise ValueError(f"a network has at most {MOST_STAGES} stages, got {len(blocks)}")
    for stage, numbers in blocks.items():
        if numbers != set(range(first, first + len(numbers))):
            raise ValueError(
                f"the blocks of a stage are numbered {first}, {first + 1}, ..., got {_numbers(numbers)} in stage {stage}"
            )
    return tuple(len(blocks[stage]) for stage in range(1, len(blocks) + 1))


def _numbers(found: Iterable[int]) -> str:
    numbers = sorted(found)
    return ", ".join(map(str, numbers[:8])) + (f" ... {numbers[-1]}" if len(numbers) > 8 else "") if numbers else "none"


def _channels(shapes: Shapes, key: str, *, axis: int = 0) -> int:
    """Return the channels out (axis 0) or in (axis 1) of a convolution."""
    if key not in shapes:
        raise ValueError(f"there is no {key}")
    if len(shapes[key]) != 4 or not shapes[key][axis]:
        raise ValueError(f"{key} must have the four dimensions of a convolution, none of them 0, got {shapes[key]}")
    return shapes[key][axis]


def _stem(shapes: Shapes, key: str) -> Stem:
    _channels(shapes, key)
    if shapes[key][2] not in STEMS:
        raise ValueError(f"{key} must be a convolution of 7x7 or 3x3, got {shapes[key]}")
    return STEMS[shapes[key][2]]
