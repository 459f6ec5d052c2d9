"""Batch norms that are folded into the convolutions before them, anew at every point: one pass over the maps less."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from resnetlib.modules.frozen import has_running_stats

Pair = tuple[str, str]
"""The names of a convolution and of the batch norm that reads its output."""

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def pairs_in(net: nn.Module, x: Tensor) -> list[Pair]:
    """Watch a network run, and find the batch norms whose input is the output of a convolution, both of which run once.

    Args:
        net: a network that nobody else has, in evaluation; hooked into, and left without.
        x: its input.

    Returns:
        The pairs. Not among them is what somebody watches with hooks, or whose weight another module has too.
    """
    made: dict[int, tuple[str, Tensor]] = {}
    pairs: list[Pair] = []
    runs: Counter[str] = Counter()
    owners = Counter(id(parameter) for module in net.modules() for parameter in module.parameters(recurse=False))
    handles = []

    def leave(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(conv: nn.Module, arguments: Any, y: Tensor) -> None:
            runs[name] += 1
            made[id(y)] = name, y

        return hook

    def enter(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(norm: nn.Module, arguments: Any) -> None:
            runs[name] += 1
            if id(arguments[0]) in made:
                pairs.append((made[id(arguments[0])][0], name))

        return hook

    for name, module in net.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            continue
        if type(module) in _CONVS and type(module.weight) is nn.Parameter and owners[id(module.weight)] == 1:
            handles.append(module.register_forward_hook(leave(name)))
        elif has_running_stats(module):
            handles.append(module.register_forward_pre_hook(enter(name)))
    try:
        net(x)
    finally:
        for handle in handles:
            handle.remove()
    return [(conv, norm) for conv, norm in pairs if runs[conv] == runs[norm] == 1]


def without_norms(net: nn.Module, pairs: list[Pair]) -> tuple[nn.Module, dict[Pair, float]]:
    """Take away the norms of pairs, and give their convolutions a bias to fold into.

    Args:
        net: a network that nobody else has; changed in place.
        pairs: the pairs.

    Returns:
        The network, and each norm's epsilon.
    """
    found = {}
    for conv, norm in pairs:
        found[conv, norm] = float(net.get_submodule(norm).eps)  # type: ignore[arg-type]
        net.set_submodule(norm, nn.Identity())
        layer = net.get_submodule(conv)
        if layer.bias is None:
            layer.bias = nn.Parameter(torch.empty(0))
    return net, found


def folded(state: dict[str, Tensor], pairs: dict[Pair, float]) -> dict[str, Tensor]:
    """W <- W s and b <- (b - mean) s + beta, where s = gamma / sqrt(var + epsilon).

    Args:
        state: the parameters and buffers of a network with norms.
        pairs: what `without_norms` returned.

    Returns:
        Those of the network without.
    """
    state = dict(state)
    for (conv, norm), epsilon in pairs.items():
        mean, var = state.pop(f"{norm}.running_mean"), state.pop(f"{norm}.running_var")
        gamma, beta = state.pop(f"{norm}.weight", None), state.pop(f"{norm}.bias", None)
        state.pop(f"{norm}.num_batches_tracked", None)
        scale = (var + epsilon).rsqrt()
        scale = scale if gamma is None else scale * gamma
        weight, bias = state[f"{conv}.weight"], state.get(f"{conv}.bias")
        shift = (-mean if bias is None else bias - mean) * scale
        state[f"{conv}.weight"] = weight * scale.view(-1, *[1] * (weight.ndim - 1))
        state[f"{conv}.bias"] = shift if beta is None else shift + beta
    return state
