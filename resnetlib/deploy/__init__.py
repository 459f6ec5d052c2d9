"""Make trained networks faster, and run exported ones. Names are imported when they are first used: running needs no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnetlib.deploy.fold import NormPairs, copy_sharing_parameters, find_conv_norm_pairs, fold_norms, fold_state, remove_norms
    from resnetlib.deploy.onnx_model import OnnxModel

__all__ = [
    "NormPairs",
    "OnnxModel",
    "copy_sharing_parameters",
    "find_conv_norm_pairs",
    "fold_norms",
    "fold_state",
    "remove_norms",
]

_MODULES = {"OnnxModel": "onnx_model"}
"""The modules of names that are not in `fold`."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'fold')}"), name)


def __dir__() -> list[str]:
    return __all__
