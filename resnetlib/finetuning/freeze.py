"""Freeze and unfreeze parts of a network."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from itertools import accumulate
from uuid import uuid4

from torch import nn

from resnetlib.errors import InputError
from resnetlib.modules import Backbone, Stage
from resnetlib.modules.arguments import check_module
from resnetlib.modules.backbone import check_network
from resnetlib.modules.frozen import freeze_module_, has_running_stats, unfreeze_module_
from resnetlib.modules.thread_guards import changing


class Frozen(AbstractContextManager["Frozen"]):
    """Handle of frozen modules, which unfreezes them at the end of a `with` block or by `remove()`.

    Args:
        net: the network.
        modules: the modules to freeze.
        names: names of the frozen layers, blocks or batch norms.
    """

    def __init__(self, net: nn.Module, modules: Iterable[nn.Module], names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._net, self._modules, self._holder = net, list(modules), uuid4().hex
        with changing(net):
            for module in self._modules:
                freeze_module_(module, self._holder)

    def remove(self) -> None:
        """Unfreeze the modules, except those that another call froze, and restore their norms."""
        with changing(self._net):
            for module in self._modules:
                unfreeze_module_(module, self._holder, training=self._net.training)

    def __exit__(self, *_: object) -> None:
        self.remove()


def freeze(net: Backbone, up_to: str | None = None) -> Frozen:
    """Freeze a network from its input up to a layer: parameters get no gradients, and batch norms keep their statistics.

    Args:
        net: the network; changed in place.
        up_to: name of the last part to freeze, such as `"layer3"`, `"layer3.1"` or `"denseblock2"`; None for all but the
            classifier, as for a linear probe.

    Returns:
        A handle: `names` are the frozen layers and blocks; `remove()`, or the end of a `with` block, undoes this call bit for bit.
        `unfreeze(net)` undoes all calls.

    Raises:
        ValueError: if the network has no such part.
        TypeError: if the module is not a network of this library.
        RuntimeError: if another thread evaluates or analyzes the network.

    Example:
        >>> from resnetlib import create_model
        >>> net = create_model("resnet18")
        >>> freeze(net, up_to="layer1").names
        ('conv1', 'bn1', 'layer1.0', 'layer1.1')
        >>> unfreeze(net)
    """
    layers = layers_of(net)
    count = len(layers) if up_to is None else _count_up_to([name for name, _ in layers], str(up_to))
    modules = (module for _, layer in layers[:count] for module in layer.modules())
    return Frozen(net, modules, (name for name, _ in layers[:count]))


def frozen_batchnorm(net: nn.Module) -> Frozen:
    """Freeze all batch norms of a module: they use their running statistics, and neither these nor scale and shift change.

    They stay frozen through `net.train()`, `copy.deepcopy` and pickling, and keep their momentum and the names of their tensors.
    `nn.SyncBatchNorm.convert_sync_batchnorm` creates new modules, which are not frozen: convert first.

    Args:
        net: any module; changed in place.

    Returns:
        A handle: `names` are the batch norms; `remove()`, or the end of a `with` block, undoes this call bit for bit.
        `unfreeze(net)` undoes all calls.

    Raises:
        TypeError: if `net` is not a module.
        RuntimeError: if another thread evaluates or analyzes the network.

    Source:
        Detectors train with batches too small for batch statistics, and keep the backbone's. torchvision's `FrozenBatchNorm2d`
        does so for good.

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
    """Unfreeze all parameters and batch norms, in place.

    Raise TypeError if `net` is not a module, and RuntimeError if another thread evaluates or analyzes it.
    """
    check_module(net)
    with changing(net):
        for module in net.modules():
            unfreeze_module_(module, None, training=net.training)
        net.requires_grad_(True)


def layers_of(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the stem's layers, the blocks, the transitions and the last norm, with their names."""
    net = check_network(net, compiled=False)
    names = {module: name for name, module in net.named_modules()}
    parts = [*net.stem(), *(part for stage in net.stages() for part in stage), *net.tail()]
    layers = [layer for part in parts for layer in (part if isinstance(part, Stage) else (part,))]
    return [(names[layer], layer) for layer in layers if next(layer.parameters(), None) is not None]


def _count_up_to(names: list[str], up_to: str) -> int:
    """Return the number of layers up to a layer or a module that contains some; a prefix that all names share is optional."""
    firsts = {name.partition(".")[0] for name in names}
    prefix = f"{firsts.pop()}." if len(firsts) == 1 else ""
    counts: dict[str, int] = {}
    for count, name in enumerate(names, 1):
        for path in (name, name.removeprefix(prefix)):
            counts |= dict.fromkeys(accumulate(path.split("."), "{}.{}".format), count)
    if up_to not in counts:
        choices = ", ".join(dict.fromkeys(name.removeprefix(prefix).partition(".")[0] for name in names))
        raise InputError(
            f"the network has no layer {up_to!r}; its layers are {choices}, and blocks such as {names[len(names) // 2]}"
        )
    return counts[up_to]
