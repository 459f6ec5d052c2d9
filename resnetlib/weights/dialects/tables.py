"""The dialects, as data: whose names are which, and what their networks are where names cannot tell.

Names do not tell which convolution takes the stride, or how a shortcut without parameters pads. A dialect says it by its limits:
the values that a spec's fields have in all of its networks. What it leaves open is a choice between values, or not limited at all.
"""

from collections.abc import Mapping
from types import MappingProxyType

from resnetlib.config import DenseNetSpec, ResNetSpec
from resnetlib.weights.dialects import names
from resnetlib.weights.dialects.renaming import Dialect, Table


def _stem_of_two_growths(spec: DenseNetSpec) -> str | None:
    same = spec.stem_width == 2 * spec.growth
    return None if same else f"stem_width is always 2 * growth, got stem_width={spec.stem_width}, growth={spec.growth}"


def _timm_dense(spec: DenseNetSpec) -> str | None:
    return _bottlenecked(spec) or _stem_of_two_growths(spec)


def _bottlenecked(spec: DenseNetSpec) -> str | None:
    return None if spec.bottleneck else "a layer always has a 1x1 convolution, got bottleneck=0"


def _widths_of_eights(spec: ResNetSpec) -> str | None:
    return None if all(width % 8 == 0 for width in spec.widths) else f"widths are multiples of 8, got {spec.widths}"


_ANY: Mapping[str, tuple[object, ...]] = MappingProxyType({})
_RESNEXT: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {"join": ("add",), "shortcut": ("B",), "stride_in": ("3x3",), "stem": ("imagenet",), "stem_norm": (False,), "norm": ("batch",)}
)
_RESNET: Mapping[str, tuple[object, ...]] = MappingProxyType({**_RESNEXT, "groups": (1,), "base_width": (64,)})
_SMALL: Mapping[str, tuple[object, ...]] = MappingProxyType({**_RESNET, "stem": ("cifar",)})
_DENSENET: Mapping[str, tuple[object, ...]] = MappingProxyType({"compression": (0.5,), "stem": ("imagenet",), "norm": ("batch",)})
_DENSE_FOUR = {**_DENSENET, "bottleneck": (4,)}
_EITHER_STRIDE = {"stride_in": ("3x3", "1x1")}

_TORCHVISION_DENSE = Table(family="densenet", rules=names.DENSE, limits=_DENSENET, refuses=_bottlenecked)

_ALL = (
    Dialect(
        "resnetlib",
        (
            Table(family="resnet", rules=(*names.POST, *names.ALPHA, *names.FC), limits=_ANY),
            Table(family="preact", rules=(*names.PRE, *names.ALPHA, *names.FC), limits=_ANY),
            Table(family="densenet", rules=names.DENSE, limits=_ANY),
        ),
    ),
    Dialect("torchvision", (Table(family="resnet", rules=(*names.POST, *names.FC), limits=_RESNEXT), _TORCHVISION_DENSE)),
    Dialect("torchvision-legacy", (Table(family="densenet", rules=names.DENSE_0_2, limits=_DENSENET, refuses=_bottlenecked),)),
    Dialect(
        "timm",
        (
            Table(family="resnet", rules=(*names.POST, *names.FC), limits=_RESNEXT),
            Table(family="preact", rules=names.TIMM_V2, limits=_RESNET, refuses=_widths_of_eights, conv_head=True),
            Table(family="densenet", rules=names.DENSE, limits=_DENSENET, refuses=_timm_dense),
        ),
    ),
    Dialect(
        "transformers",
        (
            Table(family="resnet", rules=names.TRANSFORMERS_CLASSIFIER, limits={**_RESNET, **_EITHER_STRIDE}),
            Table(family="resnet", rules=names.TRANSFORMERS, limits={**_RESNET, **_EITHER_STRIDE}),
        ),
    ),
    Dialect(
        "pytorchcv",
        (
            Table(
                family="resnet",
                rules=(*names.pytorchcv_stem("conv.conv.", "conv.bn."), *names.PYTORCHCV_POST),
                limits={**_RESNET, **_EITHER_STRIDE},
            ),
            Table(family="resnet", rules=(*names.pytorchcv_stem("conv.", "bn."), *names.PYTORCHCV_POST), limits=_SMALL),
            Table(
                family="preact",
                rules=(*names.pytorchcv_stem("conv.", "bn."), *names.PYTORCHCV_PRE),
                limits={**_RESNET, **_EITHER_STRIDE, "stem_norm": (True,)},
            ),
            Table(family="preact", rules=(*names.pytorchcv_stem(""), *names.PYTORCHCV_PRE), limits=_SMALL),
            Table(family="densenet", rules=(*names.PYTORCHCV_DENSE_STEM, *names.PYTORCHCV_DENSE), limits=_DENSE_FOUR),
            Table(
                family="densenet",
                rules=(*names.PYTORCHCV_DENSE_SMALL_STEM, *names.PYTORCHCV_DENSE),
                limits={**_DENSE_FOUR, "stem": ("cifar",)},
            ),
            Table(
                family="densenet",
                rules=(*names.PYTORCHCV_DENSE_SMALL_STEM, *names.PYTORCHCV_DENSE_SIMPLE),
                limits={**_DENSENET, "stem": ("cifar",), "bottleneck": (0,)},
            ),
        ),
    ),
    Dialect(
        "akamaster", (Table(family="resnet", rules=names.AKAMASTER, limits={**_SMALL, "block": ("basic",), "shortcut": ("A",)}),)
    ),
    Dialect("chenyaofo", (Table(family="resnet", rules=(*names.POST, *names.FC), limits={**_SMALL, "block": ("basic",)}),)),
    Dialect("kuangliu", (Table(family="resnet", rules=names.KUANGLIU, limits=_SMALL),)),
    Dialect(
        "bearpaw",
        (
            Table(family="resnet", rules=(*names.POST, *names.FC), limits=_SMALL),
            Table(
                family="densenet",
                rules=names.BEARPAW_DENSE,
                limits={**_DENSENET, "stem": ("cifar",), "bottleneck": (4, 0)},
                refuses=_stem_of_two_growths,
            ),
        ),
    ),
)
DIALECTS: Mapping[str, Dialect] = MappingProxyType({dialect.name: dialect for dialect in _ALL})
"""By their names; "resnetlib" is the canonical one, which has everything."""

ALIASES: Mapping[str, str] = MappingProxyType({"timm-resnetv2": "timm"})
"""Other names of dialects."""
