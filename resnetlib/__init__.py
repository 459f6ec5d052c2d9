"""PlainNet, ResNet, PreActResNet and DenseNet, which differ in how a block joins its branch with its input.

    import resnetlib
    net = resnetlib.create_model("cifar_resnet20", weights="resnetlib_c10")

Names are imported when they are first used, so that `import resnetlib` is fast.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnetlib import (
        analysis,
        config,
        data,
        deploy,
        errors,
        features,
        finetuning,
        inference,
        models,
        modules,
        train,
        weights,
        zoo,
    )
    from resnetlib.deploy.fuse import *
    from resnetlib.deploy.onnx_export import *
    from resnetlib.experiments import *
    from resnetlib.finetuning import *
    from resnetlib.finetuning.finetune import *
    from resnetlib.inference import *
    from resnetlib.models import *
    from resnetlib.models.entrypoints import *
    from resnetlib.modules import *
    from resnetlib.zoo import *

__version__ = "0.2.0"

_PUBLIC_MODULES = (
    "modules", "models", "zoo", "inference", "finetuning", "finetuning.finetune", "experiments",
    "deploy.fuse", "deploy.onnx_export",
)  # fmt: skip
"""The modules whose `__all__` is public in this package."""

_SUBMODULES = (
    "analysis", "config", "data", "deploy", "errors", "features", "finetuning",
    "inference", "models", "modules", "train", "weights", "zoo",
)  # fmt: skip
"""The public submodules."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name == "__all__":
            return [public for public in __dir__() if not public.startswith("_")]
        if name in _SUBMODULES:
            return import_module(f"{__name__}.{name}")
        if not name.startswith("_"):
            for module in _public_modules():
                if name in module.__all__:
                    return getattr(module, name)
            if name in import_module(f"{__name__}.models.catalog").SPECS:
                return getattr(import_module(f"{__name__}.models.entrypoints"), name)
        raise AttributeError(f"module 'resnetlib' has no attribute {name!r}")


def _public_modules() -> Iterator[Any]:
    return (import_module(f"{__name__}.{name}") for name in _PUBLIC_MODULES)


def __dir__() -> list[str]:
    specs = import_module(f"{__name__}.models.catalog").SPECS
    return sorted({"__version__", *_SUBMODULES, *specs, *(name for module in _public_modules() for name in module.__all__)})
