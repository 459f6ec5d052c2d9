"""Weights for images of another number of channels."""

from dataclasses import replace
from math import ceil

import torch
from torch import Tensor

from resnetlib.weights.dialects import ENDS, Recognised


def adapt_input(weight: Tensor, channels: int) -> Tensor:
    """Adapt the first convolution to images of another number of channels, so that its outputs keep their scale.

    For one channel, the sum over the old ones: a grey image gives what it gave as a grey picture in colour. For more, the old
    channels in turn (R, G, B, R, G ...), scaled by old / new.

    Shapes:
        `(C_out, C_in, k, k)` -> `(C_out, channels, k, k)`.

    Args:
        weight: of the convolution.
        channels: of the images.

    Returns:
        The new weight; the old one itself where the number is the same.

    Example:
        >>> import torch
        >>> adapt_input(torch.ones(8, 3, 7, 7), 1)[0, 0, 0, 0]
        tensor(3.)
        >>> adapt_input(torch.ones(8, 3, 7, 7), 4)[0, :, 0, 0]
        tensor([0.7500, 0.7500, 0.7500, 0.7500])
    """
    old = weight.shape[1]
    if channels == old:
        return weight
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight.repeat(1, ceil(channels / old), 1, 1)[:, :channels] * (old / channels)


def adapt_channels(weights: Recognised, channels: int) -> Recognised:
    """Adapt a network's weights to images of another number of channels, as `adapt_input` does, in float32 or better.

    Args:
        weights: the weights.
        channels: of the images.

    Returns:
        The weights, with another first convolution if the number is another.
    """
    first = ENDS[weights.family][0]
    weight = weights.state.get(first)
    if weight is None or weight.ndim != 4 or channels < 1 or channels == weight.shape[1]:
        return weights
    exact = weight.to(torch.promote_types(weight.dtype, torch.float32))
    return replace(weights, state={**weights.state, first: adapt_input(exact, channels)})
