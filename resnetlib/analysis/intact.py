"""Networks that are looked at, and left as they were found."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from resnetlib.modules import Stage


def unwrapped(net: nn.Module) -> nn.Module:
    """Take a network out of what compiles it or spreads its batches over devices: what is measured is the network itself.

    Args:
        net: a network, perhaps in `torch.compile`, `DataParallel` or `DistributedDataParallel`, or several of them.

    Returns:
        The network, under its own names.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(net, nn.Module):
        raise ValueError(f"the network must be a torch.nn.Module, got {type(net).__name__}")
    spread = isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel)
    inner = net._modules.get("module" if spread else "_orig_mod")
    return net if inner is None else unwrapped(inner)


@contextmanager
def intact(net: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Put a network into one mode; afterwards, also after an error, give every module back as it was.

    Restored are modes, buffers (running statistics), gradients, `requires_grad`, checkpointing, and the random state of the devices
    that the network is on. Hooks are those of `meeting` and its like, which remove them. Parameters are never written to: other
    values of theirs go through `torch.func.functional_call`. A network that was compiled runs uncompiled inside, since compiled
    code does not see new hooks.

    It is for one thread at a time: modes are the network's, and whether compiled code runs is the process's.

    Args:
        net: the network.
        training: the mode that it is put into.

    Yields:
        Nothing.
    """
    modes = [(module, module.training) for module in net.modules()]
    stages = [(module, module.checkpointing) for module in net.modules() if isinstance(module, Stage)]
    buffers = [(buffer, buffer.detach().clone()) for buffer in net.buffers()]
    slots = [(module, dict(module._buffers)) for module in net.modules()]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in net.parameters()]
    devices = {tensor.device for tensor in (*net.parameters(), *net.buffers()) if tensor.device.type == "cuda"}
    net.train(training)
    for stage, _ in stages:
        stage.checkpointing = False  # hooks would see the second run too
    try:
        with (
            torch.random.fork_rng(devices=sorted(device.index for device in devices)),
            torch.compiler.set_stance("force_eager"),
        ):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for stage, enabled in stages:
            stage.checkpointing = enabled
        for parameter, required, gradient in parameters:
            if parameter.requires_grad != required:  # those that were made in inference mode can but be asked
                parameter.requires_grad_(required)
            parameter.grad = gradient
        for module, own in slots:
            module._buffers.update(own)
        with torch.no_grad():
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)
