"""The loss over a line or plane through a network's parameters, computed by threads and processes, and resumed from a file."""

import copy
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F  # noqa: N812
from torch.nn.modules.batchnorm import _BatchNorm

from resnetlib.analysis import style
from resnetlib.analysis.batches import Batch, Batches, count_images, first_parameter, gather
from resnetlib.analysis.landscape import grids
from resnetlib.analysis.landscape.directions import Direction, check_directions, cosine, draw_directions
from resnetlib.analysis.landscape.grids import NOT_COMPUTED, Span
from resnetlib.analysis.network import as_float32, check_labels, check_logits, predictions, preserve_state, run
from resnetlib.analysis.result import AnalysisResult, Axes, new_axes
from resnetlib.config.integers import check_count, check_seed
from resnetlib.deploy import copy_sharing_parameters, fold_norms, fold_state
from resnetlib.distributed import process_group
from resnetlib.errors import CompileError, InputError, InputTypeError
from resnetlib.modules.arguments import check_number
from resnetlib.modules.frozen import has_running_stats

BatchNorm = Literal["running", "recalibrated", "batch"]
Precision = Literal["fp32", "bf16", "fp16"]
Loss = Callable[[Tensor, Tensor], Tensor]

CACHED_NUMEL = 32 * 3 * 32 * 32
"""Size of a batch, in fp32 numbers, whose feature maps fit into a CPU's caches: 32 images of CIFAR."""

_MAX_WORKERS = 1024
_COMPILE_CONFIG = {
    "skip_nnmodule_hook_guards": False,  # recompile if hooks were added
    "recompile_limit": 2**20,  # code is compiled for each network and batch size; the default allows 8
    "accumulated_recompile_limit": 2**20,
}


