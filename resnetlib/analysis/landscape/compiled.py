"""Networks whose parameters are arguments, compiled."""

from collections.abc import Callable
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


class Compiled:
    """`run`, compiled for each shape of the input when the first one comes; threads share it, with copies of one network.

    It is made for one surface, and gone with it: PyTorch does not see all that tells one network from another, such as hooks that
    were added since. It also keeps but a few versions of one function, and so each shape has a function of its own.
    """

    def __init__(self) -> None:
        self.of_shape: dict[torch.Size, Run] = {}

    def __call__(self, net: nn.Module, state: dict[str, Tensor], x: Tensor) -> Tensor:
        """Run a network, as `run` does."""
        if x.shape not in self.of_shape:
            code = run.__code__.replace()  # PyTorch keeps what it compiled with a function's code
            self.of_shape[x.shape] = torch.compile(FunctionType(code, run.__globals__), fullgraph=True, dynamic=False)
        return self.of_shape[x.shape](net, state, x)
