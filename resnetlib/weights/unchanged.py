"""Is a network still what its spec would build?"""

import re

from torch import nn

from resnetlib.models import build
from resnetlib.modules import Backbone, Join

_MOMENTUM = re.compile(r"momentum=[^,]*")


def check_unchanged(net: Backbone) -> None:
    """Raise ValueError for a network that its spec does not describe: nobody could rebuild it from there.

    What regularises training (stochastic depth, dropout, momentum of statistics), frozen batch norms and dilation may differ.

    Args:
        net: the network.

    Raises:
        ValueError: with the first module that is another one.
    """
    rebuilt = build(net.spec, num_classes=net.num_classes, in_chans=net.in_chans, output_stride=net.output_stride, device="meta")
    if type(rebuilt) is not type(net):
        raise ValueError(
            f"the spec is a {type(rebuilt).__name__}'s, and the network a {type(net).__name__}: it could not be rebuilt"
        )
    ours, theirs = dict(net.named_modules()), dict(rebuilt.named_modules())
    for name in {**theirs, **ours}:
        a, b = ours.get(name), theirs.get(name)
        if a is None or b is None or not _same(a, b):
            raise ValueError(
                f"the network was changed: {name} is {_shown(a)}, and the spec says {_shown(b)}. It could not be rebuilt: save its "
                "state_dict with torch.save instead"
            )


def _same(ours: nn.Module, built: nn.Module) -> bool:
    """Tell whether two modules compute the same, with the same numbers, once they are trained."""
    if type(ours).__name__.removeprefix("Stochastic").removeprefix("Frozen") != type(built).__name__:
        return False
    shapes = [[(name, tensor.shape) for name, tensor in module.named_parameters(recurse=False)] for module in (ours, built)]
    if isinstance(ours, Join | nn.Dropout):
        return shapes[0] == shapes[1]
    return shapes[0] == shapes[1] and _MOMENTUM.sub("", ours.extra_repr()) == _MOMENTUM.sub("", built.extra_repr())


def _shown(module: nn.Module | None) -> str:
    return "missing" if module is None else f"{type(module).__name__}({module.extra_repr()})"
