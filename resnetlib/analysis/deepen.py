"""Make deeper networks that compute the same function as a shallower one."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnetlib.analysis.batches import Batches, check_integers, first_parameter, gather_inputs, noise_images
from resnetlib.analysis.forward import Moments, channel_rows
from resnetlib.analysis.network import as_backbone, hook_outputs, norm_mode, run_finite
from resnetlib.errors import InputError
from resnetlib.modules import Backbone, Block, Concat, ScaledAdd, Stage, StochasticConcat, dilate, is_dilated
from resnetlib.modules.backbone import copy_network
from resnetlib.modules.layers import Shift
from resnetlib.modules.thread_guards import in_use

_UNLIKE_ITS_SPEC = "the network does not match its spec (other blocks, joins, norms or head), so it cannot be deepened"


def deepen(net: Backbone, depths: Sequence[int], *, batches: Batches | None = None) -> Backbone:
    """Make a deeper network that computes the same function and can be trained: the new blocks of each stage start as the identity.

    New residual blocks have a branch of zeros, and the logits are equal bit for bit in evaluation mode. New DenseNet layers
    add channels that are read with weights of zero. New plain blocks have identity convolutions, and norms whose scale and shift
    undo the normalization; the logits of both are equal up to rounding. Every new layer gets a gradient within one step.

    Args:
        net: network of this library.
        depths: numbers of blocks in each stage, none below the network's own.
        batches: images for networks without skips: new norms start with the mean and variance of their input on these images in
            training mode (Net2Net), so that the function is the same in training too, on batches with similar statistics.
            None makes it the same in evaluation mode only.

    Returns:
        The network, with the mode, device, dtype, preprocessing, classes and classifier dropout of `net`, but without other
        training settings, such as stochastic depth and frozen layers.

    Raises:
        ValueError: if a depth is too small, or new blocks cannot be the identity: pre-activation blocks without skip (a ReLU cuts
            the signed x), bottlenecks without skip (too narrow) and group norms without skip.

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
    old = net.spec.depths
    checked = check_integers("depths", depths, 1, different=False)
    if len(old) != len(checked) or any(deep < shallow for shallow, deep in zip(old, checked, strict=True)):
        raise InputError(f"depths must be {len(old)} numbers, none below the network's own {tuple(old)}, got {checked}")
    with in_use(net, exclusive=True):
        return _deepen(net, checked, None if batches is None else gather_inputs(net, batches))


def _deepen(net: Backbone, depths: tuple[int, ...], inputs: list[Tensor] | None) -> Backbone:
    family: Callable[..., Backbone] = type(net)
    like = first_parameter(net)
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):  # inference tensors could not be trained
        options = {"num_classes": net.num_classes, "in_chans": net.in_chans, "global_pool": net.global_pool}
        deeper = family(replace(net.spec, depths=depths), drop_rate=net.drop_rate, **options)
        deeper.to(like.device, torch.promote_types(like.dtype, torch.float32))  # 16-bit dtypes are restored after the comparison
    if is_dilated(net):
        dilate(deeper, net.output_stride)
    with torch.no_grad():
        if isinstance(next(net.blocks()).join, Concat | StochasticConcat):
            _copy_dense(net, deeper)
        else:
            moments = [None] * len(depths) if inputs is None else _moments_after_stages(net, inputs)
            try:
                deeper.load_state_dict(deeper.state_dict() | net.state_dict())
            except RuntimeError as error:  # other tensors or shapes
                raise InputError(_UNLIKE_ITS_SPEC) from error
            for old, new, statistics in zip(_stages(net), _stages(deeper), moments, strict=True):
                for block in list(new)[len(old) :]:
                    _make_identity_(block, statistics)
    _check_same(net, deeper)
    deeper.to(like.dtype)
    if any(p.ndim == 4 and not p.is_contiguous() and p.is_contiguous(memory_format=torch.channels_last) for p in net.parameters()):
        deeper.to(memory_format=torch.channels_last)
    deeper.preprocess, deeper.classes = net.preprocess, net.classes
    deeper.set_grad_checkpointing(next((stage.checkpointing for stage in _stages(net) if stage.checkpointing), False))
    return deeper.train(net.training)


def _check_same(net: Backbone, deeper: Backbone) -> None:
    """Raise ValueError unless both networks compute the same in float64, as they do if `net` fits its spec."""
    exact = [copy_network(each).cpu().double().eval() for each in (net, deeper)]
    x = noise_images(exact[0], 2, max(32, net.smallest_input))
    with torch.no_grad():
        expected, found = (run_finite(each, x) for each in exact)
    if float((found - expected).abs().max()) > 1e-4 * float(expected.abs().max()):
        raise InputError(_UNLIKE_ITS_SPEC)


def _stages(net: Backbone) -> list[Stage]:
    return [part for stage in net.stages() for part in stage if isinstance(part, Stage)]


