"""The dialects as tables: how other libraries name the tensors of these networks, and which networks they have.

A rule is a pair of templates, the dialect's name and the canonical one, which is torchvision's: `("linear.{p}", "fc.{p}")`. In a
template `{s}` is a number, `{s-1}` the same number minus 1, and `{p}` the last part of the name ("weight", "running_mean", ...).

Names do not tell which convolution of a bottleneck has the stride, or how a shortcut without parameters pads. The `limits` of a
table do: they list the values of a field of the spec in the networks of the dialect. A field without a limit can have any value.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from resnetlib.config import DenseNetSpec, ResNetSpec

Rule = tuple[str, str]
Limits = Mapping[str, tuple[object, ...]]

Family = Literal["resnet", "preact", "densenet"]
"""The family of a network's names. Plain networks have the names of residual ones."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Table:
    """A dialect's names for the tensors of one family."""

    family: Family
    rules: tuple[Rule, ...]
    limits: Limits
    check: Callable[[Any], str | None] = lambda spec: None
    """Function of a spec that returns why the dialect does not have it, or None."""
    conv_head: bool = False
    """Whether the classifier is a 1x1 convolution."""


def _same(*names: str) -> tuple[Rule, ...]:
    return tuple((name, name) for name in names)


# The canonical names.
_FC = _same("fc.{p}")
_STEM_AND_BLOCKS = _same("conv1.{p}", "bn1.{p}", "layer{s}.{b}.conv{k}.{p}", "layer{s}.{b}.bn{k}.{p}")
_POST = (*_STEM_AND_BLOCKS, *_same("layer{s}.{b}.downsample.0.{p}", "layer{s}.{b}.downsample.1.{p}"), *_FC)
_PRE = _same(
    *("conv1.{p}", "bn1.{p}", "layer{s}.{b}.norm{k}.{p}", "layer{s}.{b}.conv{k}.{p}", "layer{s}.{b}.downsample.0.{p}"),
    *("norm.{p}", "fc.{p}"),
)
_ALPHA = _same("layer{s}.{b}.join.alpha")
_DENSE_ENDS = _same(
    *("features.conv0.{p}", "features.norm0.{p}", "features.transition{s}.norm.{p}", "features.transition{s}.conv.{p}"),
    *("features.norm5.{p}", "classifier.{p}"),
)
_DENSE_LAYER = "features.denseblock{s}.denselayer{b}."
_DENSE = (*_same(_DENSE_LAYER + "norm{k}.{p}", _DENSE_LAYER + "conv{k}.{p}"), *_DENSE_ENDS)

