"""Gradients, also where a caller asked for none."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def recording(net: nn.Module | None = None) -> Iterator[None]:
    """Let what is computed have gradients, also inside of a caller's `torch.no_grad` or `torch.inference_mode`.

    Tensors that were made in inference mode have none ever: inputs and labels are copied when they are read (`gather_labelled`),
    and what else a gradient depends on is made in here.

    Args:
        net: the network whose gradients are computed.

    Yields:
        Nothing.

    Raises:
        ValueError: if tensors of the network were made in inference mode.
    """
    if net is not None:
        check_ordinary(net, "can have no gradients")
    with torch.inference_mode(False), torch.enable_grad():
        yield


def check_ordinary(net: nn.Module, but: str) -> None:
    """Raise ValueError if tensors of a network were made in inference mode, of which something then is not true.

    Args:
        net: the network.
        but: what is not true of them.
    """
    if made := [name for name, tensor in (*net.named_parameters(), *net.named_buffers()) if tensor.is_inference()]:
        raise ValueError(
            f"{made[0]} and perhaps others of the network were made inside of torch.inference_mode(), and {but}: "
            "build or load the network outside of it"
        )
