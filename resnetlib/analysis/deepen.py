"""Deeper networks that begin as exact copies of shallower ones."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from resnetlib.analysis.arguments import as_backbone, check_integers
from resnetlib.analysis.batches import Batches, gather_inputs, like_of, noise_images, run_finite
from resnetlib.analysis.hooks import outcomes
from resnetlib.analysis.identity import make_identity_
from resnetlib.analysis.moments import Moments, of_channels
from resnetlib.analysis.norms import norms_in
from resnetlib.analysis.widening import copy_dense
from resnetlib.modules import Backbone, Concat, Stage, StochasticConcat, dilate, is_dilated
from resnetlib.modules.threads import in_use

_UNLIKE_ITS_SPEC = "the network is not what its spec says (other blocks, joins, norms or head), and cannot be deepened from it"


def deepen(net: Backbone, depths: Sequence[int], *, batches: Batches | None = None) -> Backbone:
    """Make a deeper network that computes the same function, and can be trained on: each stage's new blocks are the identity.

    A block that adds begins with a branch of zeros: in evaluation the logits are equal bit for bit. One that concatenates adds
    channels that what reads them weighs with zeros at first; one that replaces has convolutions that pass every channel on, and
    norms that undo themselves; their logits are equal up to rounding, which with 16 bits is much. No new layer is stuck:
    the gradient reaches it at the latest behind the first step.

    Args:
        net: a network; it is not changed.
        depths: blocks in each stage, none fewer than the network has.
        batches: images, for networks without skips: their new norms begin with the mean and deviation that x has on them in
            training (Net2Net), so that the copy is one in training too, as far as other batches are like these. Without them it is
            one in evaluation alone.

    Returns:
        The network, of its original's mode, device and dtype, with its preprocessing and classes. What is chosen in training, such
        as stochastic depth and what is frozen, is not taken over, but for the classifier's dropout.

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
    depths = _checked(net.spec.depths, depths)
    with in_use(net, alone=True):
        return _deepened(net, depths, batches)


def _deepened(net: Backbone, depths: tuple[int, ...], batches: Batches | None) -> Backbone:
    inputs = None if batches is None else gather_inputs(net, batches)
    family: Callable[..., Backbone] = type(net)
    like = like_of(net)
    precise = torch.promote_types(like.dtype, torch.float32)  # to compare in: numbers of 16 bits are rounded at the end
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):  # its parameters are to be trained
        deeper = family(replace(net.spec, depths=depths), num_classes=net.num_classes, in_chans=net.in_chans)
        deeper.to(like.device, precise)
    deeper.head_drop.p = net.head_drop.p
    if is_dilated(net):
        dilate(deeper, net.output_stride)
    blocks = list(net.blocks())
    with torch.no_grad():
        if isinstance(blocks[0].join, Concat | StochasticConcat):
            copy_dense(net, deeper)
        else:
            moments = None if inputs is None else _moments_behind(net, inputs)
            _load(deeper, net)
            for i, (stage, old) in enumerate(zip(_stages(deeper), _stages(net), strict=True)):
                for block in list(stage)[len(old) :]:
                    make_identity_(block, None if moments is None else moments[i])
    _check_same(net, deeper)
    deeper.to(like.dtype)
    if any(p.ndim == 4 and not p.is_contiguous() and p.is_contiguous(memory_format=torch.channels_last) for p in net.parameters()):
        deeper.to(memory_format=torch.channels_last)
    deeper.preprocess, deeper.classes = net.preprocess, net.classes
    deeper.set_grad_checkpointing(any(stage.checkpointing for stage in _stages(net)))
    return deeper.train(net.training)


def _checked(old: Sequence[int], new: Sequence[int]) -> tuple[int, ...]:
    depths = check_integers("depths", new, 1, different=False)
    if len(old) != len(depths) or any(deep < shallow for shallow, deep in zip(old, depths, strict=True)):
        raise ValueError(f"depths must be {len(old)} numbers, none below the network's own {tuple(old)}, got {depths}")
    return depths


def _load(deeper: Backbone, net: Backbone) -> None:
    try:
        deeper.load_state_dict(deeper.state_dict() | net.state_dict())
    except RuntimeError as error:  # other tensors, or of other shapes
        raise ValueError(_UNLIKE_ITS_SPEC) from error


def _check_same(net: Backbone, deeper: Backbone) -> None:
    """Raise ValueError unless both compute the same, which they do if the network is what its spec says.

    They are compared in double precision, so that nothing but the weights is rounded.
    """
    exact = [deepcopy(each).cpu().double().eval() for each in (net, deeper)]
    x = noise_images(exact[0], 2, max(32, net.smallest_input))
    with torch.no_grad():
        expected, found = (run_finite(each, x) for each in exact)
    if float((found - expected).abs().max()) > 1e-4 * float(expected.abs().max()):
        raise ValueError(_UNLIKE_ITS_SPEC)


def _stages(net: Backbone) -> list[Stage]:
    return [part for stage in net.stages() for part in stage if isinstance(part, Stage)]


def _moments_behind(net: Backbone, inputs: list[Tensor]) -> list[Moments]:
    """Measure mean and variance of each channel behind each stage, as they are in training."""
    last = {str(i): list(stage)[-1] for i, stage in enumerate(_stages(net))}
    moments = {name: Moments() for name in last}
    with norms_in(net, training=True), outcomes(last, lambda name, y: moments[name].add(of_channels(y))):
        for x in inputs:
            run_finite(net, x)
    return list(moments.values())
