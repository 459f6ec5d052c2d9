"""What of a network learns on, what stays as it was trained, and the way back."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self
from uuid import uuid4

from torch import nn

from resnetlib.finetuning.units import count_upto, units
from resnetlib.modules import Backbone
from resnetlib.modules.arguments import check_module
from resnetlib.modules.frozen import freeze_module_, has_running_stats, unfreeze_module_
from resnetlib.modules.threads import changing


class Frozen:
    """What one call froze; as a context manager, until the block ends.

    Args:
        net: the network.
        modules: what of it is frozen.
        names: what to call it.
    """

    def __init__(self, net: nn.Module, modules: Iterable[nn.Module], names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._net, self._modules, self._holder = net, list(modules), uuid4().hex
        with changing(net):
            for module in self._modules:
                freeze_module_(module, self._holder)

    def remove(self) -> None:
        """Undo this call: what no other one holds is as before, with its momentum and statistics, in the network's mode."""
        with changing(self._net):
            for module in self._modules:
                unfreeze_module_(module, self._holder, training=self._net.training)

    def __enter__(self) -> Self:
        """Begin the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Undo it."""
        self.remove()


def freeze(net: Backbone, upto: str | None = None) -> Frozen:
    """Freeze a network from its input up to a place: parameters get no gradients, and batch norms keep their statistics.

    Args:
        net: the network; changed in place.
        upto: the last part that is frozen, by its name: `"layer3"`, `"layer3.1"`, `"denseblock2"`; None for all but the
            classifier, which makes a linear probe.

    Returns:
        A handle: `names` are those of the frozen layers and blocks; `remove()` undoes this call, to the bit, and so does the end of
        a `with` block. `unfreeze(net)` undoes all calls.

    Raises:
        ValueError: for a part that the network does not have.
        TypeError: for a module that is no network of this library.
        RuntimeError: if another thread evaluates or analyses the network.

    Example:
        >>> from resnetlib import create_model
        >>> net = create_model("resnet18")
        >>> freeze(net, upto="layer1").names
        ('conv1', 'bn1', 'layer1.0', 'layer1.1')
        >>> unfreeze(net)
    """
    parts = units(net)
    count = len(parts) if upto is None else count_upto([name for name, _ in parts], upto)
    modules = (module for _, unit in parts[:count] for module in unit.modules())
    return Frozen(net, modules, (name for name, _ in parts[:count]))


def frozen_batchnorm(net: nn.Module) -> Frozen:
    """Freeze all batch norms of a network: they use their running statistics, and neither these nor scale and shift change.

    They stay frozen through `net.train()`, `copy.deepcopy` and pickling, keep their momentum, and their tensors keep their names.
    `nn.SyncBatchNorm.convert_sync_batchnorm` makes new modules of them, which are not frozen: convert first.

    Args:
        net: any module; changed in place.

    Returns:
        A handle: `names` are those of the norms; `remove()` undoes this call, to the bit, and so does the end of a `with` block.
        `unfreeze(net)` undoes all calls.

    Raises:
        TypeError: for what is no module.
        RuntimeError: if another thread evaluates or analyses the network.

    Source:
        Batches of detectors are too small for statistics of their own, so they keep those of the backbone's training, as with
        torchvision's `FrozenBatchNorm2d`, which has no way back.

    Example:
        >>> from resnetlib import create_model
        >>> net = create_model("resnet18")
        >>> frozen = frozen_batchnorm(net)
        >>> net.train().bn1.training
        False
        >>> frozen.remove()
        >>> net.bn1.training
        True
    """
    check_module(net)
    norms = {name: module for name, module in net.named_modules() if has_running_stats(module)}
    return Frozen(net, norms.values(), norms)


def unfreeze(net: nn.Module) -> None:
    """Let everything learn again: parameters get gradients, batch norms are in the network's mode.

    Args:
        net: the network; changed in place.

    Raises:
        TypeError: for what is no module.
        RuntimeError: if another thread evaluates or analyses the network.
    """
    check_module(net)
    with changing(net):
        for module in net.modules():
            unfreeze_module_(module, None, training=net.training)
        net.requires_grad_(True)
