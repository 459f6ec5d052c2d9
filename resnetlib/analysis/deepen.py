"""Deeper networks that begin as exact copies of shallower ones."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnetlib.analysis.arguments import as_backbone
from resnetlib.analysis.batches import Batches, gather_inputs, run_finite
from resnetlib.analysis.hooks import outcomes
from resnetlib.analysis.intact import intact
from resnetlib.modules import Backbone, Block, Concat, ScaledAdd, Stage, StochasticConcat, dilate, is_dilated
from resnetlib.modules.arguments import check_count
from resnetlib.modules.layers import Shift

Moments = tuple[Tensor, Tensor]
"""Mean and variance of each channel."""


def deepen(net: Backbone, depths: Sequence[int], *, batches: Batches | None = None) -> Backbone:
    """Make a deeper network that computes the same function, and can be trained on: each stage's new blocks are the identity.

    A block that adds begins with a branch of zeros: in evaluation the logits are equal bit for bit. One that concatenates adds
    channels that what reads them weighs with zeros at first; one that replaces has convolutions that pass every channel on, and
    norms that undo themselves; their logits are equal up to rounding. No new layer is stuck: the gradient reaches it at the latest
    behind the first step.

    Args:
        net: a network; it is not changed.
        depths: blocks in each stage, none fewer than the network has.
        batches: images, for networks without skips: their new norms begin with the mean and deviation that x has on them in
            evaluation (Net2Net), so that the copy is nearly one in training too, where the network's running statistics are those
            of the batches (see `recalibrated`). Without them the copy is one in evaluation alone.

    Returns:
        The network, of its original's mode, device and dtype, with its preprocessing and classes. What is chosen in training, such
        as stochastic depth, is not taken over, but for the classifier's dropout.

    Raises:
        ValueError: for depths that are fewer; batches without images; outputs that are not finite; or a network whose blocks cannot
            be the identity: pre-activated ones without skip, since x is signed and has to pass a relu; bottlenecks without skip,
            which have too few channels; group norms whose channels depend on each other.

    Source:
        arXiv 1512.03385, sec. 1, "a solution by construction"; arXiv 1511.05641, sec. 3, "Net2DeeperNet".

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> net = cifar_resnet20().eval()
        >>> deeper = deepen(net, (9, 9, 9))
        >>> x = torch.randn(2, 3, 32, 32)
        >>> len(list(deeper.blocks())), torch.equal(net(x), deeper(x))
        (27, True)
    """
    net = as_backbone(net)
    _check(net.spec.depths, depths)
    inputs = None if batches is None else gather_inputs(net, batches)
    family: Callable[..., Backbone] = type(net)
    like = next(net.parameters())
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):  # its parameters are to be trained
        deeper = family(replace(net.spec, depths=tuple(depths)), num_classes=net.num_classes, in_channels=net.in_channels)
        deeper.to(like.device, like.dtype)
    deeper.head_drop.p = net.head_drop.p
    if is_dilated(net):
        dilate(deeper, net.output_stride)
    blocks = list(net.blocks())
    with torch.no_grad():
        if isinstance(blocks[0].join, Concat | StochasticConcat):
            _copy_dense(net, deeper)
        else:
            moments = None if inputs is None else _moments_behind(net, inputs)
            deeper.load_state_dict(deeper.state_dict() | net.state_dict())
            for i, (stage, old) in enumerate(zip(_stages(deeper), _stages(net), strict=True)):
                for block in list(stage)[len(old) :]:
                    _make_identity_(block, None if moments is None else moments[i])
    _check_same(net, deeper)
    deeper.preprocess, deeper.classes = net.preprocess, net.classes
    deeper.set_grad_checkpointing(any(stage.checkpointing for stage in _stages(net)))
    return deeper.train(net.training)


def _check(old: Sequence[int], new: Sequence[int]) -> None:
    for depth in new:
        check_count("depths", depth, least=1)
    if len(old) != len(new) or any(deep < shallow for shallow, deep in zip(old, new, strict=True)):
        raise ValueError(f"depths must be {len(old)} numbers, none below the network's own {tuple(old)}, got {tuple(new)}")


def _check_same(net: Backbone, deeper: Backbone) -> None:
    """Raise ValueError unless both compute the same, which they do if the network is what its spec says."""
    side = max(32, net.smallest_input)
    x = torch.randn(2, net.in_channels, side, side, generator=torch.Generator().manual_seed(0)).to(next(net.parameters()))
    with intact(net), intact(deeper), torch.no_grad():
        expected, found = run_finite(net, x), deeper(x)
    if not float((found - expected).abs().max()) <= 1e-2 * float(expected.abs().max()):  # nor if it is NaN
        raise ValueError("the network is not what its spec says (other blocks, joins or norms), and cannot be deepened from it")


def _stages(net: Backbone) -> list[Stage]:
    return [part for stage in net.stages() for part in stage if isinstance(part, Stage)]


def _make_identity_(block: nn.Module, moments: Moments | None) -> None:
    """Make a block that keeps the shape the identity on what a relu, or in pre-activated networks an addition, gives out."""
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
    mean, variance = moments
    for tensor, value in ((norm.running_mean, mean), (norm.running_var, variance), (norm.bias, mean)):
        tensor.copy_(value)
    norm.weight.copy_((variance + norm.eps).sqrt())


def _moments_behind(net: Backbone, inputs: list[Tensor]) -> list[Moments]:
    """Measure mean and variance of each channel behind each stage."""
    last = {str(i): list(stage)[-1] for i, stage in enumerate(_stages(net))}
    sums: dict[str, list[Tensor]] = {name: [] for name in last}

    def see(name: str, y: Tensor) -> None:
        flat = y.double().transpose(0, 1).flatten(1)
        sums[name].append(torch.stack((torch.full_like(flat[:, 0], flat.shape[1]), flat.sum(1), flat.square().sum(1))))

    with intact(net), outcomes(last, see):
        for x in inputs:
            run_finite(net, x)
    moments = []
    for parts in sums.values():
        count, total, squares = torch.stack(parts).sum(0)
        moments.append((total / count, (squares / count - (total / count).square()).clamp(min=0)))
    return moments


def _copy_dense(net: Backbone, deeper: Backbone) -> None:
    """Copy the weights of a dense network to where their channels are in the deeper one.

    Layers and channels that the shallower network lacks are as they were drawn, and whatever reads them begins with zeros. The
    other way round, zeros that drawn weights read, nothing would be learned: a relu stands between, whose gradient at zero is zero.
    """
    if any(isinstance(module, nn.GroupNorm) for module in net.modules()):
        raise ValueError("a dense network with group norms cannot be deepened: new channels change the groups' statistics")
    _copy(nn.Sequential(*net.stem()), nn.Sequential(*deeper.stem()), torch.arange(net.in_channels))
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
    for name, tensor in before.items():
        target, index = tensors[name], seen.to(tensor.device)
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
