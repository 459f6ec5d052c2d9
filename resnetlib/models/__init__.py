"""Networks: their names, specs and classes."""

from resnetlib.config import DenseNetSpec, ResNetSpec, Spec, spec_from_json
from resnetlib.models.build import build
from resnetlib.models.catalog import spec_of
from resnetlib.models.densenet import DenseNet
from resnetlib.models.resnet import BlockNet, PlainNet, PreActResNet, ResNet

__all__ = [
    "BlockNet",
    "DenseNet",
    "DenseNetSpec",
    "PlainNet",
    "PreActResNet",
    "ResNet",
    "ResNetSpec",
    "Spec",
    "build",
    "spec_from_json",
    "spec_of",
]
