"""Check that a network is what its spec describes."""

import re

from torch import nn

from resnetlib.models import build
from resnetlib.modules import Backbone, Join


def check_unchanged(net: Backbone) -> None:
    """Raise ValueError for a network with other modules than its spec describes: it could not be rebuilt from the spec.

    Stochastic depth, dropout, the momentum of statistics, frozen batch norms and dilation may differ.
    """
    built = build(net.spec, num_classes=net.num_classes, in_chans=net.in_chans, output_stride=net.output_stride, device="meta")
    if type(built) is not type(net):
        raise ValueError(f"the spec is a {type(built).__name__}'s, and the network a {type(net).__name__}: it could not be rebuilt")
    ours, theirs = dict(net.named_modules()), dict(built.named_modules())
    for name in theirs | ours:
        a, b = _described(ours.get(name)), _described(theirs.get(name))
        if a != b:
            raise ValueError(
                f"the network was changed: {name} is {a}, and the spec says {b}. It could not be rebuilt: save its state_dict with "
                "torch.save instead"
            )


def _described(module: nn.Module | None) -> str:
    """Describe what a module computes in evaluation, and the shapes of its parameters."""
    if module is None:
        return "missing"
    kind = type(module).__name__.removeprefix("Stochastic").removeprefix("Frozen")
    options = "" if isinstance(module, Join | nn.Dropout) else re.sub("momentum=[^,]*", "", module.extra_repr())
    shapes = "".join(f" {name} {tuple(tensor.shape)}" for name, tensor in module.named_parameters(recurse=False))
    return f"{kind}({options}){shapes}"
