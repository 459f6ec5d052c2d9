"""Make trained networks faster, export them, and run exported ones. Names are imported when used, as running needs no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnetlib.deploy.fold import NormPairs, copy_sharing_parameters, find_conv_norm_pairs, fold_norms, fold_state, remove_norms
    from resnetlib.deploy.fuse import OptimizedNetwork, optimize
    from resnetlib.deploy.onnx_export import ExportReport, RuntimeCheck, export
    from resnetlib.deploy.onnx_model import OnnxModel

__all__ = [
    "ExportReport",
    "NormPairs",
    "OnnxModel",
    "OptimizedNetwork",
    "RuntimeCheck",
    "copy_sharing_parameters",
    "export",
    "find_conv_norm_pairs",
    "fold_norms",
    "fold_state",
    "optimize",
    "remove_norms",
]

_MODULES = {
    "OnnxModel": "onnx_model", "OptimizedNetwork": "fuse", "optimize": "fuse",
    "ExportReport": "onnx_export", "RuntimeCheck": "onnx_export", "export": "onnx_export",
}  # fmt: skip
"""The modules of names that are not in `fold`."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'fold')}"), name)


def __dir__() -> list[str]:
    return __all__
