"""Infer the spec of a network from the names and shapes of its tensors."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from torch import Tensor

from resnetlib.config import MAX_STAGES, DenseNetSpec, Init, JoinKind, Norm, Order, ResNetSpec, Shortcut, Spec, Stem, StrideIn
from resnetlib.errors import InputError
from resnetlib.models.build import build
from resnetlib.modules.residual import Bottleneck
from resnetlib.weights.dialects.compare import canonical_spec, infer_base_width, infer_compression, name_of, state_dict_problems
from resnetlib.weights.dialects.rename import RecognizedState, recognize_dialect, resolve_dialect, unsupported_reason

_MAX_TENSORS = 10_000
_STEMS: Mapping[int, Stem] = {7: "imagenet", 3: "cifar"}
Shapes = Mapping[str, tuple[int, ...]]
_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.|features\.denseblock(\d+)\.denselayer(\d+)\.")


class Inferred(NamedTuple):
    """The network that a state dict belongs to; `num_classes` is 0 without a classifier."""

    spec: Spec
    num_classes: int
    in_chans: int


def infer_spec(state: RecognizedState | Mapping[str, Tensor], *, dialect: str | None = None) -> Inferred:
    """Infer the network that a state dict belongs to.

    Some networks have the same names and shapes: the stride of a bottleneck can be in either of two convolutions, and a network
    without projections can be plain, or residual with either padding. A dialect decides if it has only one of these networks. If
    several dialects have these names, pass the one that decides.

    Args:
        state: names and tensors in any dialect, or the result of `recognize_dialect`.
        dialect: of the names; None to detect it.

    Returns:
        The spec, and the numbers of classes and input channels.

    Raises:
        ValueError: if no network has these tensors, or if several have; the error lists the choices.

    Example:
        >>> from resnetlib import build, spec_of
        >>> state = build(spec_of("resnet50"), num_classes=37, device="meta").state_dict()
        >>> inferred = infer_spec(state, dialect="torchvision")
        >>> inferred.spec == spec_of("resnet50"), inferred.num_classes, inferred.in_chans
        (True, 37, 3)
        >>> infer_spec(state)
        Traceback (most recent call last):
        resnetlib.errors.InputError: names and shapes are the same for 2 networks:
          stride_in='3x3' (resnet50; dialect='torchvision' or 'timm')
          stride_in='1x1'
        Say which one it is: give its name, with the file as weights= or --weights, or its spec, or a dialect.
    """
    found = state if isinstance(state, RecognizedState) else recognize_dialect(state, dialect=dialect)
    if dialect is not None:
        wanted = resolve_dialect(dialect)
        if wanted not in found.dialects:
            raise InputError(f"these are the names of {' or '.join(found.dialects)}, not of dialect={dialect!r}")
        found = replace(found, dialects=(wanted,))
    specs = fitting_specs(found)
    if len(specs) > 1:
        raise InputError(_choices(specs, found.dialects))
    return Inferred(specs[0], found.num_classes, found.in_chans)


def fitting_specs(found: RecognizedState) -> list[Spec]:
    """Return the specs of all networks with these tensors, the likeliest first; raise ValueError if there is none."""
    if found.unknown:
        names = ", ".join(key[:80] for key in found.unknown[:8])
        raise InputError(f"{found.dialects[0]} has no tensors with these names: {names}")
    if len(found.state) > _MAX_TENSORS:
        raise InputError(f"no known network has more than {_MAX_TENSORS} tensors, got {len(found.state)}")
    specs = _candidates(found)
    if wrong := state_dict_problems(_tensors_of(specs[0], found.num_classes, found.in_chans), found.state):
        raise InputError("\n".join([f"the tensors resemble those of {specs[0]}, but do not fit:", *wrong]))
    fitting = _of_dialects(specs, found.dialects)
    if not fitting:
        raise InputError(unsupported_reason(specs[0], found.dialects[0]))
    return fitting


def nearest_name(found: RecognizedState) -> str | None:
    """Return the name of the known network with these blocks, even if other tensors are missing; None if there is none."""
    with suppress(ValueError):
        return next(filter(None, map(name_of, _of_dialects(_candidates(found), found.dialects))), None)
    return None


def _of_dialects(specs: Iterable[Spec], dialects: Sequence[str]) -> list[Spec]:
    """Return the specs that at least one of the dialects has."""
    return [spec for spec in specs if any(unsupported_reason(spec, dialect) is None for dialect in dialects)]


@lru_cache(maxsize=4)
def _tensors_of(spec: Spec, num_classes: int, in_chans: int) -> Mapping[str, Tensor]:
    try:
        return build(spec, num_classes=num_classes, in_chans=in_chans, device="meta").state_dict()
    except (RuntimeError, OverflowError, TypeError) as error:
        raise InputError(f"no network with these shapes can be built: {error}") from error


def _candidates(found: RecognizedState) -> list[Spec]:
    """Return the specs that fit the blocks, the likeliest first, without comparing the other tensors."""
    shapes = {key: tuple(tensor.shape) for key, tensor in found.state.items()}
    specs = [_densenet_spec(shapes)] if found.family == "densenet" else _resnet_specs(shapes)
    return list(dict.fromkeys(map(canonical_spec, specs)))


def _densenet_spec(shapes: Shapes) -> Spec:
    depths, first = _depths(shapes, first=1), "features.denseblock1.denselayer1"
    bottleneck = f"{first}.conv2.weight" in shapes
    growth = _channels(shapes, f"{first}.conv{2 if bottleneck else 1}.weight")
    transitions = [f"features.transition{i}.conv.weight" for i in range(1, len(depths))]
    norm: Norm = "none"
    if f"{first}.norm1.weight" in shapes:
        norm = "batch" if f"{first}.norm1.running_mean" in shapes else "group"
    return DenseNetSpec(
        growth=growth,
        depths=depths,
        stem_width=_channels(shapes, "features.conv0.weight"),
        bottleneck=_channels(shapes, f"{first}.conv1.weight") // growth if bottleneck else 0,
        compression=infer_compression((_channels(shapes, key, axis=1), _channels(shapes, key)) for key in transitions),
        stem=_stem(shapes, "features.conv0.weight"),
        norm=norm,
    )


def _resnet_specs(shapes: Shapes) -> list[Spec]:
    depths = _depths(shapes, first=0)
    stages = range(1, len(depths) + 1)
    bottleneck = "layer1.0.conv3.weight" in shapes
    last, expansion = ("conv3", Bottleneck.expansion) if bottleneck else ("conv2", 1)
    widths = tuple(max(1, _channels(shapes, f"layer{i}.0.{last}.weight") // expansion) for i in stages)
    groups, base_width = 1, 64
    if bottleneck:
        per_group = [_channels(shapes, f"layer{i}.0.conv2.weight", axis=1) for i in stages]
        groups = max(1, _channels(shapes, "layer1.0.conv2.weight") // per_group[0])
        base_width = infer_base_width(widths, per_group)
    norm, orders, fixup = _norm_and_order(shapes)
    stem_norms = (False, True) if norm == "none" else ("bn1.weight" in shapes and orders == ["pre"],)
    strides: tuple[StrideIn, ...] = ("3x3", "1x1") if bottleneck else ("3x3",)
    joins = _joins_and_shortcuts(shapes, depths, bottleneck=bottleneck, fixup=fixup)
    base = ResNetSpec(  # its errors, unlike those of the variants, are reported
        block="bottleneck" if bottleneck else "basic",
        depths=depths,
        widths=widths,
        join="replace",
        groups=groups,
        base_width=base_width,
        stem=_stem(shapes, "conv1.weight"),
        norm=norm,
    )
    init: Init = "fixup" if fixup else "he"
    specs: list[Spec] = []
    for order, stem_norm, stride_in, (join, shortcut) in product(orders, stem_norms, strides, joins):
        with suppress(ValueError):  # some options cannot be combined
            specs.append(
                replace(base, order=order, stem_norm=stem_norm, stride_in=stride_in, join=join, shortcut=shortcut, init=init)
            )
    if not specs:
        raise InputError(f"shortcuts without projections can only add channels, got widths {widths}")
    return specs


def _norm_and_order(shapes: Shapes) -> tuple[Norm, list[Order], bool]:
    """Return the norm, the possible orders, and whether the blocks have Fixup's shifts."""
    orders: Mapping[Order, str] = {"post": "layer1.0.bn1", "pre": "layer1.0.norm1"}
    leaves: Mapping[str, Norm] = {"running_mean": "batch", "weight": "group", "shift": "none"}
    for (order, name), (leaf, norm) in product(orders.items(), leaves.items()):
        if f"{name}.{leaf}" in shapes:
            return norm, [order], leaf == "shift"
    return "none", list(orders), False


