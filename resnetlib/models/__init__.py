"""Networks: their names, specs and classes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from resnetlib.config import DenseNetSpec, ResNetSpec, Spec, spec_from_json
from resnetlib.models.build import build
from resnetlib.models.catalog import SPECS, spec_of
from resnetlib.models.densenet import DenseNet
from resnetlib.models.resnet import BlockNet, PlainNet, PreActResNet, ResNet

if TYPE_CHECKING:
    from resnetlib.models.entrypoints import *  # noqa: F403

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


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return a network's function, imported on first use."""
        if name in SPECS:
            return getattr(import_module(f"{__name__}.entrypoints"), name)  # it imports `zoo`, which imports this package
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *SPECS})
