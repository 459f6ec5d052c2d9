"""A network on its way through a recipe: it can be stopped after any iteration, and go on from there."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resnetlib.distributed import Processes
from resnetlib.finetuning import Frozen, freeze
from resnetlib.modules import Backbone
from resnetlib.train.draws import mixed
from resnetlib.train.feed import DRAWS, Feed
from resnetlib.train.interrupts import check
from resnetlib.train.recipe import Recipe
from resnetlib.train.schedule import learning_rate
from resnetlib.train.step import Step
from resnetlib.train.window import Means, Window

_WATCHED = 50
"""Iterations after which losses are looked at: to look more often would cost a GPU its pace."""


class Training:
    """A network, its optimizer, and the place they have reached.

    Everything random in an iteration comes from the seed and the iteration's number, so nothing random belongs to the state.

    Args:
        net: the network, on the group's device; trained in place.
        feed: its batches.
        recipe: how.
        seed: of everything that is drawn.
        processes: the processes.
        dtype: of the convolutions.
        compiled: whether the network is compiled; on one GPU with CUDA graphs.
    """

    def __init__(
        self,
        net: Backbone,
        feed: Feed,
        recipe: Recipe,
        *,
        seed: int,
        processes: Processes,
        dtype: torch.dtype,
        compiled: bool = False,
    ) -> None:
        self.iteration = 0
        self.steps = recipe.steps(len(feed))
        self.steps_per_epoch = recipe.steps_per_epoch(len(feed))
        self.recipe = recipe
        self._net, self._feed, self._seed, self._processes = net, feed, seed, processes
        self._average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True) if recipe.ema else None
        self._step = Step(net, net, recipe, dtype=dtype, num_classes=net.num_classes, device=processes.device)
        self._forgives = dtype == torch.float16
        self._compiled, self._wrapped = compiled, False
        self._held: Frozen | None = None

    @property
    def result(self) -> Backbone:
        """The network whose accuracy counts: the averaged one, where the recipe says so."""
        averaged: Backbone = self._net if self._average is None else self._average.module  # type: ignore[assignment]
        return averaged

    @property
    def epoch(self) -> float:
        """How many passes through the images are done."""
        return self.iteration / self.steps_per_epoch

    @property
    def lr(self) -> float:
        """The learning rate of the iteration that was done last."""
        return learning_rate(self.recipe, max(0, self.iteration - 1), self.steps)

    def advance(self, until: int) -> Iterator[tuple[int, Means]]:
        """Train on.

        Args:
            until: the iteration to stop after.

        Yields:
            Now and then, and at the end: the iterations done since the last time, and the means since the beginning of this call.

        Raises:
            DivergenceError: if a loss or a gradient is not finite.
        """
        window, told = Window(self._processes, self._forgives), self.iteration
        self._net.train()
        while self.iteration < until:
            with closing(self._feed.batches(*divmod(self.iteration, self.steps_per_epoch))) as batches:
                for x, labels in batches:
                    check()
                    torch.manual_seed(mixed(self._seed, DRAWS, self.iteration, self._processes.rank))
                    self._enter_phase()
                    rate = learning_rate(self.recipe, self.iteration, self.steps)
                    window.add(self._step(x.contiguous(memory_format=torch.channels_last), labels, rate))
                    if self._average is not None:
                        self._average.update_parameters(self._net)
                    self.iteration += 1
                    if self.iteration % _WATCHED == 0 or self.iteration == until:
                        yield self.iteration - told, window.read(self.iteration)
                        told = self.iteration
                    if self.iteration == until:
                        break

    def _enter_phase(self) -> None:
        """Freeze all but the classifier in the first part of the training, and thaw it behind that."""
        frozen = self.iteration < self.recipe.frozen_steps(self.steps)
        if self._wrapped and frozen == (self._held is not None):
            return
        self.release()
        if frozen:
            self._held = freeze(self._net)
        self._step.forward = _forward(self._net, self._processes, self._compiled)  # it asks once what learns
        self._wrapped = True

    @property
    def is_frozen(self) -> bool:
        """Whether the last iteration was one of those in which the classifier learns alone, and others follow."""
        return self.iteration <= self.recipe.frozen_steps(self.steps) < self.steps

    def release(self) -> None:
        """Thaw what the first part of the training froze, wherever it stopped."""
        if self._held is not None:
            self._held.remove()
            self._held = None

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs to keep."""
        average = None if self._average is None else self._average.state_dict()
        return {"iteration": self.iteration, "net": self._net.state_dict(), "average": average, **self._step.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Args:
            state: what `state` returned.
        """
        self.iteration = state["iteration"]
        self._net.load_state_dict(state["net"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._step.restore(state)


def _forward(net: Backbone, processes: Processes, compiled: bool) -> Callable[[Tensor], Tensor]:
    """Return what is called for the network."""
    forward: nn.Module = net
    on_gpu = processes.device.type == "cuda"
    if processes.world_size > 1:
        forward = nn.parallel.DistributedDataParallel(net, device_ids=[processes.device.index] if on_gpu else None)
    if compiled:
        return torch.compile(forward, mode="reduce-overhead" if on_gpu and processes.world_size == 1 else None)
    return forward
