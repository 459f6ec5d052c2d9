"""A small network of each kind, for tests of what all have in common."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType

from torch import Tensor

from resnetlib.models import DenseNetSpec, ResNetSpec, Spec, build, spec_of

_BASIC = ResNetSpec(block="basic", depths=(2, 1), widths=(8, 16), stem="cifar")
_BOTTLENECK = ResNetSpec(block="bottleneck", depths=(1, 2), widths=(8, 16), stem="cifar")
_DENSE = DenseNetSpec(growth=4, depths=(2, 3), stem_width=8, stem="cifar")

FAMILIES: dict[str, Spec] = {
    "plain": replace(_BASIC, join="replace"),
    "plain-preact": replace(_BASIC, join="replace", order="pre"),
    "plain-bottleneck": replace(_BOTTLENECK, join="replace"),
    "resnet": _BASIC,
    "resnet-a": replace(_BASIC, shortcut="A"),
    "resnet-c": replace(_BASIC, shortcut="C"),
    "resnet-bottleneck": _BOTTLENECK,
    "resnet-large-stem": replace(_BASIC, stem="imagenet"),
    "resnet-groupnorm": replace(_BASIC, norm="group"),
    "resnet-scaled": replace(_BASIC, join="scaled_add"),
    "resnet-fixup": replace(_BASIC, norm="none", init="fixup"),
    "preact": replace(_BASIC, order="pre"),
    "preact-bottleneck": replace(_BOTTLENECK, order="pre"),
    "preact-stem-norm": replace(_BASIC, order="pre", stem="imagenet", stem_norm=True),
    "densenet": _DENSE,
    "densenet-plain-layers": replace(_DENSE, bottleneck=0, compression=1.0),
    "densenet-large-stem": replace(_DENSE, stem="imagenet"),
}
"""A small network of each kind."""


@cache
def known_state(name: str) -> Mapping[str, Tensor]:
    """Return the names and shapes of a known network's tensors."""
    return MappingProxyType(build(spec_of(name), device="meta").state_dict())
