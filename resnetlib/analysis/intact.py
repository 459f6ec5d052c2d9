"""Networks that are looked at, and left as they were found."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock

import torch
from torch import nn

from resnetlib.modules import Stage
from resnetlib.modules.threads import in_use

_LOCK = RLock()
_ENTERED: list[ExitStack] = []
"""Process-wide settings that running analyses have changed, oldest first."""


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

    One thread at a time looks at a network, and others that want to, or to classify or evaluate with it, are refused. Who runs or
    trains it without asking is not seen, and makes the measurement wrong.

    Args:
        net: the network.
        training: the mode that it is put into.

    Yields:
        Nothing.

    Raises:
        RuntimeError: if another thread uses the network.
    """
    with in_use(net, alone=True, training=training), _as_it_was(net), _process_as_it_was(net):
        yield


@contextmanager
def _as_it_was(net: nn.Module) -> Iterator[None]:
    stages = [(module, module.checkpointing) for module in net.modules() if isinstance(module, Stage)]
    buffers = [(buffer, buffer.detach().clone()) for buffer in net.buffers()]
    slots = [(module, dict(module._buffers)) for module in net.modules()]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in net.parameters()]
    try:
        for stage, _ in stages:
            stage.checkpointing = False  # hooks would see the second run too
        yield
    finally:
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


@contextmanager
def _process_as_it_was(net: nn.Module) -> Iterator[None]:
    """Keep the random state, and run nothing compiled. The last analysis to end restores what the first one found."""
    devices = {tensor.device for tensor in (*net.parameters(), *net.buffers()) if tensor.device.type == "cuda"}
    with ExitStack() as stack:
        with _LOCK:
            stack.enter_context(torch.random.fork_rng(devices=sorted(device.index for device in devices)))
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            _ENTERED.append(stack.pop_all())
        try:
            yield
        finally:
            with _LOCK:
                _ENTERED.pop().close()
