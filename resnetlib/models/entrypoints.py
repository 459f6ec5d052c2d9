"""One function per named network: `resnet50(...)` is `create_model("resnet50", ...)`.

Unlike the rest of `models`, this file imports `zoo` and `weights`.
"""

from typing import Unpack

from resnetlib.modules import Backbone
from resnetlib.zoo import ModelOptions, create_as


def plain18(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-18 (arXiv 1512.03385, table 1)."""
    return create_as("plain18", pretrained, **options)


def plain34(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-34 (arXiv 1512.03385, table 1)."""
    return create_as("plain34", pretrained, **options)


def resnet18(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-18 (arXiv 1512.03385, table 1)."""
    return create_as("resnet18", pretrained, **options)


def resnet26(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-26, which timm added: ResNet-18 with bottlenecks."""
    return create_as("resnet26", pretrained, **options)


def resnet34(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-34 (arXiv 1512.03385, table 1)."""
    return create_as("resnet34", pretrained, **options)


def resnet50(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-50 (arXiv 1512.03385, table 1)."""
    return create_as("resnet50", pretrained, **options)


def resnet101(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-101 (arXiv 1512.03385, table 1)."""
    return create_as("resnet101", pretrained, **options)


def resnet152(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-152 (arXiv 1512.03385, table 1)."""
    return create_as("resnet152", pretrained, **options)


def resnet200(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-200 (arXiv 1603.05027, table 5)."""
    return create_as("resnet200", pretrained, **options)


def resnext50_32x4d(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNeXt-50 32x4d (arXiv 1611.05431)."""
    return create_as("resnext50_32x4d", pretrained, **options)


def resnext101_32x4d(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNeXt-101 32x4d (arXiv 1611.05431)."""
    return create_as("resnext101_32x4d", pretrained, **options)


def resnext101_32x8d(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNeXt-101 32x8d (arXiv 1611.05431)."""
    return create_as("resnext101_32x8d", pretrained, **options)


def resnext101_64x4d(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNeXt-101 64x4d (arXiv 1611.05431)."""
    return create_as("resnext101_64x4d", pretrained, **options)


def wide_resnet50_2(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create Wide ResNet-50-2 (arXiv 1605.07146)."""
    return create_as("wide_resnet50_2", pretrained, **options)


def wide_resnet101_2(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create Wide ResNet-101-2 (arXiv 1605.07146)."""
    return create_as("wide_resnet101_2", pretrained, **options)


def preact_resnet18(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-18 (arXiv 1603.05027)."""
    return create_as("preact_resnet18", pretrained, **options)


def preact_resnet34(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-34 (arXiv 1603.05027)."""
    return create_as("preact_resnet34", pretrained, **options)


def preact_resnet50(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-50 (arXiv 1603.05027)."""
    return create_as("preact_resnet50", pretrained, **options)


def preact_resnet101(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-101 (arXiv 1603.05027)."""
    return create_as("preact_resnet101", pretrained, **options)


def preact_resnet152(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-152 (arXiv 1603.05027)."""
    return create_as("preact_resnet152", pretrained, **options)


def preact_resnet200(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-200 (arXiv 1603.05027)."""
    return create_as("preact_resnet200", pretrained, **options)


def densenet121(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-121 (arXiv 1608.06993, table 1)."""
    return create_as("densenet121", pretrained, **options)


def densenet161(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-161 (arXiv 1608.06993, table 1)."""
    return create_as("densenet161", pretrained, **options)


def densenet169(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-169 (arXiv 1608.06993, table 1)."""
    return create_as("densenet169", pretrained, **options)


def densenet201(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-201 (arXiv 1608.06993, table 1)."""
    return create_as("densenet201", pretrained, **options)


def densenet264(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-264 (arXiv 1608.06993, table 1)."""
    return create_as("densenet264", pretrained, **options)


def cifar_plain20(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-20 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_as("cifar_plain20", pretrained, **options)


def cifar_plain32(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-32 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_as("cifar_plain32", pretrained, **options)


def cifar_plain44(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-44 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_as("cifar_plain44", pretrained, **options)


def cifar_plain56(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-56 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_as("cifar_plain56", pretrained, **options)


def cifar_plain110(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create PlainNet-110 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_as("cifar_plain110", pretrained, **options)


def cifar_resnet20(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-20 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_as("cifar_resnet20", pretrained, **options)


def cifar_resnet32(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-32 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_as("cifar_resnet32", pretrained, **options)


def cifar_resnet44(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-44 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_as("cifar_resnet44", pretrained, **options)


def cifar_resnet56(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-56 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_as("cifar_resnet56", pretrained, **options)


def cifar_resnet110(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-110 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_as("cifar_resnet110", pretrained, **options)


def cifar_resnet164(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-164 for CIFAR (arXiv 1603.05027)."""
    return create_as("cifar_resnet164", pretrained, **options)


def cifar_resnet1202(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-1202 for CIFAR (arXiv 1512.03385, sec. 4.2)."""
    return create_as("cifar_resnet1202", pretrained, **options)


def cifar_resnet20b(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-20 for CIFAR with projection shortcuts (arXiv 1512.03385, sec. 3.3)."""
    return create_as("cifar_resnet20b", pretrained, **options)


def cifar_resnet32b(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-32 for CIFAR with projection shortcuts (arXiv 1512.03385, sec. 3.3)."""
    return create_as("cifar_resnet32b", pretrained, **options)


def cifar_resnet44b(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-44 for CIFAR with projection shortcuts (arXiv 1512.03385, sec. 3.3)."""
    return create_as("cifar_resnet44b", pretrained, **options)


def cifar_resnet56b(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-56 for CIFAR with projection shortcuts (arXiv 1512.03385, sec. 3.3)."""
    return create_as("cifar_resnet56b", pretrained, **options)


def cifar_resnet110b(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create ResNet-110 for CIFAR with projection shortcuts (arXiv 1512.03385, sec. 3.3)."""
    return create_as("cifar_resnet110b", pretrained, **options)


def cifar_preact_resnet20(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-20 for CIFAR (arXiv 1603.05027)."""
    return create_as("cifar_preact_resnet20", pretrained, **options)


def cifar_preact_resnet56(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-56 for CIFAR (arXiv 1603.05027)."""
    return create_as("cifar_preact_resnet56", pretrained, **options)


def cifar_preact_resnet110(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-110 for CIFAR (arXiv 1603.05027)."""
    return create_as("cifar_preact_resnet110", pretrained, **options)


def cifar_preact_resnet164(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-164 for CIFAR (arXiv 1603.05027)."""
    return create_as("cifar_preact_resnet164", pretrained, **options)


def cifar_preact_resnet1001(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create pre-activation ResNet-1001 for CIFAR (arXiv 1603.05027)."""
    return create_as("cifar_preact_resnet1001", pretrained, **options)


def cifar_densenet40_k12(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-40 for CIFAR, growth rate 12 (arXiv 1608.06993)."""
    return create_as("cifar_densenet40_k12", pretrained, **options)


def cifar_densenet100_k12(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-100 for CIFAR, growth rate 12 (arXiv 1608.06993)."""
    return create_as("cifar_densenet100_k12", pretrained, **options)


def cifar_densenet_bc100_k12(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-BC-100 for CIFAR, growth rate 12 (arXiv 1608.06993)."""
    return create_as("cifar_densenet_bc100_k12", pretrained, **options)


def cifar_densenet_bc190_k40(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-BC-190 for CIFAR, growth rate 40 (arXiv 1608.06993)."""
    return create_as("cifar_densenet_bc190_k40", pretrained, **options)


def cifar_densenet_bc250_k24(pretrained: bool = False, **options: Unpack[ModelOptions]) -> Backbone:
    """Create DenseNet-BC-250 for CIFAR, growth rate 24 (arXiv 1608.06993)."""
    return create_as("cifar_densenet_bc250_k24", pretrained, **options)
