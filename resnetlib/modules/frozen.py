"""Freeze modules: no gradients for parameters, and fixed running statistics in batch norms."""

from functools import cache
from typing import Any, Self, TypeGuard

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnetlib.modules.arguments import check_module


class _FrozenBatchNorm(_BatchNorm):
    """A batch norm that stays in evaluation mode.

    Freezing changes the class of a batch norm in place, so that parameters, buffers, momentum, hooks and names stay.
    """

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    def reset_running_stats(self) -> None:
        """Keep the frozen statistics, which `torch.optim.swa_utils.update_bn` would reset."""

    def reset_parameters(self) -> None:
        """Initialize the norm, statistics included."""
        super().reset_running_stats()
        super().reset_parameters()


class FrozenBatchNorm1d(_FrozenBatchNorm, nn.BatchNorm1d):
    """A frozen `nn.BatchNorm1d`."""


class FrozenBatchNorm2d(_FrozenBatchNorm, nn.BatchNorm2d):
    """A frozen `nn.BatchNorm2d`."""


class FrozenBatchNorm3d(_FrozenBatchNorm, nn.BatchNorm3d):
    """A frozen `nn.BatchNorm3d`."""


class FrozenSyncBatchNorm(_FrozenBatchNorm, nn.SyncBatchNorm):
    """A frozen `nn.SyncBatchNorm`."""


_NAMED: dict[type[nn.Module], Any] = {
    frozen.__bases__[1]: frozen for frozen in (FrozenBatchNorm1d, FrozenBatchNorm2d, FrozenBatchNorm3d, FrozenSyncBatchNorm)
}


@cache
def _frozen_class(kind: type[nn.Module]) -> Any:
    """Return the frozen version of a batch norm class; that of a user's own class cannot be pickled."""
    return _NAMED.get(kind) or type(f"Frozen{kind.__name__}", (_FrozenBatchNorm, kind), {})


def has_running_stats(module: nn.Module) -> TypeGuard[_BatchNorm]:
    """Return whether a module is a batch norm with running statistics, frozen or not."""
    return isinstance(module, _BatchNorm) and module.running_mean is not None


def freeze_module_(module: nn.Module, holder: str) -> None:
    """Freeze a module's own parameters (not its children's) and, if it is a batch norm, its statistics.

    A module that was frozen under several names stays frozen until each of them is released.
    """
    check_module(module)
    holders = vars(module).setdefault("_holders", set())
    if not holders:
        vars(module)["_learned"] = [name for name, p in module.named_parameters(recurse=False) if p.requires_grad]
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
        if has_running_stats(module):
            module.__class__ = _frozen_class(type(module))  # type: ignore[arg-type]
            module.eval()
    holders.add(holder)


def unfreeze_module_(module: nn.Module, holder: str | None, *, training: bool) -> None:
    """Undo `freeze_module_(module, holder)`, or with `holder=None` every call of it.

    When no holder is left, the parameters get gradients as before, and a batch norm is in the mode `training`.
    """
    check_module(module)
    holders = vars(module).get("_holders")
    if holders is None:
        return
    if holder is not None and holders != {holder}:
        holders.discard(holder)
        return
    if isinstance(module, _FrozenBatchNorm):
        module.__class__ = type(module).__bases__[1]
        module.train(training)
    for name in vars(module).pop("_learned"):
        module.get_parameter(name).requires_grad_(True)
    del vars(module)["_holders"]
