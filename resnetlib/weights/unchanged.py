"""Check that a network is what its spec describes."""

import re

from torch import nn

from resnetlib.models import build
from resnetlib.modules import Backbone, Join

_MOMENTUM = re.compile(r"momentum=[^,]*")


def check_unchanged(net: Backbone) -> None:
    """Raise ValueError for a network with other modules than its spec describes: it could not be rebuilt from the spec.

    Stochastic depth, dropout, the momentum of statistics, frozen batch norms and dilation may differ.
    """
    built = build(net.spec, num_classes=net.num_classes, in_chans=net.in_chans, output_stride=net.output_stride, device="meta")
    if type(built) is not type(net):
        raise ValueError(f"the spec is a {type(built).__name__}'s, and the network a {type(net).__name__}: it could not be rebuilt")
    ours, theirs = dict(net.named_modules()), dict(built.named_modules())
    for name in theirs | ours:
        a, b = ours.get(name), theirs.get(name)
        if a is None or b is None or not _same(a, b):
            raise ValueError(
                f"the network was changed: {name} is {_shown(a)}, and the spec says {_shown(b)}. It could not be rebuilt: save its "
                "state_dict with torch.save instead"
            )


def _same(ours: nn.Module, built: nn.Module) -> bool:
    """Return whether two modules compute the same in evaluation, given the same parameters."""
    if type(ours).__name__.removeprefix("Stochastic").removeprefix("Frozen") != type(built).__name__:
        return False
    a, b = ([(name, tensor.shape) for name, tensor in module.named_parameters(recurse=False)] for module in (ours, built))
    details = (_MOMENTUM.sub("", module.extra_repr()) for module in (ours, built))
    return a == b and (isinstance(ours, Join | nn.Dropout) or len(set(details)) == 1)


def _shown(module: nn.Module | None) -> str:
    return "missing" if module is None else f"{type(module).__name__}({module.extra_repr()})"
