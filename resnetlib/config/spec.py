"""Specs: architectures as data, without the numbers of classes and input channels."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import Any, ClassVar, Literal, get_args, get_origin

from resnetlib.errors import InputError, InputTypeError, printable

Stem = Literal["imagenet", "cifar"]
"""imagenet: a 7x7 convolution and max pooling, both with stride 2. cifar: a 3x3 convolution with stride 1."""

NUM_CLASSES: Mapping[Stem, int] = {"imagenet": 1000, "cifar": 10}
"""The default number of classes for each stem."""

Norm = Literal["batch", "group", "none"]
"""none: no norm layers, but convolutions with biases."""

MAX_WIDTH = 1_000_000
"""The largest number of channels, groups and the like; a larger one is a mistake, or malicious."""

MAX_BLOCKS = 10_000
"""The largest number of blocks of a network."""

MAX_PARAMETERS = 2_000_000_000
"""The largest number of parameters of a layer or a network: 8 GB in float32."""

BlockKind = Literal["basic", "bottleneck"]
JoinKind = Literal["add", "scaled_add", "replace"]
Order = Literal["post", "pre"]
Shortcut = Literal["A", "A_end", "B", "C"]
StrideIn = Literal["3x3", "1x1"]
Init = Literal["he", "zero_init_residual", "fixup"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResNetSpec:
    """The architecture of a PlainNet, ResNet or PreActResNet.

    Args:
        block: "basic" (two 3x3 convolutions) or "bottleneck" (1x1, 3x3, 1x1).
        depths: number of blocks in each stage.
        widths: width of each stage; a bottleneck has four times as many output channels. The stem has the first width.
        join: how the branch meets the skip connection: "add", "replace" (no skip connection), or "scaled_add" with a learned factor
            that starts at 0 (SkipInit, ReZero).
        order: "post" (convolution, norm, relu) or "pre" (norm, relu, convolution).
        shortcut: the skip connection where the shape changes (arXiv 1512.03385, sec. 4.1): "A" or "A_end" (zero channels on both
            sides, or after the last), "B" (projection), or "C" (projections in all blocks).
        stride_in: the strided convolution of a bottleneck: "3x3" (torchvision) or the first "1x1" (the paper).
        groups: groups of a bottleneck's 3x3 convolution.
        base_width: channels of each group at a width of 64.
        stem: "imagenet" or "cifar".
        stem_norm: whether the stem of a pre-activation network has a norm and a relu.
        norm: "batch", "group" or "none".
        init: "he", "zero_init_residual" (the last layer of each branch is zero), or "fixup" (for networks without norm layers).

    Example:
        >>> from dataclasses import replace
        >>> resnet20 = ResNetSpec(block="basic", depths=(3, 3, 3), widths=(16, 32, 64), shortcut="A", stem="cifar")
        >>> plain20 = replace(resnet20, join="replace")
        >>> spec_from_json(plain20.to_json()) == plain20
        True
    """

    family: ClassVar[str] = "resnet"

    block: BlockKind
    depths: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512)
    join: JoinKind = "add"
    order: Order = "post"
    shortcut: Shortcut = "B"
    stride_in: StrideIn = "3x3"
    groups: int = 1
    base_width: int = 64
    stem: Stem = "imagenet"
    stem_norm: bool = False
    norm: Norm = "batch"
    init: Init = "he"

    def __post_init__(self) -> None:
        _check_types(self)
        if len(self.depths) != len(self.widths):
            raise InputError(f"depths and widths must have the same length, got {self.depths} and {self.widths}")
        if self.block == "basic" and (self.groups, self.base_width, self.stride_in) != (1, 64, "3x3"):
            raise InputError(
                f"groups, base_width and stride_in are options of block='bottleneck', got groups={self.groups}, "
                f"base_width={self.base_width}, stride_in={self.stride_in!r} with block='basic'"
            )
        if self.stem_norm and self.order != "pre":
            raise InputError(
                f"stem_norm=True is an option of order='pre', got order={self.order!r}, whose stem always has norm and relu"
            )
        thin = [width for width in self.widths if width * self.base_width < 64]
        if thin:
            raise InputError(f"base_width={self.base_width} leaves no channels at a width of {thin[0]}")
        if self.init == "fixup" and (self.norm, self.order, self.join) != ("none", "post", "add"):
            raise InputError(
                "init='fixup' needs norm='none', order='post' and join='add', "
                f"got norm={self.norm!r}, order={self.order!r}, join={self.join!r}"
            )
        if self.init == "zero_init_residual" and self.join != "add":
            raise InputError(
                f"init='zero_init_residual' requires join='add', got join={self.join!r}: 'replace' would make a constant network, "
                "and 'scaled_add' begins at zero by itself, where zero branches would get no gradient"
            )
        check_parameters("the network", sum(d * self._block_parameters(w) for d, w in zip(self.depths, self.widths, strict=True)))
        if self.shortcut in ("A", "A_end") and self.join != "replace" and list(self.widths) != sorted(self.widths):
            raise InputError(f"shortcut={self.shortcut!r} can only add channels, got widths={self.widths}")

    @property
    def smallest_input(self) -> int:
        """The smallest height and width of images, in pixels."""
        return 1

    def _block_parameters(self, width: int) -> int:
        """Estimate the number of parameters of a block."""
        if self.block == "basic":
            return 18 * width**2
        middle = width * self.base_width // 64 * self.groups
        return 8 * width * middle + 9 * middle**2 // self.groups

    def to_json(self) -> str:
        """Return the spec as JSON, on one line."""
        return _to_json(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseNetSpec:
    """The architecture of a DenseNet.

    Args:
        growth: growth rate, the channels that each layer adds.
        depths: number of layers in each dense block.
        stem_width: channels of the stem.
        bottleneck: channels of each layer's 1x1 convolution, in multiples of `growth`; 0 for no such convolution.
        compression: share of the channels that a transition keeps, rounded down.
        stem: "imagenet" or "cifar".
        norm: "batch", "group" or "none".

    Example:
        >>> DenseNetSpec(growth=32, depths=(6, 12, 24, 16), stem_width=64).to_json()[:42]
        '{"family": "densenet", "growth": 32, "dept'
    """

    family: ClassVar[str] = "densenet"

    growth: int
    depths: tuple[int, ...]
    stem_width: int
    bottleneck: int = 4
    compression: float = 0.5
    stem: Stem = "imagenet"
    norm: Norm = "batch"

    def __post_init__(self) -> None:
        _check_types(self)
        if isinstance(self.compression, bool) or not isinstance(self.compression, Real) or not 0 < self.compression <= 1:
            raise InputError(f"compression must be above 0 and at most 1, got {self.compression!r}")
        object.__setattr__(self, "compression", float(self.compression))  # equal specs have equal JSON
        if min(self.stage_widths()) < 1:
            raise InputError(f"compression={self.compression} leaves a transition no channels")
        check_parameters("the network", self._parameters())

    @property
    def smallest_input(self) -> int:
        """The smallest height and width of images, in pixels: each average pooling needs at least 2 x 2."""
        size = 1 << (len(self.depths) - 1)
        return 4 * size - 3 if self.stem == "imagenet" else size

    def _parameters(self) -> int:
        """Estimate the number of parameters."""
        read = sum(d * w + self.growth * d * (d - 1) // 2 for d, w in zip(self.depths, self.stage_widths(), strict=True))
        wide = self.bottleneck * self.growth
        return read * wide + 9 * sum(self.depths) * wide * self.growth if wide else 9 * read * self.growth

    def stage_widths(self) -> list[int]:
        """Return the input channels of each dense block."""
        widths = [self.stem_width]
        for depth in self.depths[:-1]:
            widths.append(int((widths[-1] + depth * self.growth) * self.compression))
        return widths

    def to_json(self) -> str:
        """Return the spec as JSON, on one line."""
        return _to_json(self)


Spec = ResNetSpec | DenseNetSpec


def spec_from_json(text: str) -> Spec:
    """Create a spec from the JSON that `to_json` returns; raise ValueError for anything else.

    >>> spec_from_json('{"family": "vgg"}')
    Traceback (most recent call last):
    resnetlib.errors.InputError: a spec's family must be one of 'resnet', 'densenet', got 'vgg'
    """
    return spec_from_dict(parse_object(text, "a spec"))


def spec_from_dict(values: Mapping[str, Any]) -> Spec:
    """Create a spec from a JSON object; raise ValueError for an unknown family, wrong fields or invalid values."""
    families: dict[object, type[Spec]] = {"resnet": ResNetSpec, "densenet": DenseNetSpec}
    if not isinstance(values, Mapping):
        raise InputError(f"a spec must be a JSON object, got {type(values).__name__}")
    family = values.get("family")
    if not isinstance(family, str) or family not in families:
        raise InputError(f"a spec's family must be one of {_quoted(families)}, got {family!r}")
    known = [field.name for field in fields(families[family])]
    unknown = sorted(map(str, set(values) - {"family", *known}))
    if unknown:
        raise InputError(f"a {family} spec has the fields {_quoted(known)}, got {_quoted(unknown)}")
    try:
        return families[family](**{name: value for name, value in values.items() if name != "family"})
    except TypeError as error:  # a field without a default is missing
        raise InputError(f"a {family} spec is incomplete: {error}") from None


def parse_object(text: str | bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object; `what` names it in errors."""
    try:
        values = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{what} must be JSON: {printable(error)}") from error
    if not isinstance(values, dict):
        raise InputError(f"{what} must be a JSON object, got {type(values).__name__}")
    return values


