"""Modules that are held: their parameters get no gradients, and batch norms keep to their running statistics."""

from functools import cache
from typing import Any, Self

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnetlib.modules.arguments import check_module


class _Frozen(_BatchNorm):
    """A batch norm in evaluation mode for good.

    A batch norm becomes one by changing its class in place: parameters, buffers, momentum, hooks and names stay where they are.
    """

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


_NAMED: dict[type[nn.Module], Any] = {
    nn.BatchNorm1d: FrozenBatchNorm1d,
    nn.BatchNorm2d: FrozenBatchNorm2d,
    nn.BatchNorm3d: FrozenBatchNorm3d,
    nn.SyncBatchNorm: FrozenSyncBatchNorm,
}


@cache
def _frozen_class(kind: type[nn.Module]) -> Any:
    """Return the class of frozen norms of a kind; those of kinds that others define cannot be pickled."""
    return _NAMED.get(kind) or type(f"Frozen{kind.__name__}", (_Frozen, kind), {})


def is_norm_layer(module: nn.Module) -> bool:
    """Tell whether a module is a batch norm that has running statistics to keep to, frozen or not."""
    return isinstance(module, _BatchNorm) and module.running_mean is not None


def hold_(module: nn.Module, holder: str) -> None:
    """Hold a module: its own parameters get no gradients, and a batch norm is frozen. It may have several holders.

    Args:
        module: any; what it contains is not held with it.
        holder: whose hold it is.
    """
    check_module(module)
    holders = vars(module).setdefault("_holders", set())
    if not holders:
        vars(module)["_learned"] = [name for name, p in module.named_parameters(recurse=False) if p.requires_grad]
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
        if is_norm_layer(module):
            module.__class__ = _frozen_class(type(module))  # type: ignore[arg-type]
            module.eval()
    holders.add(holder)


def release_(module: nn.Module, holder: str | None, *, training: bool) -> None:
    """End a hold; with the last one, everything is as it was before the first.

    Args:
        module: any; nothing happens to one that is not held so.
        holder: whose hold it was; None for all of them.
        training: the mode that a batch norm shall then be in.
    """
    check_module(module)
    holders = vars(module).get("_holders")
    if holders is None or (holder is not None and holder not in holders):
        return
    if holder is not None and len(holders) > 1:
        holders.remove(holder)
        return
    if isinstance(module, _Frozen):
        module.__class__ = type(module).__mro__[2]
        module.train(training)
    for name in vars(module).pop("_learned"):
        module.get_parameter(name).requires_grad_(True)
    del vars(module)["_holders"]
