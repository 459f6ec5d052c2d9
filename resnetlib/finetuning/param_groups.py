"""Parameter groups for optimizers: no weight decay on norms and biases, and layer-wise learning rates."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from torch import nn

from resnetlib.errors import InputError, InputTypeError, printable
from resnetlib.finetuning.freeze import layers_of
from resnetlib.modules import Backbone
from resnetlib.modules.arguments import check_module, check_number

ParameterGroup = dict[str, Any]
"""A group for an optimizer: `params` (names and parameters), `lr`, `weight_decay`, and our own `label` and `lr_scale`."""


def parameter_groups(
    net: nn.Module, *, lr: float, weight_decay: float = 0.0, layer_decay: float = 1.0, decay_all: bool = False
) -> list[ParameterGroup]:
    """Group a network's parameters for an optimizer: no weight decay on norms and biases, lower learning rates for early layers.

    The learning rate is `lr` at the classifier, and falls by `layer_decay` at each layer before it: the last norm, each block, each
    transition, and the stem. The groups work with any optimizer and scheduler of `torch.optim`.

    Args:
        net: the network; with `layer_decay=1` any module.
        lr: learning rate of the classifier.
        weight_decay: weight decay of parameters with two dimensions or more.
        layer_decay: factor from each layer to the one before it, in (0, 1]; 1 for a single learning rate.
        decay_all: apply weight decay to norms and biases too.

    Returns:
        The groups, from the stem to the classifier; frozen parameters are included.

    Raises:
        ValueError: for numbers out of range.
        TypeError: for other types of arguments, and for layer-wise rates of a module that is not a network of this library.

    Source:
        Layer-wise rates: arXiv 1801.06146, sec. 3.2 ("discriminative fine-tuning"). No decay of norms and biases: arXiv 1812.01187,
        sec. 3.1.

    Example:
        >>> import torch
        >>> from resnetlib import create_model
        >>> groups = parameter_groups(create_model("resnet18"), lr=0.1, weight_decay=1e-4, layer_decay=0.5)
        >>> optimizer = torch.optim.SGD(groups, momentum=0.9)
        >>> groups[-2]["label"], groups[-2]["lr"], groups[-4]["label"], groups[-4]["lr"]
        ('head', 0.1, 'layer4.1', 0.05)
    """
    check_module(net)
    for name, value in (("lr", lr), ("weight_decay", weight_decay), ("layer_decay", layer_decay)):
        check_number(name, value)
    if lr <= 0 or weight_decay < 0:
        raise InputError(f"lr must be above 0, and weight_decay 0 or more, got {lr} and {weight_decay}")
    if not 0 < layer_decay <= 1:
        raise InputError(f"layer_decay must be above 0, and 1 at most, got {layer_decay}")
    depth_of, labels = _depths(net) if layer_decay < 1 else (defaultdict(int), ["all"])
    groups: dict[tuple[int, bool], ParameterGroup] = {}
    for name, parameter in net.named_parameters():
        depth, decays = depth_of[name], decay_all or parameter.ndim > 1
        scale = layer_decay ** (len(labels) - 1 - depth)
        empty = {
            "params": [],
            "lr": lr * scale,
            "weight_decay": weight_decay if decays else 0.0,
            "label": labels[depth] + ("" if decays else ", no decay"),
            "lr_scale": scale,
        }
        groups.setdefault((depth, not decays), empty)["params"].append((name, parameter))
    return [groups[key] for key in sorted(groups)]


def layer_decay_for(net: nn.Module, stem_lr_scale: float) -> float:
    """Return the `layer_decay` that makes the stem's learning rate `stem_lr_scale` times the classifier's."""
    return float(stem_lr_scale ** (1 / (len(_depths(net)[1]) - 1)))


def table_of(groups: list[ParameterGroup]) -> str:
    """Format parameter groups, or those of an optimizer, as a table; raise TypeError for anything else.

    >>> from resnetlib import create_model
    >>> print(table_of(parameter_groups(create_model("cifar_resnet20"), lr=0.1, weight_decay=1e-4)))
    group               rate     decay  tensors      numbers
    all                  0.1    0.0001       20      268,336
    all, no decay        0.1         0       39        1,386
    """
    keys = {"params", "lr", "weight_decay"}
    if not isinstance(groups, list) or not all(isinstance(group, dict) and keys <= group.keys() for group in groups):
        got = printable(repr(groups), 200)
        raise InputTypeError(f"groups must be a list of dicts, as parameter_groups returns it, got {got}")
    labels = [group.get("label", f"group {i}") for i, group in enumerate(groups)]
    width = max([16, *map(len, labels)])
    lines = [f"{'group':{width}} {'rate':>7} {'decay':>9}  tensors      numbers"]
    for label, group in zip(labels, groups, strict=True):
        tensors = [entry[1] if isinstance(entry, tuple) else entry for entry in group["params"]]
        numbers = sum(tensor.numel() for tensor in tensors)
        lines.append(f"{label:{width}} {group['lr']:7.3g} {group['weight_decay']:9.3g} {len(tensors):8} {numbers:12,}")
    return "\n".join(lines)


def _depths(net: nn.Module) -> tuple[Mapping[str, int], list[str]]:
    """Return each parameter's depth by its name, from 0 (stem) to the classifier's, and a label for each depth."""
    layers = layers_of(net)
    assert isinstance(net, Backbone)  # noqa: S101 - for type checkers
    stem = set(net.stem())
    labels = ["stem", *(name for name, layer in layers if layer not in stem), "head"]
    depths = {name: len(labels) - 1 for name, _ in net.named_parameters()}
    for name, layer in layers:
        depth = 0 if layer in stem else labels.index(name)
        depths |= {f"{name}.{parameter}": depth for parameter, _ in layer.named_parameters()}
    return depths, labels
