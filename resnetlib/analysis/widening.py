"""Where the channels of a dense network are in one with more layers."""

import torch
from torch import Tensor, nn

from resnetlib.modules import Backbone, Block, Stage


def copy_dense(net: Backbone, deeper: Backbone) -> None:
    """Copy the weights of a dense network to where their channels are in the deeper one.

    Layers and channels that the shallower network lacks are as they were drawn, and whatever reads them begins with zeros. The
    other way round, zeros that drawn weights read, nothing would be learned: a relu stands between, whose gradient at zero is zero.

    Args:
        net: the shallower network.
        deeper: the deeper one, which is written to.

    Raises:
        ValueError: for group norms, or without a classifier.
    """
    if net.num_classes == 0:
        raise ValueError("a dense network without a classifier cannot be deepened: it would give out more features")
    if any(isinstance(module, nn.GroupNorm) for module in net.modules()):
        raise ValueError("a dense network with group norms cannot be deepened: new channels change the groups' statistics")
    _copy(nn.Sequential(*net.stem()), nn.Sequential(*deeper.stem()), torch.arange(net.in_chans))
    seen = torch.arange(net.feature_info[0]["num_chs"])
    for old_parts, new_parts in zip(net.stages(), deeper.stages(), strict=True):
        for old, new in zip(old_parts, new_parts, strict=True):
            if isinstance(old, Stage) and isinstance(new, Stage):
                seen = _copy_layers(old, new, seen)
            elif list(old.parameters()):
                _copy(old, new, seen)
                seen = torch.arange(next(layer.out_channels for layer in old.modules() if isinstance(layer, nn.Conv2d)))
    for old, new in zip(net.tail(), deeper.tail(), strict=True):
        _copy(old, new, seen)
    _copy(net.get_classifier(), deeper.get_classifier(), seen)


def _copy_layers(old: Stage, new: Stage, seen: Tensor) -> Tensor:
    """Copy the layers of a stage, and return where the old channels are behind it."""
    for layer, wider in zip(old, new, strict=False):
        assert isinstance(wider, Block)  # noqa: S101 - stages are made of them
        _copy(layer, wider, seen)
        seen = torch.cat((seen, torch.arange(wider.in_channels, wider.out_channels)))
    return seen


def _copy(old: nn.Module, new: nn.Module, seen: Tensor) -> None:
    """Copy tensors; of those that read more channels, to the channels `seen`, with zeros for what is read of the others."""
    tensors, before = new.state_dict(), old.state_dict()
    for name, value in before.items():
        target, index = tensors[name], seen.to(value.device)
        tensor = value.to(target.dtype)
        of_outputs = name.endswith("bias") and before[name.removesuffix("bias") + "weight"].ndim > 1
        if target.shape == tensor.shape:
            target.copy_(tensor)
        elif tensor.ndim > 1:
            target[: len(tensor)] = 0
            target[: len(tensor), index] = tensor
        elif of_outputs:  # the bias of a transition, which may be as long as a norm's
            target[: len(tensor)] = tensor
        else:
            target[index] = tensor
