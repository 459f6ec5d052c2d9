"""A network's loss and accuracy at points of a line or plane through its parameters."""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.modules.batchnorm import _BatchNorm

from resnetlib.analysis.batches import Batch, images_in
from resnetlib.analysis.landscape.compiled import Compiled, run
from resnetlib.analysis.landscape.directions import parameters_of
from resnetlib.analysis.landscape.folding import Pair, folded, pairs_in, without_norms
from resnetlib.analysis.landscape.pieces import looks_at_batches, pieces_of
from resnetlib.analysis.scores import as_precise, check_logits, decided
from resnetlib.modules.frozen import has_running_stats

BatchNorm = Literal["running", "recalibrated", "batch"]
"""What batch norms normalise with, away from where their statistics were collected."""

Precision = Literal["fp32", "bf16", "fp16"]
"""What is computed with: the network's own type (which mostly is fp32), or autocast."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""The mean loss over a batch, of logits and labels."""


class Points:
    """loss(theta + x dx + y dy), for one thread: it has modules of its own, and shares parameters and images with the others.

    Args:
        net: the network, in evaluation.
        directions: dx, or dx and dy, on its device.
        batches: images and labels on its device.
        batch_norm: what batch norms normalise with.
        precision: what is computed with.
        loss: the loss.
        compiled: what runs the network with its norms folded, shared by all threads; None to run it as it is.
    """

    def __init__(
        self,
        net: nn.Module,
        directions: Sequence[dict[str, Tensor]],
        batches: list[Batch],
        *,
        batch_norm: BatchNorm,
        precision: Precision,
        loss: Loss,
        compiled: Compiled | None = None,
    ) -> None:
        self.net, self.directions, self.loss = own(net), directions, loss
        self.theta = parameters_of(net)
        self.moving = [name for name in self.theta if any(direction[name].any() for direction in directions)]
        self.device = next(iter(self.theta.values())).device
        self.dtype = None if precision == "fp32" else {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self.images = images_in(batches)
        self.batches = batches
        self.learning = [] if batch_norm == "running" else learning_norms(self.net)
        if batch_norm == "batch":
            for norm in self.learning:
                norm.running_mean = norm.running_var = None  # without them a norm has no other statistics than its batch's
            self.learning = []
        for norm in self.learning:
            norm.num_batches_tracked = None
        self.buffers = {name: buffer.detach() for name, buffer in self.net.named_buffers()}
        divisible = self.device.type == "cpu" and not any(map(looks_at_batches, self.net.modules()))
        half = self.dtype is not None
        self.pieces = [pieces_of(x, half=half, compiled=compiled is not None) if divisible else (x,) for x, _ in batches]
        self.run = compiled or run
        names = {id(buffer): name for name, buffer in self.net.named_buffers()}
        self.statistics = {names[id(statistic)] for norm in self.learning for statistic in (norm.running_mean, norm.running_var)}
        self.fold()

    def fold(self) -> None:
        """Fold the norms that stand behind convolutions, where that changes nothing but the order of roundings."""
        self.without, self.pairs = self.net, dict[Pair, float]()
        x = self.batches[0][0][:2]
        if x.dtype not in (torch.float32, torch.float64):
            return
        with torch.no_grad():
            pairs = pairs_in(self.net, x)
            if not self.fold_all(pairs, x):  # something else too reads what a convolution makes; a skip connection does
                self.fold_all([pair for pair in pairs if self.fold_all([pair], x)], x)

    def fold_all(self, pairs: list[Pair], x: Tensor) -> bool:
        """Fold just these, if without their norms the network has the same output, up to rounding."""
        without, folding = without_norms(own(self.net), pairs)
        state = _somewhere(self.theta) | self.buffers
        one, other = check_logits(run(self.net, state, x)), run(without, folded(state, folding), x)
        same = bool((one - other).abs().max() <= 1e-3 * one.abs().max())
        self.without, self.pairs = (without, folding) if same else (self.net, {})
        return same

    def __call__(self, points: Tensor) -> Tensor:
        """Evaluate points: one by itself, several together by vmap.

        Args:
            points: their coordinates, `(P, 1)` or `(P, 2)`.

        Returns:
            Mean loss, and accuracy in percent, `(P, 2)`, on the CPU.
        """
        together = len(points) > 1
        with torch.inference_mode(False), torch.no_grad(), self.autocast():  # the same in all threads, which share what is compiled
            states = [self.at(point) for point in points.tolist()]
            state = {name: torch.stack([each[name] for each in states]) for name in states[0]} if together else states[0]
            self.recalibrate(state, together)
            state = vmap(self.folded)(state) if together else self.folded(state)
            sums = vmap(self.sums, in_dims=(0, None, None)) if together else self.sums
            total = sum(sums(state, x, y) for x, (_, y) in zip(self.pieces, self.batches, strict=True))
        return (total / self.images * torch.tensor([1.0, 100.0], device=self.device)).cpu().view(len(points), 2)

    def at(self, point: Sequence[float]) -> dict[str, Tensor]:
        """Return parameters and buffers at a point.

        Args:
            point: its coordinates.

        Returns:
            They, by their names.
        """
        moved = [self.theta[name] for name in self.moving]
        for c, direction in zip(point, self.directions, strict=True):
            moved = [theta + c * direction[name] for theta, name in zip(moved, self.moving, strict=True)]
        fresh = {name: torch.zeros_like(self.buffers[name]) for name in self.statistics}
        return self.theta | dict(zip(self.moving, moved, strict=True)) | self.buffers | fresh

    def recalibrate(self, state: dict[str, Tensor], together: bool) -> None:
        """Fill in the running statistics: the mean over the batches of each batch's, as after stochastic weight averaging.

        Args:
            state: parameters and buffers at one point, or several; changed in place.
            together: whether at several.
        """
        if not self.learning:
            return
        for norm in self.learning:
            norm.training = True
        run_all = vmap(run, in_dims=(None, 0, None)) if together else run
        for count, (x, _) in enumerate(self.batches, 1):
            for norm in self.learning:
                norm.momentum = 1 / count
            run_all(self.net, state, x)
        for norm in self.learning:
            norm.training = False

    def folded(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return parameters and buffers with the norms folded."""
        return folded(state, self.pairs)

    def sums(self, state: dict[str, Tensor], pieces: tuple[Tensor, ...], y: Tensor) -> Tensor:
        """Add up the losses and the right answers of a batch, given parameters and buffers with the norms folded."""
        logits = as_precise(torch.cat([check_logits(self.run(self.without, state, x)) for x in pieces]))
        loss = self.loss(logits, y)
        if not isinstance(loss, Tensor) or loss.ndim:
            got = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"loss must return the mean over a batch, a scalar, got {got}")
        return torch.stack([loss.double() * len(y), (decided(logits) == y).sum().double()])

    def autocast(self) -> AbstractContextManager[object]:
        """Compute in the chosen precision."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)


def check_choices(batch_norm: str, precision: str) -> None:
    """Refuse words that say nothing.

    Args:
        batch_norm: what batch norms shall normalise with.
        precision: what shall be computed with.

    Raises:
        ValueError: for another word than those that there are.
    """
    if batch_norm not in get_args(BatchNorm):
        raise ValueError(f"batch_norm must be one of {get_args(BatchNorm)}, got {batch_norm!r}")
    if precision not in get_args(Precision):
        raise ValueError(f"precision must be one of {get_args(Precision)}, got {precision!r}")


def own(net: nn.Module) -> nn.Module:
    """Copy a network's modules and buffers, but not its parameters: threads can call copies, where they could not share one.

    Args:
        net: the network.

    Returns:
        The copy.
    """
    return copy.deepcopy(net, {id(parameter): parameter for parameter in net.parameters()})


def learning_norms(net: nn.Module) -> list[_BatchNorm]:
    """Find the batch norms that collect statistics while the network trains: not those that somebody froze.

    Args:
        net: a network that nobody else has, in evaluation; so it stays.

    Returns:
        The norms.
    """
    found = [module for module in net.train().modules() if has_running_stats(module) and module.training]
    net.eval()
    return found


def channels_last(x: Tensor) -> Tensor:
    """Lay out images, or the weights of a convolution, as convolutions are fastest with.

    Args:
        x: any tensor; other ones stay as they are.

    Returns:
        The same numbers.
    """
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def _somewhere(theta: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a point where no parameter is zero, which hides what it multiplies."""
    generator = torch.Generator().manual_seed(0)
    noise = {name: torch.randn(t.shape, generator=generator).to(t.device, t.dtype) for name, t in theta.items()}
    scale = {name: t.square().mean().sqrt() for name, t in theta.items()}
    return {name: t + 0.1 * noise[name] * scale[name].where(scale[name] > 0, 1.0) for name, t in theta.items()}
