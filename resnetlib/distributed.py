"""Run in one process or in a torchrun process group."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from resnetlib.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """Rank, world size and device of this process.

    Tensors are exchanged on the device `exchange`: the GPU with NCCL, else the CPU.
    """

    rank: int
    world_size: int
    device: torch.device
    exchange: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the elementwise sum over the processes."""
        total = values.clone()
        if self.world_size > 1:
            total = total.to(self.exchange)
            dist.all_reduce(total)
        return total.to(values.device)

    def gather(self, value: T) -> list[T]:
        """Return the value of each process, in order of rank."""
        values = [value] * self.world_size
        if self.world_size > 1:
            dist.all_gather_object(values, value)
        return values

    def broadcast_buffers(self, net: nn.Module) -> None:
        """Copy the main process's buffers, such as running statistics, to all processes."""
        if self.world_size > 1:
            for buffer in net.buffers():
                dist.broadcast(buffer, 0)

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            dist.barrier()


@contextmanager
def process_group(device: torch.device, backend: str | None = None) -> Iterator[Processes]:
    """Join the existing process group, or under torchrun create one; without either, work alone.

    Under torchrun, a process that uses CUDA takes the GPU of its local rank. The backend of a new group is by default NCCL on CUDA
    and Gloo elsewhere. A group that was created here ends with the block.
    """
    exists = dist.is_available() and dist.is_initialized()
    if not exists and not _under_torchrun():
        yield Processes(0, 1, device, device)
        return
    if _under_torchrun() and device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not exists:
        dist.init_process_group(backend or ("nccl" if device.type == "cuda" else "gloo"))
    try:
        exchange = device if dist.get_backend() == "nccl" else torch.device("cpu")
        yield Processes(dist.get_rank(), dist.get_world_size(), device, exchange)
    finally:
        if not exists:
            dist.destroy_process_group()


def _under_torchrun() -> bool:
    return dist.is_available() and dist.is_torchelastic_launched()


def is_main_process() -> bool:
    """Return whether this process writes and reports."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return int(os.environ.get("RANK", "0")) == 0


def choose_device(device: torch.device | str | None) -> torch.device:
    """Return a usable device, by default a GPU (under torchrun, this process's own) or the CPU; raise ValueError otherwise."""
    own = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if _under_torchrun() else "cuda"
    try:
        chosen = torch.device((own if torch.cuda.is_available() else "cpu") if device is None else device)
        torch.zeros(1, device=chosen).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ValueError) as error:
        raise InputError(f"device {device!r} cannot be used: {str(error).partition(chr(10))[0]}") from error
    return chosen
