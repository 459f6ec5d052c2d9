"""What the latest iterations saw: read from the device at once, and only now and then."""

from dataclasses import dataclass

import torch
from torch import Tensor

from resnetlib.distributed import Processes
from resnetlib.train.step import Seen

_ABSURD = 1e4
"""A mean loss above this many nats is no training any more: guessing among a million classes costs 14."""

_PATIENCE = 20
"""So many gradients in a row that are not finite are no accident, in fp16 either, whose scale halves at each."""


@dataclass(frozen=True, slots=True)
class Means:
    """Means over some iterations.

    Args:
        loss: of the batches, in nats.
        error: share of wrong first guesses on the augmented images, in percent.
        norm: of the gradient.
    """

    loss: float
    error: float
    norm: float


class Window:
    """Collects what iterations see, without waiting for the device.

    Args:
        processes: the processes, over which losses and errors are averaged.
        forgives: whether a gradient that is not finite is no harm, since the optimizer leaves the step out, as in fp16.
    """

    def __init__(self, processes: Processes, forgives: bool) -> None:
        self._processes, self._forgives = processes, forgives
        self._new: list[Tensor] = []
        self._read: list[Tensor] = []

    def add(self, seen: Seen) -> None:
        """Collect an iteration.

        Args:
            seen: what it saw.
        """
        self._new.append(torch.stack([seen.loss, seen.wrong, seen.norm.to(seen.loss.dtype)]))

    def read(self, iteration: int) -> Means:
        """Wait for the device, and return the means over all that was collected.

        Args:
            iteration: how many are done.

        Returns:
            The means.

        Raises:
            DivergenceError: if a loss or a gradient is not finite, or a loss is absurd.
        """
        rows = self._processes.mean(torch.stack(self._new)).cpu()
        self._new.clear()
        self._check(rows, iteration - len(rows))
        self._read.append(rows)
        everything = torch.cat(self._read)
        norms = everything[:, 2][everything[:, 2].isfinite()]
        loss, wrong, _ = everything.mean(0).tolist()
        return Means(loss, 100 * wrong, norms.mean().item() if len(norms) else 0.0)

    def _check(self, rows: Tensor, first: int) -> None:
        good = rows[:, 0].isfinite() & (rows[:, 0] < _ABSURD)
        finite = rows[:, 2].isfinite()
        if not self._forgives or (len(rows) >= _PATIENCE and not finite.any()):
            good &= finite
        if bool(good.all()):
            return
        at = int(good.logical_not().nonzero()[0])
        loss, _, norm = rows[at].tolist()
        raise DivergenceError(f"the training diverged in iteration {first + at + 1}: loss {loss:g}, norm of the gradient {norm:g}")


class DivergenceError(ArithmeticError):
    """A loss or a gradient is not finite, or absurd."""
