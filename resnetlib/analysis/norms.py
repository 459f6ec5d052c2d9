"""Which statistics the norms of a network use while it is looked at."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from resnetlib.analysis.batches import Batches, gather_inputs, run_finite
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.recording import check_ordinary
from resnetlib.modules.frozen import has_running_stats
from resnetlib.modules.threads import in_use


@contextmanager
def norms_in(net: nn.Module, *, training: bool) -> Iterator[None]:
    """Let norms use the statistics of each batch, as while training, or their running ones; afterwards all is as it was.

    Everything else is in evaluation: dropout and stochastic depth would make a measurement a matter of chance. Frozen norms keep
    to their running statistics.

    Args:
        net: the network.
        training: whether norms use each batch's own statistics.

    Yields:
        Nothing.

    Raises:
        ValueError: with `training`, if tensors of the network were made in inference mode, outside of it.
    """
    if training and not torch.is_inference_mode_enabled():
        check_ordinary(net, "cannot be written to outside of it, as norms do")
    with intact(net):
        for module in net.modules():
            if isinstance(module, _NormBase):
                module.train(bool(training))
        yield


@contextmanager
def recalibrated(net: nn.Module, batches: Batches) -> Iterator[None]:
    """Let batch norms have the statistics of these images as their running ones; afterwards all is as it was.

    What is measured in evaluation uses running statistics. Those of a network that is not trained yet are zeros and ones, with
    which its norms do nothing: inside this context they do what they will do in training. The statistics are the means over the
    batches. Frozen norms keep theirs.

    Args:
        net: the network.
        batches: images, with or without labels.

    Yields:
        Nothing.

    Raises:
        ValueError: if there are no images, the network's output is not finite on them, or its tensors were made in inference mode.
        RuntimeError: if another thread uses the network.

    Example:
        >>> from resnetlib import cifar_plain20
        >>> from resnetlib.analysis import branch_ratio
        >>> net, images = cifar_plain20(), torch.randn(4, 3, 32, 32)
        >>> with recalibrated(net, images):
        ...     float(branch_ratio(net, images).ratio[1]) > 1.2
        True
        >>> float(net.bn1.running_var.mean())
        1.0
    """
    net = unwrapped(net)
    inputs = gather_inputs(net, batches)
    with in_use(net, alone=True), _recalibrated(net, inputs):
        yield


@contextmanager
def _recalibrated(net: nn.Module, inputs: list[Tensor]) -> Iterator[None]:
    with norms_in(net, training=True), torch.no_grad():
        norms = [module for module in net.modules() if has_running_stats(module) and module.training]
        momenta = [norm.momentum for norm in norms]
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # the mean of all batches
            for x in inputs:
                run_finite(net, x)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        estimated = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
    before = [(buffer, buffer.clone()) for buffer, _ in estimated]
    try:
        _write(estimated)
        yield
    finally:
        _write(before)


@torch.no_grad()
def _write(values: list[tuple[Tensor, Tensor]]) -> None:
    for buffer, value in values:
        buffer.copy_(value)
