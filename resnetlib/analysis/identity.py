"""Blocks that pass their input on, and can be trained."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnetlib.analysis.moments import Moments
from resnetlib.modules import Block, ScaledAdd
from resnetlib.modules.layers import Shift


def make_identity_(block: nn.Module, moments: Moments | None) -> None:
    """Make a block that keeps the shape the identity on what a relu, or in pre-activated networks an addition, gives out.

    Args:
        block: the block.
        moments: of its input's channels, with which its norms begin if it has no skip; None for 0 and 1.

    Raises:
        ValueError: if it cannot be the identity.
    """
    assert isinstance(block, Block)  # noqa: S101 - stages are made of them
    if block.join.uses_skip:
        if block.downsample is not None:
            if type(block).pre is not Block.pre:
                raise ValueError("a pre-activated block that projects cannot be the identity: its skip has passed a relu")
            _pass_on_(block.downsample, block, moments)
        if isinstance(block.join, ScaledAdd):
            nn.init.zeros_(block.join.alpha)  # and no more, or no gradient would be left
        else:
            block.zero_branch_()
        return
    if type(block).pre is not Block.pre:
        raise ValueError("a pre-activated block without skip cannot be the identity: x is signed, and has to pass a relu")
    if any(conv.out_channels < block.in_channels for conv in block.convs):
        raise ValueError(
            f"a bottleneck without skip cannot be the identity: {block.in_channels} channels have to pass "
            f"{min(conv.out_channels for conv in block.convs)}"
        )
    _pass_on_(block, block, moments)


def _pass_on_(layers: nn.Module, block: Block, moments: Moments | None) -> None:
    """Make the children of a module pass their input on: convolutions, norms, and what stands in a norm's place."""
    for layer in layers.children():
        if layer in (block.downsample, block.join):
            continue
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight, layer.groups)
            for scalar in (layer.bias, getattr(layer, "shift", None)):
                if scalar is not None:
                    nn.init.zeros_(scalar)
        elif isinstance(layer, _BatchNorm):
            _undo_itself_(layer, moments)
        elif isinstance(layer, Shift):
            layer.reset_parameters()
        elif list(layer.parameters()):
            raise ValueError(f"a block with {type(layer).__name__} cannot be the identity: its statistics are those of the image")


def _undo_itself_(norm: _BatchNorm, moments: Moments | None) -> None:
    norm.reset_parameters()
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics cannot be the identity")
    if moments is None:
        norm.running_var.fill_(1 - norm.eps)
        return
    norm.running_mean.copy_(moments.mean)
    norm.running_var.copy_(moments.variance)
    norm.bias.copy_(moments.mean)
    norm.weight.copy_((moments.variance + norm.eps).sqrt())