# Other names.
_DENSE_0_2 = (
    (_DENSE_LAYER + "norm.{k}.{p}", _DENSE_LAYER + "norm{k}.{p}"),
    (_DENSE_LAYER + "conv.{k}.{p}", _DENSE_LAYER + "conv{k}.{p}"),
    *_DENSE_ENDS,
)
_TIMM_RESNETV2 = (
    ("stem.conv.{p}", "conv1.{p}"),
    ("stages.{s-1}.blocks.{b}.norm{k}.{p}", "layer{s}.{b}.norm{k}.{p}"),
    ("stages.{s-1}.blocks.{b}.conv{k}.{p}", "layer{s}.{b}.conv{k}.{p}"),
    ("stages.{s-1}.blocks.{b}.downsample.conv.{p}", "layer{s}.{b}.downsample.0.{p}"),
    ("norm.{p}", "norm.{p}"),
    ("head.fc.{p}", "fc.{p}"),
)
_TRANSFORMERS = (
    ("embedder.embedder.convolution.{p}", "conv1.{p}"),
    ("embedder.embedder.normalization.{p}", "bn1.{p}"),
    ("encoder.stages.{s-1}.layers.{b}.layer.{k-1}.convolution.{p}", "layer{s}.{b}.conv{k}.{p}"),
    ("encoder.stages.{s-1}.layers.{b}.layer.{k-1}.normalization.{p}", "layer{s}.{b}.bn{k}.{p}"),
    ("encoder.stages.{s-1}.layers.{b}.shortcut.convolution.{p}", "layer{s}.{b}.downsample.0.{p}"),
    ("encoder.stages.{s-1}.layers.{b}.shortcut.normalization.{p}", "layer{s}.{b}.downsample.1.{p}"),
)
_TRANSFORMERS_WITH_HEAD = (
    *(("resnet." + foreign, canonical) for foreign, canonical in _TRANSFORMERS),
    ("classifier.1.{p}", "fc.{p}"),
)
_CV_CONV = (("features.init_block.conv.{p}", "conv1.{p}"), ("features.init_block.bn.{p}", "bn1.{p}"))
_CV_CONV_POOL = (("features.init_block.conv.conv.{p}", "conv1.{p}"), ("features.init_block.conv.bn.{p}", "bn1.{p}"))
_CV_BARE_CONV = (("features.init_block.{p}", "conv1.{p}"),)
_CV_POST = (
    ("features.stage{s}.unit{b+1}.body.conv{k}.conv.{p}", "layer{s}.{b}.conv{k}.{p}"),
    ("features.stage{s}.unit{b+1}.body.conv{k}.bn.{p}", "layer{s}.{b}.bn{k}.{p}"),
    ("features.stage{s}.unit{b+1}.identity_conv.conv.{p}", "layer{s}.{b}.downsample.0.{p}"),
    ("features.stage{s}.unit{b+1}.identity_conv.bn.{p}", "layer{s}.{b}.downsample.1.{p}"),
    ("output.{p}", "fc.{p}"),
)
_CV_PRE = (
    ("features.stage{s}.unit{b+1}.body.conv{k}.bn.{p}", "layer{s}.{b}.norm{k}.{p}"),
    ("features.stage{s}.unit{b+1}.body.conv{k}.conv.{p}", "layer{s}.{b}.conv{k}.{p}"),
    ("features.stage{s}.unit{b+1}.identity_conv.{p}", "layer{s}.{b}.downsample.0.{p}"),
    ("features.post_activ.bn.{p}", "norm.{p}"),
    ("output.{p}", "fc.{p}"),
)
_CV_DENSE_CONV = (("features.init_block.conv.{p}", "features.conv0.{p}"), ("features.init_block.bn.{p}", "features.norm0.{p}"))
_CV_DENSE_BARE_CONV = (("features.init_block.{p}", "features.conv0.{p}"),)
_CV_DENSE_ENDS = (
    ("features.stage{s+1}.trans{s+1}.conv.bn.{p}", "features.transition{s}.norm.{p}"),
    ("features.stage{s+1}.trans{s+1}.conv.conv.{p}", "features.transition{s}.conv.{p}"),
    ("features.post_activ.bn.{p}", "features.norm5.{p}"),
    ("output.{p}", "classifier.{p}"),
)
_CV_DENSE = (
    ("features.stage{s}.unit{b}.conv{k}.bn.{p}", _DENSE_LAYER + "norm{k}.{p}"),
    ("features.stage{s}.unit{b}.conv{k}.conv.{p}", _DENSE_LAYER + "conv{k}.{p}"),
    *_CV_DENSE_ENDS,
)
_CV_DENSE_SIMPLE = (
    ("features.stage{s}.unit{b}.conv.bn.{p}", _DENSE_LAYER + "norm1.{p}"),
    ("features.stage{s}.unit{b}.conv.conv.{p}", _DENSE_LAYER + "conv1.{p}"),
    *_CV_DENSE_ENDS,
)
_AKAMASTER = (*_STEM_AND_BLOCKS, ("linear.{p}", "fc.{p}"))
_KUANGLIU = (
    *_AKAMASTER,
    ("layer{s}.{b}.shortcut.0.{p}", "layer{s}.{b}.downsample.0.{p}"),
    ("layer{s}.{b}.shortcut.1.{p}", "layer{s}.{b}.downsample.1.{p}"),
)
_BEARPAW_DENSE = (
    ("conv1.{p}", "features.conv0.{p}"),
    ("dense{s}.{b-1}.bn{k}.{p}", _DENSE_LAYER + "norm{k}.{p}"),
    ("dense{s}.{b-1}.conv{k}.{p}", _DENSE_LAYER + "conv{k}.{p}"),
    ("trans{s}.bn1.{p}", "features.transition{s}.norm.{p}"),
    ("trans{s}.conv1.{p}", "features.transition{s}.conv.{p}"),
    ("bn.{p}", "features.norm5.{p}"),
    ("fc.{p}", "classifier.{p}"),
)


def _has_conv1x1(spec: DenseNetSpec) -> str | None:
    return None if spec.bottleneck else "a layer always has a 1x1 convolution, got bottleneck=0"


def _stem_is_two_growths(spec: DenseNetSpec) -> str | None:
    same = spec.stem_width == 2 * spec.growth
    return None if same else f"stem_width is always 2 * growth, got stem_width={spec.stem_width}, growth={spec.growth}"


def _is_timms_densenet(spec: DenseNetSpec) -> str | None:
    return _has_conv1x1(spec) or _stem_is_two_growths(spec)


