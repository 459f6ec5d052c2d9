"""Networks whose parameters are arguments, compiled."""

from collections.abc import Callable
from functools import lru_cache
from types import FunctionType

import torch
from torch import Tensor, nn
from torch.func import functional_call

Run = Callable[[nn.Module, dict[str, Tensor], Tensor], Tensor]
"""Runs a network with parameters and buffers, by their names, in the places of its own."""


def run(net: nn.Module, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Run a network.

    Args:
        net: the network.
        state: parameters and buffers.
        x: its input.

    Returns:
        Its output.
    """
    y: Tensor = functional_call(net, state, (x,))
    return y


@lru_cache(maxsize=32)
def compiled(*kind: object) -> Run:
    """Return `run`, to be compiled when it is first called; any other network, of which PyTorch's guards see all, compiles it anew.

    Threads share it, and later surfaces of networks of the same kind. PyTorch keeps what it compiled with a function's code, and no
    more than a few versions of it: so each kind gets code of its own.

    Args:
        *kind: what nearly always tells whether compiled code fits.

    Returns:
        The function.
    """
    return torch.compile(FunctionType(run.__code__.replace(), run.__globals__), fullgraph=True, dynamic=False)