def check_spec(spec: object) -> None:
    """Raise TypeError for anything but a spec."""
    if not isinstance(spec, Spec):
        advice = f": write spec_of({spec!r:.80})" if isinstance(spec, str) else ""
        raise InputTypeError(f"spec must be a ResNetSpec or a DenseNetSpec, got {type(spec).__name__}{advice}")


def check_parameters(what: str, count: int) -> None:
    """Raise ValueError if something would have more than `MAX_PARAMETERS` parameters, before memory is allocated."""
    if count > MAX_PARAMETERS:
        raise InputError(f"{what} would have {count:,} parameters, more than {MAX_PARAMETERS:,}: make it smaller")


def _check_types(spec: Any) -> None:
    """Convert lists to tuples; raise ValueError if a field is not of its declared type, or a number is out of range."""
    for field in fields(spec):
        name, value = field.name, getattr(spec, field.name)
        if isinstance(value, list):  # from JSON
            value = tuple(value)
            object.__setattr__(spec, name, value)
        if get_origin(field.type) is Literal and value not in get_args(field.type):
            raise InputError(f"{name} must be one of {_quoted(get_args(field.type))}, got {value!r}")
        if field.type is bool and not isinstance(value, bool):
            raise InputError(f"{name} must be True or False, got {value!r}")
        if field.type in (int, tuple[int, ...]):
            least, largest = 0 if name == "bottleneck" else 1, MAX_BLOCKS if name == "depths" else MAX_WIDTH
            kind, numbers = ("an int", (value,)) if field.type is int else ("a tuple of ints", value)
            if not isinstance(numbers, tuple) or not numbers or not all(type(n) is int and n >= least for n in numbers):
                raise InputError(f"{name} must be {kind} of at least {least}, got {value!r}")
            if sum(numbers) > largest:
                raise InputError(f"{name} must be at most {largest:,} in all, got {str(sum(numbers))[:40]}")


def _quoted(names: Any) -> str:
    return ", ".join(repr(name) for name in names)


def _to_json(spec: Spec) -> str:
    return json.dumps({"family": spec.family, **asdict(spec)})