def _joins_and_shortcuts(
    shapes: Shapes, depths: tuple[int, ...], *, bottleneck: bool, fixup: bool
) -> list[tuple[JoinKind, Shortcut]]:
    """Return the possible joins and shortcuts, from the blocks that have a projection."""
    blocks = [(stage, block) for stage, depth in enumerate(depths, 1) for block in range(depth)]
    changes_shape = [block == 0 and (stage > 1 or bottleneck) for stage, block in blocks]
    projected = [f"layer{stage}.{block}.downsample.0.weight" in shapes for stage, block in blocks]
    scaled = "layer1.0.join.alpha" in shapes
    join: JoinKind = "scaled_add" if scaled else "add"
    plain: list[tuple[JoinKind, Shortcut]] = [] if scaled or fixup else [("replace", "B")]
    if projected == changes_shape:
        return [(join, "B"), *([] if any(changes_shape) else plain)]
    if all(projected):
        return [(join, "C")]
    if not any(projected):
        return [(join, "A"), (join, "A_end"), *plain]
    odd = [f"layer{s}.{b}" for (s, b), has, needs in zip(blocks, projected, changes_shape, strict=True) if has != needs]
    raise InputError(
        "projections must be in the blocks that change the shape, in all blocks or in none: not so at "
        f"{len(odd)} blocks: {', '.join(odd[:8])}"
    )