def _moments_after_stages(net: Backbone, inputs: list[Tensor]) -> list[Moments]:
    """Measure the mean and variance of each channel after each stage, in training mode."""
    last = {str(i): list(stage)[-1] for i, stage in enumerate(_stages(net))}
    moments = {name: Moments() for name in last}
    with norm_mode(net, training=True), hook_outputs(last, lambda name, y: moments[name].add(channel_rows(y))):
        for x in inputs:
            run_finite(net, x)
    return list(moments.values())


# Residual and plain blocks


def _make_identity_(block: nn.Module, moments: Moments | None) -> None:
    """Make a block the identity on its input, which is the output of a ReLU, or of an addition in pre-activation networks."""
    assert isinstance(block, Block)  # noqa: S101 - stages consist of them
    preact = type(block).pre is not Block.pre
    if block.join.uses_skip:
        if block.downsample is not None:
            if preact:
                raise InputError("a pre-activated block that projects cannot be the identity: its skip has passed a relu")
            _make_layers_identity_(block.downsample, block, moments)
        if isinstance(block.join, ScaledAdd):
            nn.init.zeros_(block.join.alpha)  # a branch of zeros as well would leave no gradient
        else:
            block.zero_branch_()
        return
    if preact:
        raise InputError("a pre-activated block without skip cannot be the identity: x is signed, and a relu would cut it")
    narrowest = min((conv.out_channels for conv in block.convs), default=block.in_channels)
    if narrowest < block.in_channels:
        raise InputError(f"a bottleneck without skip cannot be the identity: {block.in_channels} channels have to pass {narrowest}")
    _make_layers_identity_(block, block, moments)


def _make_layers_identity_(layers: nn.Module, block: Block, moments: Moments | None) -> None:
    """Make the convolutions and norms among the children of a module the identity."""
    for layer in layers.children():
        if layer in (block.downsample, block.join):
            continue
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight, layer.groups)
            for scalar in (layer.bias, getattr(layer, "shift", None)):
                if scalar is not None:
                    nn.init.zeros_(scalar)
        elif isinstance(layer, _BatchNorm):
            _undo_norm_(layer, moments)
        elif isinstance(layer, Shift):
            layer.reset_parameters()
        elif list(layer.parameters()):
            raise InputError(f"a block with {type(layer).__name__} cannot be the identity: its statistics depend on the image")


def _undo_norm_(norm: _BatchNorm, moments: Moments | None) -> None:
    """Make a batch norm return its input: set its statistics, and a scale and shift that undo them."""
    norm.reset_parameters()
    if norm.running_mean is None or norm.running_var is None:
        raise InputError("a batch norm without running statistics cannot be the identity")
    if moments is None:
        norm.running_var.fill_(1 - norm.eps)
        return
    norm.running_mean.copy_(moments.mean)
    norm.running_var.copy_(moments.variance)
    norm.bias.copy_(moments.mean)
    norm.weight.copy_((moments.variance + norm.eps).sqrt())


# Dense networks


def _copy_dense(net: Backbone, deeper: Backbone) -> None:
    """Copy the weights of a dense network to the right channels of the deeper one; weights that read new channels are zero."""
    # new layers of zeros would learn nothing: the gradient of the ReLU after them is zero at zero
    if net.num_classes == 0:
        raise InputError("a dense network without a classifier cannot be deepened: it would return more features")
    if any(isinstance(module, nn.GroupNorm) for module in net.modules()):
        raise InputError("a dense network with group norms cannot be deepened: new channels change the groups' statistics")
    _copy(nn.Sequential(*net.stem()), nn.Sequential(*deeper.stem()), torch.arange(net.in_chans))
    seen = torch.arange(net.feature_info[0]["num_chs"])  # positions of the channels of `net` in the deeper network
    for old_parts, new_parts in zip(net.stages(), deeper.stages(), strict=True):
        for old, new in zip(old_parts, new_parts, strict=True):
            if isinstance(old, Stage) and isinstance(new, Stage):
                for layer, wider in zip(old, new, strict=False):
                    assert isinstance(wider, Block)  # noqa: S101 - stages consist of them
                    _copy(layer, wider, seen)
                    seen = torch.cat((seen, torch.arange(wider.in_channels, wider.out_channels)))
            elif list(old.parameters()):
                _copy(old, new, seen)
                seen = torch.arange(next(layer.out_channels for layer in old.modules() if isinstance(layer, nn.Conv2d)))
    for old, new in zip(net.tail(), deeper.tail(), strict=True):
        _copy(old, new, seen)
    _copy(net.get_classifier(), deeper.get_classifier(), seen)


def _copy(old: nn.Module, new: nn.Module, seen: Tensor) -> None:
    """Copy tensors. Weights that read more channels in `new` are copied to the channels `seen`, and are zero elsewhere."""
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
        elif of_outputs:  # a convolution's bias
            target[: len(tensor)] = tensor
        else:
            target[index] = tensor