@dataclass(frozen=True, slots=True, eq=False)
class Landscape(AnalysisResult):
    """The loss and the accuracy at theta + x dx + y dy.

    Args:
        x: coordinates along dx.
        y: coordinates along dy; None for a line.
        loss: mean loss, `(len(y), len(x))`: `loss[i, j]` is at `x[j]`, `y[i]`; `(len(x),)` for a line. Infinite or NaN if the
            network's output is, -1 if not computed yet.
        accuracy: in percent, same shape; -1 if not computed yet.
        loss_at_center: loss of the network itself.
        accuracy_at_center: accuracy of the network itself.
        cosine: cosine of the angle between dx and dy; None for a line.
        images: number of images.
        batch_norm: statistics that batch norms used.
        precision: precision of the computation.
        seed: seed of the directions; None if they were given.
        made_of: fingerprints of everything that the surface depends on.
    """

    x: Tensor
    y: Tensor | None
    loss: Tensor
    accuracy: Tensor
    loss_at_center: float
    accuracy_at_center: float
    cosine: float | None
    images: int
    batch_norm: str
    precision: str
    seed: int | None
    made_of: dict[str, str]

    @property
    def computed(self) -> float:
        """Fraction of the points that are computed."""
        return float((self.accuracy != NOT_COMPUTED).double().mean())

    def known(self, name: Literal["loss", "accuracy"]) -> Tensor:
        """Return the loss or accuracy, with NaN for points that are not computed yet."""
        values: Tensor = getattr(self, name)
        return values.masked_fill(self.accuracy == NOT_COMPUTED, torch.nan)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the contours of the loss, or its profile along a line.

        Contours are at 0.1, 0.6, 1.1 to 9.6, as published, and at powers of ten above.
        """
        from matplotlib.colors import LogNorm, Normalize

        loss = self.known("loss")
        finite = loss[loss.isfinite()]
        wide = bool(len(finite) and finite.min() > 0 and finite.max() > 100 * finite.min())
        values = np.ma.masked_invalid(loss.numpy())
        if self.y is None:
            ax = new_axes(ax)
            ax.plot(self.x.numpy(), values, color=style.FIRST)
            ax.set(xlabel="x", yscale="log" if wide else "linear")
            ax.set_ylabel("loss", color=style.FIRST)
            other = ax.twinx()
            other.plot(self.x.numpy(), self.known("accuracy").numpy(), color=style.SECOND)
            other.set(ylim=(0, 100))
            other.set_ylabel("accuracy, %", color=style.SECOND)
            return ax
        ax = new_axes(ax, width=5.5, height=4.5)
        ax.set(xlim=(float(self.x[0]), float(self.x[-1])), ylim=(float(self.y[0]), float(self.y[-1])), xlabel="x", ylabel="y")
        if levels := contour_levels(loss):
            norm = (LogNorm if wide and levels[0] > 0 else Normalize)(levels[0], levels[-1])
            lines = ax.contour(self.x.numpy(), self.y.numpy(), values, levels=levels, norm=norm, cmap="viridis", linewidths=1)
            ax.clabel(lines, fontsize=7)
        ax.plot(0, 0, "+", color="black")
        return ax


def contour_levels(loss: Tensor) -> list[float]:
    """Return the published contour levels inside the range of the loss, or eight equally spaced ones if fewer than three are."""
    finite = loss[loss.isfinite()]
    if not len(finite) or finite.min() == finite.max():
        return []
    low, high = float(finite.min()), float(finite.max())
    published = [*np.arange(0.1, 10, 0.5), *np.logspace(1, 8, num=8)]
    reached = [float(level) for level in published if low < level < high]
    return reached if len(reached) >= 3 else np.linspace(low, high, 10)[1:-1].tolist()


def landscape(
    net: nn.Module,
    batches: Batches,
    span: Span = 1.0,
    points: int = 51,
    *,
    dimensions: int = 2,
    directions: Sequence[Direction] | None = None,
    seed: int = 0,
    ignore_norms_and_biases: bool = True,
    batch_norm: BatchNorm = "running",
    precision: Precision = "fp32",
    loss: Loss = F.cross_entropy,
    out: str | Path | None = None,
    every: float = 30.0,
    workers: int | None = None,
    chunk: int = 1,
    compiled: bool = False,
) -> Landscape:
    """Compute the loss on a grid around the weights.

    A point is loss(theta + x dx + y dy). The directions dx and dy are random and filter-normalized, unless they are given. Under
    torchrun all processes must call this, each with the network on its own device; they share the points, and each returns the
    whole surface. An interrupted call with `out` resumes when it is repeated, even with other numbers of workers and processes.

    Args:
        net: any classifier.
        batches: images and labels, preprocessed and not augmented.
        span: x and y go from -span to span; or the two ends of each, ((x0, x1), (y0, y1)).
        points: number of points along x and along y, at least 2.
        dimensions: 2 for a plane, 1 for a line; ignored if directions are given.
        directions: dx, or dx and dy; None for filter-normalized random ones.
        seed: of the random directions, which are independent.
        ignore_norms_and_biases: see `filter_normalized_direction`.
        batch_norm: "running": use the network's running statistics, as published. "recalibrated": estimate running statistics over
            the batches at each point. "batch": use the statistics of each batch. Frozen norms always use running statistics.
        precision: "fp32": the network's own dtype. "bf16", "fp16": autocast.
        loss: function of logits and labels that returns the mean over the batch, a scalar.
        out: checkpoint file, .json or .safetensors.
        every: seconds between updates of the file.
        workers: number of threads, each of which computes points; None for one per core on a CPU, one on a GPU.
        chunk: number of points that each worker computes together with `torch.func.vmap`. Larger chunks save kernel launches on a
            GPU, but are slower on a CPU.
        compiled: run the network with `torch.compile`, which is faster for many points and images, after compiling for ten seconds
            or more for each network and batch size. Values differ only by rounding, so a file can be resumed with or without.
            Statistics are recalibrated eagerly.

    Returns:
        The surface.

    Raises:
        RuntimeError: with `compiled`, if `torch.compile` cannot compile the network as one graph.
        TypeError: if `every` is not a number, or `loss` not a function.
        ValueError: if the loss of the network itself is not finite, there are no images or labels, an argument is out of range, or
            `out` belongs to a call with other arguments.

    Source:
        arXiv 1712.09913, sec. 4 and 5; the authors use span 1 and 51 points, over all training images.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
        >>> images, labels = torch.randn(8, 3, 2, 2), torch.arange(8) % 3
        >>> found = landscape(net, (images, labels), points=3)
        >>> torch.allclose(found.loss[1, 1].float(), F.cross_entropy(net(images), labels))
        True
    """
    points, seed, chunk = check_count("points", points, minimum=2), check_seed(seed), check_count("chunk", chunk, minimum=1)
    for option, value, accepted in (("batch_norm", batch_norm, BatchNorm), ("precision", precision, Precision)):
        if value not in get_args(accepted):
            raise InputError(f"{option} must be one of {get_args(accepted)}, got {value!r}")
    if check_count("workers", 1 if workers is None else workers, minimum=1) > _MAX_WORKERS:
        raise InputError(f"workers must be at most {_MAX_WORKERS}, got {workers}")
    check_number("every", every)
    if not callable(loss):
        raise InputTypeError(f"loss must be a function, got {loss!r}")
    if compiled and chunk > 1:
        raise InputError(f"compiled=True computes points one by one: leave chunk at 1, got {chunk}")
    net, data = gather(net, batches)
    if precision != "fp32" and first_parameter(net).dtype == torch.float64:
        raise InputError(f"precision={precision!r} is for networks in fp32 or less: autocast would leave torch.float64 as it is")
    if chunk == 1:
        data = [(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x, y) for x, y in data]
    path = grids.check_checkpoint_path(out)
    given = draw_directions(net, dimensions, seed, ignore_norms_and_biases) if directions is None else directions
    along = check_directions(net, given)
    ends, axes, coordinates = grids.make_grid(span, points, len(along))
    shape = (points,) * len(along)
    name = repr(loss) if isinstance(loss, nn.Module) else getattr(loss, "__qualname__", type(loss).__qualname__)
    loss_name = f"{getattr(loss, '__module__', '')}.{name}"
    options = {"span": ends, "points": points, "batch_norm": batch_norm, "precision": precision, "loss": loss_name}
    made_of = grids.fingerprint(net, data, along, **options)
    device = data[0][0].device
    threads = torch.get_num_threads()
    count = workers or (min(threads, os.cpu_count() or 1) if device.type == "cpu" else 1)
    angle = cosine(*along) if len(along) == 2 else None

    def result(values: Tensor) -> Landscape:
        return Landscape(
            x=axes[0],
            y=axes[1] if len(axes) == 2 else None,
            loss=values[:, 0].view(shape).clone(),
            accuracy=values[:, 1].view(shape).clone(),
            loss_at_center=float(center[0, 0]),
            accuracy_at_center=float(center[0, 1]),
            cosine=angle,
            images=count_images(data),
            batch_norm=batch_norm,
            precision=precision,
            seed=seed if directions is None else None,
            made_of=made_of,
        )

    with process_group(device, "gloo") as processes, preserve_state(net), ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads)
        if count > 1:
            torch.set_num_threads(1)  # otherwise workers would wait for each other in every layer
        checkpoint, values = grids.load_checkpoint(path, Landscape, ("loss", "accuracy"), shape, made_of, processes)
        with torch.no_grad():
            check_labels(torch.cat([labels for _, labels in data]), check_logits(run(net, data[0][0])))
        first = PointEvaluator(net, along, data, batch_norm=batch_norm, precision=precision, loss=loss, compiled=compiled)
        evaluators = [first, *(first.copy() for _ in range(count - 1))]
        stack.enter_context(torch.compiler.set_stance("default" if compiled else "force_eager"))  # overrides `preserve_state`
        if compiled:
            stack.enter_context(torch._dynamo.config.patch(_COMPILE_CONFIG))
        center, seconds = _measure_center(first, len(along), compiled)
        now = float(center[0, 0])
        if checkpoint and not math.isclose(before := checkpoint.loss_at_center, now, rel_tol=1e-3):
            # as with another loss function of the same name
            raise InputError(f"{path} belongs to another call: its loss at the center is {before}, here {now}. Give another file.")
        values[(coordinates == 0).all(1)] = center
        if compiled:  # all sizes are compiled, but PyTorch's guards may fail when several threads check them
            stack.enter_context(torch.compiler.set_stance("eager_on_recompile"))
        timing = {"seconds": seconds, "every": every}
        return grids.compute_points(
            coordinates, values, evaluators, processes, result, path, chunk=chunk, desc="loss landscape", **timing
        )


def _measure_center(evaluator: "PointEvaluator", dimensions: int, compiled: bool) -> tuple[Tensor, float]:
    """Measure the network's own loss and accuracy, `(1, 2)`, and the seconds it takes."""
    try:
        for _ in range(2 if compiled else 1):  # the first run compiles, which would distort the timing
            start = time.perf_counter()
            center = evaluator(torch.zeros(1, dimensions))
            seconds = time.perf_counter() - start
    except RuntimeError as error:
        if not compiled:
            raise
        needs = "compiled=True, which needs a C++ compiler on a CPU, and a network that is one graph"
        raise CompileError(f"the network cannot be run with {needs}. PyTorch says: {error}") from error
    if not center.isfinite().all():
        raise InputError(
            f"the loss of the network itself is {float(center[0, 0])} on these images: check its weights, and that the images are "
            "preprocessed; for an untrained network set batch_norm='recalibrated', and if numbers overflow precision='fp32'"
        )
    return center, seconds


