"""The processes that train one network together: one, or as many as torchrun started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist


@dataclass(frozen=True, slots=True)
class Group:
    """The processes of a training.

    Args:
        rank: the number of this one; number 0 writes and reports.
        size: how many there are.
        device: where this one computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of each number over the processes.

        Args:
            values: this process's.

        Returns:
            The mean, the same in all processes.
        """
        return self.sum(values) / self.size

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of each number over the processes.

        Args:
            values: this process's.

        Returns:
            The sum, the same in all processes.
        """
        total = values.clone()
        if self.size > 1:
            dist.all_reduce(total)
        return total

    def share_statistics(self, net: nn.Module) -> None:
        """Give every process the first one's running statistics: each has seen its own part of the last batch.

        Args:
            net: the network; changed in place.
        """
        if self.size > 1:
            for buffer in net.buffers():
                dist.broadcast(buffer, 0)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()


def device_of(device: torch.device | str | None) -> torch.device:
    """Try a device.

    Args:
        device: which; None for the GPU if there is one, else the CPU. Under torchrun each process has its own GPU.

    Returns:
        The device.

    Raises:
        ValueError: if nothing can be computed there.
    """
    own = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if dist.is_torchelastic_launched() else "cuda"
    try:
        chosen = torch.device((own if torch.cuda.is_available() else "cpu") if device is None else device)
        torch.zeros(1, device=chosen).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(f"device {device!r} cannot be used: {str(error).partition(chr(10))[0]}") from error
    return chosen


@contextmanager
def join_group(device: torch.device | str | None) -> Iterator[Group]:
    """Join the processes that torchrun started; without torchrun, be the only one.

    Args:
        device: where to compute; None for a GPU if there is one. Under torchrun each process takes the GPU of its local rank.

    Yields:
        The group.
    """
    chosen = device_of(device)
    if not dist.is_torchelastic_launched():
        yield Group(0, 1, chosen)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    ours = not dist.is_initialized()
    if ours:
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), chosen)
    finally:
        if ours:
            dist.destroy_process_group()


def leads() -> bool:
    """Tell whether this process is the one that writes and reports, also where the group has parted.

    Returns:
        True without torchrun, and under it in the process of rank 0.
    """
    return int(os.environ.get("RANK", "0")) == 0
