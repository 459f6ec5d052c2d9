"""Networks: their names, specs and classes."""

from resnetlib.config import DenseNetSpec, ResNetSpec, Spec, spec_from_json
from resnetlib.models.build import build
from resnetlib.models.catalog import SPECS, spec_of
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


def __getattr__(name: str) -> object:
    """Say where a network's function is; torchvision and timm have theirs in `models`."""
    hint = f": write resnetlib.{name}" if name in SPECS else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
