"""Factories of the convolutions and norms of a network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import gcd
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from resnetlib.config.spec import check_parameters
from resnetlib.errors import InputTypeError


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerFactory:
    """Creates the convolutions and norms of a network.

    Args:
        conv: creates a square convolution, which keeps the size at stride 1, from `(in_channels, out_channels, kernel, *, stride=1,
            groups=1)`.
        norm: creates a norm from a number of channels.
        last_norm: creates the norm at the end of a post-activation branch.
        skip_norm: creates the norm after the projection of a post-activation block.
    """

    conv: Callable[..., nn.Conv2d]
    norm: Callable[[int], nn.Module]
    last_norm: Callable[[int], nn.Module]
    skip_norm: Callable[[int], nn.Module]


def check_layers(layers: object) -> None:
    """Raise TypeError for anything but a `LayerFactory`."""
    if not isinstance(layers, LayerFactory):
        raise InputTypeError(f"layers must be a LayerFactory, such as resnetlib.modules.layers.BATCH_NORM, got {layers!r}")


class ShiftedConv2d(nn.Conv2d):
    """conv(x + shift), with one learned scalar: a Fixup convolution (arXiv 1901.09321, sec. 3)."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Shift, then convolve."""
        return super().forward(x + self.shift)


class Shift(nn.Module):
    """x + shift, with one learned scalar: Fixup's substitute for a norm (arXiv 1901.09321, sec. 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))

    def reset_parameters(self) -> None:
        """Set the shift to zero."""
        nn.init.zeros_(self.shift)

    def forward(self, x: Tensor) -> Tensor:
        """Shift."""
        return x + self.shift


class ScaleShift(Shift):
    """scale * x + shift, with two learned scalars: the end of a Fixup branch (arXiv 1901.09321, sec. 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def reset_parameters(self) -> None:
        """Set the scale to one and the shift to zero."""
        super().reset_parameters()
        nn.init.ones_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        """Scale, then shift."""
        return super().forward(x * self.scale)


def _conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    kind: type[nn.Conv2d] = nn.Conv2d,
    bias: bool = False,
) -> nn.Conv2d:
    check_parameters("a convolution", in_channels * out_channels * kernel**2 // groups)
    return kind(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=bias)


def _group_norm(channels: int) -> nn.Module:
    """Create a norm of 32 groups (arXiv 1803.08494, sec. 4), or of fewer where 32 does not divide the channels or equals them."""
    groups = gcd(32, channels)
    return nn.GroupNorm(groups // 2 if groups == channels > 1 else groups, channels)


BATCH_NORM = LayerFactory(conv=_conv, norm=nn.BatchNorm2d, last_norm=nn.BatchNorm2d, skip_norm=nn.BatchNorm2d)
GROUP_NORM = LayerFactory(conv=_conv, norm=_group_norm, last_norm=_group_norm, skip_norm=_group_norm)
NO_NORM = LayerFactory(conv=partial(_conv, bias=True), norm=nn.Identity, last_norm=nn.Identity, skip_norm=nn.Identity)
LAYERS: Mapping[str, LayerFactory] = MappingProxyType({"batch": BATCH_NORM, "group": GROUP_NORM, "none": NO_NORM})
"""Layer factories by the spec's `norm`."""

FIXUP = LayerFactory(
    conv=partial(_conv, kind=ShiftedConv2d),
    norm=lambda channels: Shift(),
    last_norm=lambda channels: ScaleShift(),
    skip_norm=nn.Identity,
)
