"""From a recipe to an optimizer."""

from typing import Any

import torch
from torch import nn

from resnetlib.train.recipe import Recipe


def make_optimizer(recipe: Recipe, net: nn.Module) -> torch.optim.Optimizer:
    """Make a recipe's optimizer for a network's parameters.

    Args:
        recipe: its optimizer, weight decay and momentum.
        net: the network.

    Returns:
        The optimizer. With `decay_all=False`, its second group holds what does not decay: all that has fewer than two dimensions.

    Raises:
        ValueError: for LAMB, where timm, which has it, is not installed.
    """
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    decaying = [parameter for parameter in parameters if recipe.decay_all or parameter.ndim > 1]
    resting = [parameter for parameter in parameters if not recipe.decay_all and parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decaying}] + ([{"params": resting, "weight_decay": 0.0}] if resting else [])
    if recipe.optimizer == "lamb":
        return _lamb(groups, recipe)
    return torch.optim.SGD(
        groups,
        recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.optimizer == "nesterov",
        fused=all(parameter.is_cuda for parameter in parameters),
    )


def _lamb(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    try:
        from timm.optim import Lamb  # type: ignore[attr-defined]
    except ImportError as error:
        raise ValueError("the optimizer 'lamb' is timm's: `pip install timm`, or choose 'sgd' or 'nesterov'") from error
    optimizer: torch.optim.Optimizer = Lamb(groups, recipe.lr, weight_decay=recipe.weight_decay, max_grad_norm=None)
    return optimizer
