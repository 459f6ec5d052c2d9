"""Batch norms that keep to their running statistics, whatever mode the network around them is in."""

from typing import Any, Self

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Frozen(_BatchNorm):
    """A batch norm in evaluation mode for good, whose scale and shift are not learned.

    A batch norm becomes one by changing its class in place: parameters, buffers, momentum, hooks and names stay where they are.
    """

    _before: tuple[tuple[str, bool], ...]

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)


class FrozenBatchNorm1d(_Frozen, nn.BatchNorm1d):
    """A frozen `nn.BatchNorm1d`."""


class FrozenBatchNorm2d(_Frozen, nn.BatchNorm2d):
    """A frozen `nn.BatchNorm2d`."""


class FrozenBatchNorm3d(_Frozen, nn.BatchNorm3d):
    """A frozen `nn.BatchNorm3d`."""


class FrozenSyncBatchNorm(_Frozen, nn.SyncBatchNorm):
    """A frozen `nn.SyncBatchNorm`."""


_FROZEN: dict[type[nn.Module], Any] = {
    nn.BatchNorm1d: FrozenBatchNorm1d,
    nn.BatchNorm2d: FrozenBatchNorm2d,
    nn.BatchNorm3d: FrozenBatchNorm3d,
    nn.SyncBatchNorm: FrozenSyncBatchNorm,
}
_THAWED: dict[type[nn.Module], Any] = {frozen: norm for norm, frozen in _FROZEN.items()}


def freeze_norm_(module: nn.Module) -> bool:
    """Freeze a batch norm, in place.

    Args:
        module: any; others than batch norms, frozen ones, and batch norms without running statistics stay what they are.

    Returns:
        Whether it was frozen by this call.
    """
    if type(module) not in _FROZEN or getattr(module, "running_mean", None) is None:
        return False
    module._before = tuple((name, parameter.requires_grad) for name, parameter in module.named_parameters(recurse=False))  # type: ignore[assignment]
    module.requires_grad_(False)
    module.__class__ = _FROZEN[type(module)]
    module.eval()
    return True


def thaw_norm_(module: nn.Module, *, training: bool) -> None:
    """Undo `freeze_norm_`: class, and what is learned, are as before.

    Args:
        module: any; nothing happens to one that is not frozen.
        training: the mode that it shall be in.
    """
    if not isinstance(module, _Frozen):
        return
    module.__class__ = _THAWED[type(module)]
    for name, learned in module._before:
        module.get_parameter(name).requires_grad_(learned)
    del module._before
    module.train(training)
