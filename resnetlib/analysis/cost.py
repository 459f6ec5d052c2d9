"""Count parameters, operations and activations of a network on the meta device."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from resnetlib.analysis.network import as_backbone, enable_gradients
from resnetlib.config.integers import check_count
from resnetlib.modules import Backbone, Block
from resnetlib.modules.arguments import check_images
from resnetlib.modules.backbone import copy_network
from resnetlib.modules.thread_guards import in_use


@dataclass(frozen=True, slots=True)
class PartCost:
    """The cost of one part of a network, for one image.

    Args:
        name: stem, stage 1, ..., tail, head.
        blocks: number of blocks.
        output: shape of the output, without the batch.
        params: number of parameters, frozen ones included.
        macs: multiply-accumulate operations of convolutions and linear layers.
        activations: number of outputs of convolutions and linear layers.
        saved_bytes: memory that a training step keeps for the backward pass, besides parameters.
    """

    name: str
    blocks: int
    output: tuple[int, ...]
    params: int
    macs: int
    activations: int
    saved_bytes: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a network, for one image.

    Args:
        parts: parts of the network, in the order in which they run.
        weight_bytes: size of parameters and buffers.
    """

    parts: tuple[PartCost, ...]
    weight_bytes: int

    @property
    def params(self) -> int:
        """Number of parameters, frozen ones included."""
        return sum(part.params for part in self.parts)

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of convolutions and linear layers; the "FLOPs" of the papers' tables."""
        return sum(part.macs for part in self.parts)

    @property
    def activations(self) -> int:
        """Number of outputs of convolutions and linear layers."""
        return sum(part.activations for part in self.parts)

    @property
    def saved_bytes(self) -> int:
        """Memory that a training step keeps for the backward pass, besides parameters."""
        return sum(part.saved_bytes for part in self.parts)


def measure_cost(net: Backbone, size: int) -> Cost:
    """Count a network's parameters, multiply-accumulates and activations, on the meta device, for images of `size` x `size` pixels.

    >>> from resnetlib import resnet50
    >>> cost = measure_cost(resnet50(device="meta"), size=224)
    >>> f"{cost.params:,} parameters, {cost.macs / 1e9:.3f} GMACs"
    '25,557,032 parameters, 4.089 GMACs'
    """
    net, size = as_backbone(net), check_count("size", size, minimum=1)
    with enable_gradients():
        with in_use(net, exclusive=False):
            net = copy_network(net, hooks=False)  # they expect tensors with data
        net.to("meta").train().set_grad_checkpointing(False)
        for module in net.modules():
            if type(module) is nn.BatchNorm2d:
                module.forward = partial(_BatchNorm.apply, module.weight)  # type: ignore[method-assign]
        pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten(1)) if net.global_pool else ()
        head = (*pool, net.get_classifier())
        stages = {f"stage {i}": stage for i, stage in enumerate(net.stages(), 1)}
        # two images, since batch norm cannot train on a single 1x1 map; counts are halved
        x = torch.empty(2, net.in_chans, size, size, device="meta", dtype=next(net.parameters()).dtype)
        check_images(x, net.in_chans, net.smallest_input)
        kept = {StorageWeakRef(tensor.untyped_storage()): tensor for tensor in (*net.parameters(), *net.buffers())}
        parts = []
        for name, modules in {"stem": net.stem(), **stages, "tail": net.tail(), "head": head}.items():
            if modules:
                part, x = _measure(name, nn.Sequential(*modules), x, kept)
                parts.append(part)
    weight_bytes = sum(tensor.numel() * tensor.element_size() for tensor in net.state_dict().values())
    return Cost(parts=tuple(parts), weight_bytes=weight_bytes)


class _BatchNorm(torch.autograd.Function):
    """Saves what a batch norm saves for its backward pass. On the meta device PyTorch's own takes a hundred times as long."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, x: Tensor) -> Tensor:
        mean, inverse = x.new_empty(2, x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))
        ctx.save_for_backward(x, weight, mean, inverse)
        return torch.empty_like(x)


def _measure(name: str, section: nn.Sequential, x: Tensor, kept: dict[StorageWeakRef, Tensor]) -> tuple[PartCost, Tensor]:
    """Run two images through a part; return its cost for one, and its output. `kept` collects all tensors in memory."""
    activations = macs = saved = 0

    def count_outputs(module: Any, args: object, output: Tensor) -> None:
        nonlocal activations, macs
        activations += output.numel()
        macs += output.numel() * module.weight[0].numel()  # one for each weight of the output's channel

    def count_saved(tensor: Tensor) -> Tensor:
        nonlocal saved
        storage = tensor.untyped_storage()
        if StorageWeakRef(storage) not in kept:
            kept[StorageWeakRef(storage)] = tensor
            saved += storage.nbytes()
        return tensor

    for module in section.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count_outputs)
    with saved_tensors_hooks(count_saved, lambda tensor: tensor):
        x = section(x)
    part = PartCost(
        name=name,
        blocks=sum(isinstance(module, Block) for module in section.modules()),
        output=tuple(x.shape[1:]),
        params=sum(parameter.numel() for parameter in section.parameters()),
        macs=macs // 2,  # of two images
        activations=activations // 2,
        saved_bytes=saved // 2,
    )
    return part, x
