"""The processes that share one surface: one, or as many as torchrun started."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Team:
    """The processes.

    Args:
        rank: the number of this one; number 0 reads and writes the file.
        size: how many there are.
        device: where tensors have to lie that they exchange.
    """

    rank: int
    size: int
    device: torch.device

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over the processes.

        Args:
            values: this process's.

        Returns:
            The sum, the same in all processes.
        """
        if self.size == 1:
            return values
        total = values.to(self.device, copy=True)
        dist.all_reduce(total)
        return total.to(values.device)

    def gather(self, value: T) -> list[T]:
        """Return what each process has.

        Args:
            value: this process's.

        Returns:
            All of them, in order of rank.
        """
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        dist.all_gather_object(values, value)
        return values


@contextmanager
def join_team(device: torch.device) -> Iterator[Team]:
    """Join the other processes: those of the group that there is, or that torchrun started.

    Args:
        device: where the network is.

    Yields:
        The team.
    """
    begun = dist.is_available() and dist.is_initialized()
    ours = not begun and dist.is_available() and dist.is_torchelastic_launched()
    if ours:
        dist.init_process_group("gloo")  # what is exchanged is small
    try:
        if begun or ours:
            nccl = dist.get_backend() == "nccl"
            yield Team(dist.get_rank(), dist.get_world_size(), device if nccl else torch.device("cpu"))
        else:
            yield Team(0, 1, torch.device("cpu"))
    finally:
        if ours:
            dist.destroy_process_group()