def _depths(shapes: Shapes, *, first: int) -> tuple[int, ...]:
    """Return the number of blocks in each stage; blocks are numbered from `first`."""
    blocks: dict[int, set[int]] = {}
    for match in filter(None, map(_BLOCK.match, shapes)):
        stage, block = filter(None, match.groups())
        blocks.setdefault(int(stage), set()).add(int(block))
    if len(blocks) > MAX_STAGES:
        raise InputError(f"a network has at most {MAX_STAGES} stages, got {len(blocks)}")
    stages = range(1, _count(set(blocks), 1, "stages") + 1)
    return tuple(_count(blocks[stage], first, f"the blocks of stage {stage}") for stage in stages)


def _count(numbers: set[int], first: int, what: str) -> int:
    """Return how many consecutive numbers these are."""
    if not numbers or numbers != set(range(first, first + len(numbers))):
        got = sorted(numbers)
        shown = ", ".join(map(str, got[:8])) + (f" ... {got[-1]}" if len(got) > 8 else "")
        raise InputError(f"{what} are numbered {first}, {first + 1}, ..., got {shown or 'none'}")
    return len(numbers)


def _channels(shapes: Shapes, key: str, *, axis: int = 0) -> int:
    """Return the output (axis 0) or input channels (axis 1) of a convolution."""
    if key not in shapes:
        raise InputError(f"there is no {key}")
    if len(shapes[key]) != 4 or not shapes[key][axis]:
        raise InputError(f"{key} must have the four dimensions of a convolution, none of them 0, got {shapes[key]}")
    return shapes[key][axis]


def _stem(shapes: Shapes, key: str) -> Stem:
    _channels(shapes, key)
    if shapes[key][2] not in _STEMS:
        raise InputError(f"{key} must be a convolution of 7x7 or 3x3, got {shapes[key]}")
    return _STEMS[shapes[key][2]]


def _choices(specs: Sequence[Spec], dialects: Sequence[str]) -> str:
    """Return an error message that lists the possible networks, and what selects each."""
    differ = [field.name for field in fields(specs[0]) if len({getattr(spec, field.name) for spec in specs}) > 1]
    lines = [f"names and shapes are the same for {len(specs)} networks:"]
    for spec in specs:
        settling = [repr(dialect) for dialect in dialects if _of_dialects(specs, [dialect]) == [spec]]
        how = "; ".join(filter(None, (name_of(spec), f"dialect={' or '.join(settling)}" if settling else "")))
        lines.append("  " + ", ".join(f"{name}={getattr(spec, name)!r}" for name in differ) + (f" ({how})" if how else ""))
    lines.append("Say which one it is: give its name, with the file as weights= or --weights, or its spec, or a dialect.")
    return "\n".join(lines)