def _has_widths_of_eights(spec: ResNetSpec) -> str | None:
    return None if all(width % 8 == 0 for width in spec.widths) else f"widths are multiples of 8, got {spec.widths}"


_RESIDUAL: Limits = {"join": ("add",), "shortcut": ("B",), "stride_in": ("3x3",), "norm": ("batch",), "stem_norm": (False,)}
_RESNEXT: Limits = {**_RESIDUAL, "stem": ("imagenet",)}
_RESNET: Limits = {**_RESNEXT, "groups": (1,), "base_width": (64,)}
_RESNET_EITHER_STRIDE: Limits = {**_RESNET, "stride_in": ("3x3", "1x1")}
_CIFAR_RESNET: Limits = {**_RESNET, "stem": ("cifar",)}
_CIFAR_BASIC: Limits = {**_CIFAR_RESNET, "block": ("basic",)}
_DENSENET: Limits = {"compression": (0.5,), "stem": ("imagenet",), "norm": ("batch",)}
_CIFAR_DENSENET: Limits = {**_DENSENET, "stem": ("cifar",)}
_BEARPAW_DENSENET: Limits = {**_CIFAR_DENSENET, "bottleneck": (4, 0)}

_PYTORCHCV = (
    Table(family="resnet", rules=(*_CV_CONV_POOL, *_CV_POST), limits=_RESNET_EITHER_STRIDE),
    Table(family="resnet", rules=(*_CV_CONV, *_CV_POST), limits=_CIFAR_RESNET),
    Table(family="preact", rules=(*_CV_CONV, *_CV_PRE), limits={**_RESNET_EITHER_STRIDE, "stem_norm": (True,)}),
    Table(family="preact", rules=(*_CV_BARE_CONV, *_CV_PRE), limits=_CIFAR_RESNET),
    Table(family="densenet", rules=(*_CV_DENSE_CONV, *_CV_DENSE), limits={**_DENSENET, "bottleneck": (4,)}),
    Table(family="densenet", rules=(*_CV_DENSE_BARE_CONV, *_CV_DENSE), limits={**_CIFAR_DENSENET, "bottleneck": (4,)}),
    Table(family="densenet", rules=(*_CV_DENSE_BARE_CONV, *_CV_DENSE_SIMPLE), limits={**_CIFAR_DENSENET, "bottleneck": (0,)}),
)
DIALECTS: Mapping[str, tuple[Table, ...]] = MappingProxyType(
    {
        "resnetlib": (
            Table(family="resnet", rules=(*_POST, *_ALPHA), limits={}),
            Table(family="preact", rules=(*_PRE, *_ALPHA), limits={}),
            Table(family="densenet", rules=_DENSE, limits={}),
        ),
        "torchvision": (
            Table(family="resnet", rules=_POST, limits=_RESNEXT),
            Table(family="densenet", rules=_DENSE, limits=_DENSENET, check=_has_conv1x1),
        ),
        "torchvision-legacy": (Table(family="densenet", rules=_DENSE_0_2, limits=_DENSENET, check=_has_conv1x1),),
        "timm": (
            Table(family="resnet", rules=_POST, limits=_RESNEXT),
            Table(family="preact", rules=_TIMM_RESNETV2, limits=_RESNET, check=_has_widths_of_eights, conv_head=True),
            Table(family="densenet", rules=_DENSE, limits=_DENSENET, check=_is_timms_densenet),
        ),
        "transformers": (
            Table(family="resnet", rules=_TRANSFORMERS_WITH_HEAD, limits=_RESNET_EITHER_STRIDE),
            Table(family="resnet", rules=_TRANSFORMERS, limits=_RESNET_EITHER_STRIDE),
        ),
        "pytorchcv": _PYTORCHCV,
        "akamaster": (Table(family="resnet", rules=_AKAMASTER, limits={**_CIFAR_BASIC, "shortcut": ("A",)}),),
        "chenyaofo": (Table(family="resnet", rules=_POST, limits=_CIFAR_BASIC),),
        "kuangliu": (Table(family="resnet", rules=_KUANGLIU, limits=_CIFAR_RESNET),),
        "bearpaw": (
            Table(family="resnet", rules=_POST, limits=_CIFAR_RESNET),
            Table(family="densenet", rules=_BEARPAW_DENSE, limits=_BEARPAW_DENSENET, check=_stem_is_two_growths),
        ),
    }
)
"""Name -> tables; the first that fits a network is used for writing. "resnetlib" has the canonical names and all networks."""

ALIASES: Mapping[str, str] = MappingProxyType({"timm-resnetv2": "timm"})