def run_functional(net: nn.Module, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Run a network with other parameters and buffers."""
    y: Tensor = functional_call(net, state, (x,))
    return y


class PointEvaluator:
    """Mean loss and accuracy at theta + x dx + y dy, for one thread; copies share parameters, images and compiled code."""

    def __init__(
        self,
        net: nn.Module,
        directions: Sequence[dict[str, Tensor]],
        batches: list[Batch],
        *,
        batch_norm: BatchNorm,
        precision: Precision,
        loss: Loss,
        compiled: bool = False,
    ) -> None:
        self.net, self.directions, self.loss = copy_sharing_parameters(net), directions, loss
        self.theta = {name: parameter.detach() for name, parameter in net.named_parameters()}
        self.moving = [name for name in self.theta if any(direction[name].any() for direction in directions)]
        self.device = batches[0][0].device
        self.dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self.net.train()
        norms = {name: m for name, m in self.net.named_modules() if has_running_stats(m) and m.training}
        self.net.eval()  # after listing the norms, since frozen ones are those that stayed in evaluation mode
        for norm in norms.values():
            if batch_norm == "batch":
                norm.running_mean = norm.running_var = None  # a norm without running statistics uses those of the batch
            elif batch_norm == "recalibrated":
                norm.num_batches_tracked = None
        self.recalibrated = list(norms) if batch_norm == "recalibrated" else []
        self.folded_net, self.pairs = fold_norms(self.net, batches[0][0][:2])
        self.buffers = {name: buffer.detach() for name, buffer in self.net.named_buffers()}
        uses_batch_statistics = any(isinstance(m, _BatchNorm) and m.running_mean is None for m in self.net.modules())
        splits = self.device.type == "cpu" and not uses_batch_statistics
        half = self.dtype is not None
        self.batches = [(x, split_batch(x, half=half, compiled=compiled) if splits else (x,), y) for x, y in batches]
        self.run: Callable[[nn.Module, dict[str, Tensor], Tensor], Tensor] = run_functional
        if compiled:
            self.run = torch.compile(run_functional, fullgraph=True, dynamic=False)

    def copy(self) -> "PointEvaluator":
        """Return an evaluator for another thread, with its own modules."""
        other = copy.copy(self)
        other.net, other.folded_net = copy_sharing_parameters(self.net), copy_sharing_parameters(self.folded_net)
        return other

    def __call__(self, points: Tensor) -> Tensor:
        """Return mean loss and accuracy in percent, `(P, 2)` on the CPU, at points `(P, 1)` or `(P, 2)`; several by vmap."""
        with (
            torch.inference_mode(False),  # threads that share compiled code need the same modes
            torch.no_grad(),
            torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None),
        ):
            states = [self.state_at(point) for point in points.tolist()]
            if len(states) == 1:
                total = self.sums(states[0])[None]
            else:
                total = vmap(self.sums)({name: torch.stack([state[name] for state in states]) for name in states[0]})
        images = sum(len(y) for _, _, y in self.batches)
        return (total / images * torch.tensor([1.0, 100.0], device=self.device)).cpu()

    def state_at(self, point: Sequence[float]) -> dict[str, Tensor]:
        """Return parameters and buffers at a point."""
        state = self.theta | self.buffers
        for c, direction in zip(point, self.directions, strict=True):
            state |= {name: state[name] + c * direction[name] for name in self.moving}
        for norm, kind in product(self.recalibrated, ("running_mean", "running_var")):
            name = f"{norm}.{kind}".lstrip(".")
            state[name] = torch.zeros_like(state[name])
        return state

    def sums(self, state: dict[str, Tensor]) -> Tensor:
        """Return the summed loss and the number of correct predictions, given parameters and buffers."""
        if self.recalibrated:
            self.recalibrate_(state)
        state = fold_state(state, self.pairs)
        total = torch.zeros(2, dtype=torch.float64, device=self.device)
        for _, parts, y in self.batches:
            logits = as_float32(torch.cat([check_logits(self.run(self.folded_net, state, x)) for x in parts]))
            loss = self.loss(logits, y)
            if not isinstance(loss, Tensor) or loss.ndim:
                got = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
                raise InputError(f"loss must return the mean over a batch, a scalar, got {got}")
            total = total + torch.stack([loss.double() * len(y), (predictions(logits) == y).sum().double()])
        return total

    def recalibrate_(self, state: dict[str, Tensor]) -> None:
        """Write the mean over the batches of each batch's statistics into a state, as `torch.optim.swa_utils.update_bn` does."""
        norms: list[Any] = [self.net.get_submodule(name) for name in self.recalibrated]
        for norm in norms:
            norm.training = True
        for count, (x, _, _) in enumerate(self.batches, 1):
            for norm in norms:
                norm.momentum = 1 / count
            run_functional(self.net, state, x)
        for norm in norms:
            norm.training = False


def split_batch(x: Tensor, *, half: bool, compiled: bool) -> tuple[Tensor, ...]:
    """Split a batch for a CPU's caches into parts of equal size, except for the last."""
    most = max(1, CACHED_NUMEL * (2 if half else 1) * (2 if compiled else 1) // x[0].numel())  # compiled code needs less memory
    size = math.ceil(len(x) / math.ceil(len(x) / most))
    if compiled and len(x) > most:  # each size is compiled separately: prefer a divisor, unless it is much smaller
        size = next((divisor for divisor in range(most, most // 2, -1) if len(x) % divisor == 0), size)
    parts: tuple[Tensor, ...] = x.split(size)
    return parts
