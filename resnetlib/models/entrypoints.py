"""One function per named network: `resnet50(...)` is `create_model("resnet50", ...)`.

Unlike the rest of `models`, this file imports `zoo` and `weights`.
"""

from pathlib import Path
from typing import TypedDict, Unpack

import torch

from resnetlib.modules import Backbone
from resnetlib.weights import InputRule
from resnetlib.zoo import create_model


class ModelOptions(TypedDict, total=False):
    """The options of `resnetlib.create_model`; see there."""

    weights: str | Path | None
    dialect: str | None
    prefix: str | None
    num_classes: int | None
    in_chans: int | None
    input_rule: InputRule | None
    drop_path_rate: float
    drop_rate: float
    proj_drop_rate: float
    memory_efficient: bool
    output_stride: int | None
    device: torch.device | str | int | None
    dtype: torch.dtype | None
    channels_last: bool
    mmap: bool | None


def plain18(**options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-18 (arXiv 1512.03385, table 1)."""
    return create_model("plain18", **options)


def plain34(**options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-34 (arXiv 1512.03385, table 1)."""
    return create_model("plain34", **options)


def resnet18(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-18 (arXiv 1512.03385, table 1)."""
    return create_model("resnet18", **options)


def resnet26(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-26 (arXiv 1512.03385, table 1)."""
    return create_model("resnet26", **options)


def resnet34(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-34 (arXiv 1512.03385, table 1)."""
    return create_model("resnet34", **options)


def resnet50(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-50 (arXiv 1512.03385, table 1)."""
    return create_model("resnet50", **options)


def resnet101(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-101 (arXiv 1512.03385, table 1)."""
    return create_model("resnet101", **options)


def resnet152(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-152 (arXiv 1512.03385, table 1)."""
    return create_model("resnet152", **options)


def resnet200(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-200 (arXiv 1512.03385, table 1)."""
    return create_model("resnet200", **options)


def resnext50_32x4d(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNeXt-50 32x4d (arXiv 1611.05431)."""
    return create_model("resnext50_32x4d", **options)


def resnext101_32x4d(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNeXt-101 32x4d (arXiv 1611.05431)."""
    return create_model("resnext101_32x4d", **options)


def resnext101_32x8d(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNeXt-101 32x8d (arXiv 1611.05431)."""
    return create_model("resnext101_32x8d", **options)


def resnext101_64x4d(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNeXt-101 64x4d (arXiv 1611.05431)."""
    return create_model("resnext101_64x4d", **options)


def wide_resnet50_2(**options: Unpack[ModelOptions]) -> Backbone:
    """Create Wide ResNet-50-2 (arXiv 1605.07146)."""
    return create_model("wide_resnet50_2", **options)


def wide_resnet101_2(**options: Unpack[ModelOptions]) -> Backbone:
    """Create Wide ResNet-101-2 (arXiv 1605.07146)."""
    return create_model("wide_resnet101_2", **options)


def preact_resnet18(**options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-18 (arXiv 1603.05027)."""
    return create_model("preact_resnet18", **options)


def preact_resnet34(**options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-34 (arXiv 1603.05027)."""
    return create_model("preact_resnet34", **options)


def preact_resnet50(**options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-50 (arXiv 1603.05027)."""
    return create_model("preact_resnet50", **options)


def preact_resnet101(**options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-101 (arXiv 1603.05027)."""
    return create_model("preact_resnet101", **options)


def preact_resnet152(**options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-152 (arXiv 1603.05027)."""
    return create_model("preact_resnet152", **options)


def preact_resnet200(**options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-200 (arXiv 1603.05027)."""
    return create_model("preact_resnet200", **options)


def densenet121(**options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-121 (arXiv 1608.06993, table 1)."""
    return create_model("densenet121", **options)


def densenet161(**options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-161 (arXiv 1608.06993, table 1)."""
    return create_model("densenet161", **options)


def densenet169(**options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-169 (arXiv 1608.06993, table 1)."""
    return create_model("densenet169", **options)


def densenet201(**options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-201 (arXiv 1608.06993, table 1)."""
    return create_model("densenet201", **options)


def densenet264(**options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-264 (arXiv 1608.06993, table 1)."""
    return create_model("densenet264", **options)


def cifar_plain20(**options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-20 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_plain20", **options)


def cifar_plain32(**options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-32 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_plain32", **options)


def cifar_plain44(**options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-44 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_plain44", **options)


def cifar_plain56(**options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-56 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_plain56", **options)


def cifar_plain110(**options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-110 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_plain110", **options)


def cifar_resnet20(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-20 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_resnet20", **options)


def cifar_resnet32(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-32 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_resnet32", **options)


def cifar_resnet44(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-44 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_resnet44", **options)


def cifar_resnet56(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-56 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_resnet56", **options)


def cifar_resnet110(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-110 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_resnet110", **options)


def cifar_resnet164(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-164 for CIFAR (arXiv 1603.05027)."""
    return create_model("cifar_resnet164", **options)


def cifar_resnet1202(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-1202 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_resnet1202", **options)


def cifar_resnet20b(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-20 for CIFAR with projection shortcuts (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_resnet20b", **options)


def cifar_resnet32b(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-32 for CIFAR with projection shortcuts (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_resnet32b", **options)


def cifar_resnet44b(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-44 for CIFAR with projection shortcuts (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_resnet44b", **options)


def cifar_resnet56b(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-56 for CIFAR with projection shortcuts (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_resnet56b", **options)


def cifar_resnet110b(**options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-110 for CIFAR with projection shortcuts (arXiv 1512.03385, sec. 4.2)."""
    return create_model("cifar_resnet110b", **options)


def cifar_preact_resnet20(**options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-20 for CIFAR (arXiv 1603.05027)."""
    return create_model("cifar_preact_resnet20", **options)


def cifar_preact_resnet56(**options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-56 for CIFAR (arXiv 1603.05027)."""
    return create_model("cifar_preact_resnet56", **options)


def cifar_preact_resnet110(**options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-110 for CIFAR (arXiv 1603.05027)."""
    return create_model("cifar_preact_resnet110", **options)


def cifar_preact_resnet164(**options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-164 for CIFAR (arXiv 1603.05027)."""
    return create_model("cifar_preact_resnet164", **options)


def cifar_preact_resnet1001(**options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-1001 for CIFAR (arXiv 1603.05027)."""
    return create_model("cifar_preact_resnet1001", **options)


def cifar_densenet40_k12(**options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-40 for CIFAR, growth rate 12 (arXiv 1608.06993)."""
    return create_model("cifar_densenet40_k12", **options)


def cifar_densenet100_k12(**options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-100 for CIFAR, growth rate 12 (arXiv 1608.06993)."""
    return create_model("cifar_densenet100_k12", **options)


def cifar_densenet_bc100_k12(**options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-BC-100 for CIFAR, growth rate 12 (arXiv 1608.06993)."""
    return create_model("cifar_densenet_bc100_k12", **options)


def cifar_densenet_bc190_k40(**options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-BC-190 for CIFAR, growth rate 40 (arXiv 1608.06993)."""
    return create_model("cifar_densenet_bc190_k40", **options)


def cifar_densenet_bc250_k24(**options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-BC-250 for CIFAR, growth rate 24 (arXiv 1608.06993)."""
    return create_model("cifar_densenet_bc250_k24", **options)
