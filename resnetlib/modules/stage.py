"""Stages of blocks, with recomputation in the backward pass to save memory."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from resnetlib.errors import InputError
from resnetlib.modules.arguments import raise_with_advice
from resnetlib.modules.inplace import activate, chain, returns_new_tensor

Parts = tuple[nn.Module, ...]
"""The modules of a section of a network: stem, stage or tail."""

Checkpointing = bool | Literal["max"]
"""How much training recomputes in the backward pass: nothing, what is cheap, or (in dense blocks) the 1x1 convolutions too."""


def run(parts: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Run modules one after the other; explain PyTorch's errors about the dtype and the number of images."""
    if torch.compiler.is_compiling():  # a graph break in a `try` block would keep all of it from being compiled
        return chain(x, *parts)
    new = False
    for part in parts:
        following = returns_new_tensor(part)
        try:
            x = activate(part, x, new=new)
        except (RuntimeError, ValueError) as error:
            raise_with_advice(error, part, x)
            raise
        new = following
    return x


class Sequential(nn.Sequential):
    """An `nn.Sequential` whose ReLUs work in place where they can."""

    def forward(self, x: Tensor) -> Tensor:
        """Run the modules."""
        return chain(x, *self)


class UntouchedStatistics:
    """A context in which batch norms update copies of their statistics; reusable and reentrant."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.originals: list[list[tuple[nn.Module, str, Tensor]]] = []

    def __enter__(self) -> None:
        norms = [norm for norm in self.module.modules() if isinstance(norm, _BatchNorm) and norm.training]
        self.originals.append([(norm, name, buffer) for norm in norms for name, buffer in norm.named_buffers()])
        for norm, name, buffer in self.originals[-1]:
            setattr(norm, name, buffer.clone())

    def __exit__(self, *error: object) -> None:
        for norm, name, buffer in self.originals.pop():
            setattr(norm, name, buffer)


def recompute(function: Callable[..., Tensor], *inputs: Tensor, module: nn.Module) -> Tensor:
    """Compute `function(*inputs)`, and keep only the inputs for the backward pass, which recomputes the rest.

    Outputs, gradients, random draws and running statistics are those of a plain call: the second run replays the random state, and
    does not update batch norms twice, as `torch.utils.checkpoint` alone would. Forward hooks fire in the second run too.
    `module` is the module that the function runs.
    """
    output: Tensor = checkpoint(
        function, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), UntouchedStatistics(module))
    )
    return output


class Recomputing(Sequential):
    """A sequence that can recompute activations in the backward pass."""

    checkpointing: Checkpointing = False
    """What training recomputes in the backward pass."""

    @property
    def recomputes(self) -> bool:
        """Whether this forward pass recomputes; under a compiler or a tracer it does not."""
        tracing = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        return bool(self.checkpointing) and torch.is_grad_enabled() and not tracing


def set_checkpointing(net: nn.Module, enable: Checkpointing) -> None:
    """Set what all sequences in a network recompute; raise ValueError for anything but True, False and "max"."""
    if enable not in (True, False, "max"):
        raise InputError(f"memory_efficient (set_grad_checkpointing) must be True, False or 'max', got {enable!r}")
    for module in net.modules():
        if isinstance(module, Recomputing):
            module.checkpointing = enable


class Stage(Recomputing):
    """A sequence of blocks.

    Shapes:
        `(N, C_in, H, W)` -> `(N, C_out, ceil(H/s), ceil(W/s))`, where C_out is the last block's and s the product of the strides.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Run the blocks."""
        for block in self:
            x = recompute(block, x, module=block) if self.recomputes else block(x)
        return x
