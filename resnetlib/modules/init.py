"""Weight initialization."""

from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from resnetlib.errors import InputError
from resnetlib.modules.arguments import check_module
from resnetlib.modules.backbone import Backbone, check_network
from resnetlib.modules.join import Concat, Replace, ScaledAdd, StochasticConcat


def init_he_(module: nn.Module, mode: Literal["fan_out", "fan_in"] = "fan_out") -> None:
    """Draw convolution weights from N(0, 2 / fan), and reset every other layer.

    The fan of a k x k convolution is k^2 times its output channels ("fan_out": torchvision's and timm's ResNets) or its input
    channels ("fan_in": their DenseNets, whose convolutions have many more input channels than output channels). Linear layers get
    PyTorch's uniform initialization, norms ones and zeros.

    Args:
        module: any module; changed in place. A module on the meta device is left alone.
        mode: "fan_out" keeps the variance of gradients, "fan_in" that of activations.

    Raises:
        ValueError: for another mode.

    Source:
        arXiv 1502.01852, sec. 2.2.
    """
    check_module(module)
    if mode not in ("fan_out", "fan_in"):
        raise InputError(f"mode must be 'fan_out' or 'fan_in', got {mode!r}")
    for inner in module.modules():  # the network itself, or within torch.compile or a Sequential
        if isinstance(inner, Backbone):
            inner.forget_weights()
    if all(parameter.is_meta for parameter in module.parameters()):
        return
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")
            for scalar in (layer.bias, getattr(layer, "shift", None)):
                if scalar is not None:
                    nn.init.zeros_(scalar)
        elif callable(reset := getattr(layer, "reset_parameters", None)):
            reset()


def init_zero_residual_(net: Backbone) -> None:
    """Zero every branch, so that each block starts as its skip path alone.

    Args:
        net: a network that adds branches to skips; changed in place.

    Raises:
        ValueError: for a join behind which zero branches could not be learned: Replace, Concat, or ScaledAdd with alpha = 0.

    Source:
        arXiv 1706.02677, sec. 5.1 (the last norm's gamma).
    """
    net = check_network(net)
    _check_joins("init_zero_residual_", net)
    net.forget_weights()
    for block in net.blocks():
        block.zero_branch_()


def init_fixup_(net: Backbone) -> None:
    """Initialize a network without norms, as Fixup does.

    He initialization is scaled by L^(-1/(2m-2)) in branches of m convolutions, with L blocks; the last convolution of each branch
    and the classifier are zero. The scalar shifts and scales of Fixup are layers of their own (`resnetlib.modules.layers.FIXUP`).

    Args:
        net: a network without norms that adds branches to skips; changed in place.

    Raises:
        ValueError: for a network with norms, or with a join as in `init_zero_residual_`.

    Source:
        arXiv 1901.09321, sec. 3.
    """
    net = check_network(net)
    _check_joins("init_fixup_", net)
    norms = [name for name, module in net.named_modules() if isinstance(module, _NormBase | nn.GroupNorm | nn.LayerNorm)]
    if norms:
        raise InputError(f"init_fixup_ requires a network without norms, got one with {norms[0]}: build a spec with norm='none'")
    init_he_(net)
    blocks = list(net.blocks())
    for block in blocks:
        *inner, last = block.convs
        for conv in inner:
            conv.weight.data.mul_(len(blocks) ** (-1 / (2 * len(block.convs) - 2)))
        nn.init.zeros_(last.weight)
    for parameter in net.get_classifier().parameters():
        nn.init.zeros_(parameter)


def _check_joins(function: str, net: Backbone) -> None:
    """Raise ValueError if a block has a join behind which a zero branch gets no gradient."""
    for join in (block.join for block in net.blocks()):
        constant = isinstance(join, ScaledAdd) and not join.alpha.detach().any()
        if constant or isinstance(join, Replace | Concat | StochasticConcat):
            raise InputError(f"{function} is for blocks that add: a zero branch behind {type(join).__name__} could not be learned")
