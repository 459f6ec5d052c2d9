"""Fold batch norms into the convolutions before them, which saves a pass over the feature maps for each norm."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from resnetlib.errors import InputError
from resnetlib.modules.backbone import copy_network
from resnetlib.modules.frozen import has_running_stats

NormPairs = dict[tuple[str, str], float]
"""Pairs (name of a convolution, name of the batch norm that reads its output), and each norm's epsilon."""


def fold_norms(net: nn.Module, x: Tensor) -> tuple[nn.Module, NormPairs]:
    """Remove the batch norms that can be folded into a convolution without changing the output, up to rounding.

    Norms stay in half precision, and if something besides the norm reads the convolution's output, as a skip connection may.

    Args:
        net: network in evaluation mode; left unchanged.
        x: an input.

    Returns:
        A copy of the network without those norms, which shares its parameters, and the pairs for `fold_state`.

    Raises:
        ValueError: if a norm is in training mode.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten()).eval()
        >>> x = torch.randn(2, 3, 1, 1)
        >>> folded, pairs = fold_norms(net, x)
        >>> pairs
        {('0', '1'): 1e-05}
        >>> torch.allclose(functional_call(folded, fold_state(net.state_dict(), pairs), (x,)), net(x), atol=1e-6)
        True
    """
    if any(has_running_stats(module) and module.training for module in net.modules()):
        raise InputError("fold_norms needs norms in evaluation mode: call net.eval() first")
    if x.dtype not in (torch.float32, torch.float64):
        return copy_sharing_parameters(net), {}
    state = _perturb(net) | {name: buffer.detach() for name, buffer in net.named_buffers()}
    with torch.no_grad():
        expected = functional_call(net, state, (x,))

        def same_output(pairs: NormPairs) -> bool:
            y = functional_call(remove_norms(net, pairs), fold_state(state, pairs), (x,))
            return bool((y - expected).abs().max() <= 1e-3 * expected.abs().max())

        pairs = find_conv_norm_pairs(net, x)
        if not same_output(pairs):
            pairs = {pair: eps for pair, eps in pairs.items() if same_output({pair: eps})}
            pairs = pairs if same_output(pairs) else {}
    return remove_norms(net, pairs), pairs


def _perturb(net: nn.Module) -> dict[str, Tensor]:
    """Return the parameters plus noise, since zeros would hide what they multiply."""
    generator, perturbed = torch.Generator().manual_seed(0), {}
    for name, parameter in net.named_parameters():
        theta = parameter.detach()
        scale = theta.square().mean().sqrt()
        noise = torch.randn(theta.shape, generator=generator, dtype=torch.float32).to(theta.device, theta.dtype)
        perturbed[name] = theta + 0.1 * noise * scale.where(scale > 0, 1.0)
    return perturbed


def find_conv_norm_pairs(net: nn.Module, x: Tensor) -> NormPairs:
    """Run a network, in evaluation mode, to find the batch norms whose input is the output of a convolution.

    It skips modules that run more than once or have hooks, and convolutions that share their weight.
    """
    outputs: dict[int, tuple[str, Tensor]] = {}  # keeping the tensor keeps its id unique
    pairs: NormPairs = {}
    runs: Counter[str] = Counter()
    owners = Counter(id(parameter) for module in net.modules() for parameter in module.parameters(recurse=False))
    names = {module: name for name, module in net.named_modules()}

    def after_conv(conv: nn.Module, args: Any, y: Tensor) -> None:
        runs[names[conv]] += 1
        outputs[id(y)] = names[conv], y

    def before_norm(norm: nn.Module, args: Any) -> None:
        runs[names[norm]] += 1
        if id(args[0]) in outputs:
            pairs[outputs[id(args[0])][0], names[norm]] = float(norm.eps)  # type: ignore[arg-type]

    handles = []
    try:
        for module in names:
            if module._forward_hooks or module._forward_pre_hooks:
                continue
            if type(module) in (nn.Conv1d, nn.Conv2d, nn.Conv3d):
                if type(module.weight) is nn.Parameter and owners[id(module.weight)] == 1:
                    handles.append(module.register_forward_hook(after_conv))
            elif has_running_stats(module):
                handles.append(module.register_forward_pre_hook(before_norm))
        net(x)
    finally:
        for handle in handles:
            handle.remove()
    return {(conv, norm): eps for (conv, norm), eps in pairs.items() if runs[conv] == runs[norm] == 1}


def remove_norms(net: nn.Module, pairs: NormPairs) -> nn.Module:
    """Return a copy of a network without the norms of the pairs, and with a bias in their convolutions.

    The copy shares the network's parameters. New biases are empty: run the copy with the state that `fold_state` returns.
    """
    net = copy_sharing_parameters(net)
    for conv, norm in pairs:
        net.set_submodule(norm, nn.Identity())
        layer = net.get_submodule(conv)
        if layer.bias is None:
            layer.bias = nn.Parameter(torch.empty(0))
    return net


def fold_state(state: Mapping[str, Tensor], pairs: NormPairs) -> dict[str, Tensor]:
    """Fold norms into convolutions: W <- W s and b <- (b - mean) s + beta, where s = gamma / sqrt(var + eps).

    It takes the parameters and buffers of the network with norms, and returns those of the network without (see `remove_norms`).
    """
    state = dict(state)
    for (conv, norm), eps in pairs.items():
        mean, var = state.pop(f"{norm}.running_mean"), state.pop(f"{norm}.running_var")
        gamma, beta = state.pop(f"{norm}.weight", None), state.pop(f"{norm}.bias", None)
        state.pop(f"{norm}.num_batches_tracked", None)
        scale = (var + eps).rsqrt()
        scale = scale if gamma is None else scale * gamma
        weight, bias = state[f"{conv}.weight"], state.get(f"{conv}.bias")
        shift = (-mean if bias is None else bias - mean) * scale
        state[f"{conv}.weight"] = weight * scale.view(-1, *[1] * (weight.ndim - 1))
        state[f"{conv}.bias"] = shift if beta is None else shift + beta
    return state


def copy_sharing_parameters(net: nn.Module) -> nn.Module:
    """Copy a network's modules and buffers, but share its parameters."""
    return copy_network(net, {id(parameter): parameter for parameter in net.parameters()})
