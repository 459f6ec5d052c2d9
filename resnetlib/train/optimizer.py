"""From a recipe to an optimizer."""

from typing import Any

import torch
from torch import nn

from resnetlib.finetuning.groups import layer_decay_for, parameter_groups
from resnetlib.train.recipe import Recipe


def make_optimizer(recipe: Recipe, net: nn.Module) -> torch.optim.Optimizer:
    """Make a recipe's optimizer for a network's parameters.

    Args:
        recipe: its optimizer, weight decay and momentum.
        net: the network.

    Returns:
        The optimizer, with the groups of `resnetlib.parameter_groups`: unless `decay_all`, norms and biases do not decay.

    Raises:
        ValueError: for LAMB, where timm, which has it, is not installed.
    """
    layer_decay = layer_decay_for(net, recipe.stem_rate) if recipe.stem_rate < 1 else 1.0
    groups = parameter_groups(
        net, lr=recipe.lr, weight_decay=recipe.weight_decay, layer_decay=layer_decay, decay_all=recipe.decay_all
    )
    fused = all(parameter.is_cuda for parameter in net.parameters())
    if recipe.optimizer == "lamb":
        return _lamb(groups, recipe)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.lr, fused=fused)
    return torch.optim.SGD(groups, recipe.lr, momentum=recipe.momentum, nesterov=recipe.optimizer == "nesterov", fused=fused)


def _lamb(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    try:
        from timm.optim import Lamb  # type: ignore[attr-defined]
    except ImportError as error:
        raise ValueError("the optimizer 'lamb' is timm's: `pip install timm`, or choose 'sgd' or 'nesterov'") from error
    optimizer: torch.optim.Optimizer = Lamb(groups, recipe.lr, max_grad_norm=None)
    return optimizer
