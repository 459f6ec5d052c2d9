"""Weights for images of another number of channels."""

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import Literal

import torch
from torch import Tensor

from resnetlib.weights.dialects import ENDS, Recognised

InputRule = Literal["sum", "repeat", "zeros"] | Callable[[Tensor, int], Tensor]
"""How a first convolution is adapted to images of another number of channels; or a function of the weight and the number."""


def adapt_input(weight: Tensor, channels: int, rule: InputRule | None = None) -> Tensor:
    """Adapt the first convolution to images of another number of channels.

    "sum"
        for one channel: the sum over the old ones. A grey image gives what it gave as a grey picture in colour.
    "repeat"
        the old channels in turn (R, G, B, R, G ...), scaled by old / new, so that the outputs keep their scale.
    "zeros"
        the old channels, and zeros for those that come after them, such as depth or infrared: what the network computes of colours
        stays as it is until it has learned more.

    Shapes:
        `(C_out, C_in, k, k)` -> `(C_out, channels, k, k)`.

    Args:
        weight: of the convolution.
        channels: of the images.
        rule: one of these, or a function that takes `(weight, channels)`; None for the sum for one channel, otherwise to repeat,
            as timm has it.

    Returns:
        The new weight; the old one itself where the number is the same.

    Raises:
        ValueError: for another rule, a rule that does not go with the number, or a function that returns another shape.

    Example:
        >>> import torch
        >>> adapt_input(torch.ones(8, 3, 7, 7), 1)[0, 0, 0, 0]
        tensor(3.)
        >>> adapt_input(torch.ones(8, 3, 7, 7), 4)[0, :, 0, 0]
        tensor([0.7500, 0.7500, 0.7500, 0.7500])
        >>> adapt_input(torch.ones(8, 3, 7, 7), 4, "zeros")[0, :, 0, 0]
        tensor([1., 1., 1., 0.])
    """
    check_rule(rule)
    if not isinstance(weight, Tensor) or weight.ndim != 4:
        got = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise TypeError(f"weight must be the tensor of a convolution, of four dimensions, got {got}")
    old = weight.shape[1]
    if channels == old:
        return weight
    if callable(rule):
        return _checked(rule(weight, channels), (weight.shape[0], channels, *weight.shape[2:]))
    rule = rule or default_rule(channels)
    if rule == "sum":
        if channels != 1:
            raise ValueError(f"the rule 'sum' makes one channel of {old}, not {channels}: use 'repeat' or 'zeros'")
        return weight.sum(1, keepdim=True)
    if rule == "zeros":
        if channels < old:
            raise ValueError(f"the rule 'zeros' adds channels to {old}, and cannot make {channels}: use 'sum' or 'repeat'")
        return torch.cat((weight, weight.new_zeros(len(weight), channels - old, *weight.shape[2:])), 1)
    return weight.repeat(1, ceil(channels / old), 1, 1)[:, :channels] * (old / channels)


def default_rule(channels: int) -> Literal["sum", "repeat"]:
    """Return the rule that is taken where none is named."""
    return "sum" if channels == 1 else "repeat"


def check_rule(rule: InputRule | None) -> None:
    """Raise ValueError for what is no rule of `adapt_input`."""
    if rule is not None and rule not in ("sum", "repeat", "zeros") and not callable(rule):
        raise ValueError(f"the rule for the input must be 'sum', 'repeat', 'zeros' or a function, got {rule!r}")


def _checked(adapted: Tensor, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(adapted, Tensor) or adapted.shape != shape:
        got = tuple(adapted.shape) if isinstance(adapted, Tensor) else type(adapted).__name__
        raise ValueError(f"the rule for the input must return a weight of shape {shape}, got {got}")
    return adapted


def adapt_channels(weights: Recognised, channels: int, rule: InputRule | None = None) -> tuple[Recognised, str]:
    """Adapt a network's weights to images of another number of channels, as `adapt_input` does, in float32 or better.

    Args:
        weights: the weights.
        channels: of the images.
        rule: of `adapt_input`.

    Returns:
        The weights, with another first convolution if the number is another; and what was done, in words, or "".
    """
    first = ENDS[weights.family][0]
    weight = weights.state.get(first)
    if weight is None or weight.ndim != 4 or channels < 1 or channels == weight.shape[1]:
        return weights, ""
    exact = weight.to(torch.promote_types(weight.dtype, torch.float32))
    how = getattr(rule, "__name__", "a function") if callable(rule) else rule or default_rule(channels)
    done = f"the input's {weight.shape[1]} channels made {channels} ({how})"
    return replace(weights, state={**weights.state, first: adapt_input(exact, channels, rule)}), done
