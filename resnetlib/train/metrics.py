"""Metrics of a training: means over iterations, evaluations, the curves, and the final result."""

import hashlib
import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from resnetlib.disk import read_file, sha256_file, write_atomically, write_figure
from resnetlib.distributed import Processes
from resnetlib.errors import InputError, ResnetlibError
from resnetlib.inference import Evaluation, evaluate_batches
from resnetlib.modules import Backbone
from resnetlib.train.data import Batch
from resnetlib.train.interrupts import check_interrupt

_MAX_LOSS = 1e4  # nats; guessing among a million classes costs 14
_MAX_SKIPPED = 20  # nonfinite gradients in a row; in fp16, each halves the loss scale


class DivergenceError(ResnetlibError, ArithmeticError):
    """A loss or a gradient is not finite, or the loss is far too high."""


class StepMeans(NamedTuple):
    """Means over iterations: the loss in nats, the error on augmented images in percent, and the norm of the gradient."""

    loss: float
    error: float
    gradient_norm: float


def check_steps(rows: Tensor, iteration: int, *, skips_steps: bool) -> None:
    """Raise DivergenceError if one of the last iterations diverged; `rows` are their losses, errors and gradient norms.

    With `skips_steps`, as in fp16, the optimizer skips steps with a nonfinite gradient, so a few of them are not a divergence.
    """
    finite = rows[:, 2].isfinite()
    good = rows[:, 0].isfinite() & (rows[:, 0] < _MAX_LOSS)
    if not skips_steps or (len(rows) >= _MAX_SKIPPED and not finite.any()):
        good &= finite
    if not good.all():
        at = int(good.logical_not().nonzero()[0])
        where = f"in iteration {iteration - len(rows) + at + 1}"
        raise DivergenceError(f"the training diverged {where}: loss {rows[at, 0]:g}, norm of the gradient {rows[at, 2]:g}")


def mean_steps(rows: Tensor) -> StepMeans:
    """Return the means over iterations, without nonfinite gradient norms."""
    loss, error, _ = rows.mean(0).tolist()
    norms = rows[:, 2][rows[:, 2].isfinite()]
    return StepMeans(loss, 100 * error, norms.mean().item() if len(norms) else 0.0)


def evaluate_distributed(net: Backbone, batches: Generator[Batch, None, None], processes: Processes) -> Evaluation:
    """Evaluate a network on the batches of all processes; a process may have none."""
    with closing(batches):
        first = next(batches, None)
        own = Evaluation(0, 0.0, 0.0, 0.0) if first is None else evaluate_batches(net, _interruptible(chain([first], batches)))
    if processes.world_size == 1:
        return own
    parts = torch.tensor([1.0, own.top1, own.top5, own.loss], dtype=torch.float64) * own.images
    images, *sums = processes.sum(parts.to(processes.device)).tolist()
    return Evaluation(int(images), *(total / images for total in sums))


def _interruptible(batches: Iterator[Batch]) -> Iterator[Batch]:
    for batch in batches:
        check_interrupt()
        yield batch


def error_of(evaluation: Evaluation) -> float:
    """Return the top-1 error in percent."""
    return round(100 - evaluation.top1, 4)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """Result of a training. Errors are in percent and losses in nats, both in evaluation mode and without augmentation.

    Args:
        iterations: number of iterations.
        train_error: error on all training images.
        train_loss: loss on all training images.
        test_error: error of the saved weights on all test images: those of the last iteration, or with patience the best.
        test_loss: loss on all test images.
        best_test_error: the lowest error measured during the training, on as many test images as an evaluation takes, or at the
            end on all. Choosing by it is training on the test images.
        seconds: training time without evaluation.
    """

    iterations: int
    train_error: float
    train_loss: float
    test_error: float
    test_loss: float
    best_test_error: float
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneResult:
    """Result of fine-tuning: a `Result` with validation images, by which the weights are chosen if the recipe has patience."""

    iterations: int
    train_error: float
    train_loss: float
    val_error: float
    val_loss: float
    best_val_error: float
    seconds: float


AnyResult = TypeVar("AnyResult", Result, FinetuneResult)


def write_result(path: Path, result: Result | FinetuneResult, training: str, files: Sequence[str]) -> None:
    """Write a result with hashes of the training's identity, of the files in its folder, and of itself."""
    hashes = {"training": training, **{name: sha256_file(path.parent / name) for name in files if (path.parent / name).is_file()}}
    content = {**asdict(result), "sha256": hashes}
    content["sha256"] = {**hashes, "rest": hash_json(content)}
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def read_result(path: Path, kind: type[AnyResult]) -> tuple[AnyResult, dict[str, str]]:
    """Read a result and its hashes, by name; raise ValueError if it is damaged."""
    try:
        content: Any = json.loads(read_file(path, 2**20))
        hashes = content.pop("sha256", None) if isinstance(content, dict) else None
        names = {field.name for field in fields(kind)}
        if not isinstance(hashes, dict) or content.keys() != names or not all(type(x) in (int, float) for x in content.values()):
            raise InputError("it is not the result of a training")
        if hashes.pop("rest", None) != hash_json({**content, "sha256": hashes}):
            raise InputError("its content has changed since it was written")
        return kind(**content), hashes
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}") from error


def changed_files(folder: Path, hashes: dict[str, str]) -> list[Path]:
    """Return the files in a folder whose hashes have changed."""
    return [folder / name for name, digest in hashes.items() if sha256_file(folder / name) != digest]


def hash_json(content: dict[str, Any]) -> str:
    """Return the SHA-256 of JSON values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def draw_curves(records: Sequence[dict[str, Any]], path: Path, split: str) -> None:
    """Draw errors and losses against iterations, as in arXiv 1512.03385, fig. 4 and 6."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    iterations = [record["iteration"] for record in records]
    for axes, what, unit in zip(figure.subplots(1, 2), ("error", "loss"), ("%", "nats"), strict=True):
        for key, label, style in (
            (what, "training, augmented", {"linewidth": 0.8, "linestyle": ":", "color": "tab:blue"}),
            (f"train_{what}", "training", {"linewidth": 0.8, "color": "tab:blue"}),
            (f"{split}_{what}", {"val": "validation"}.get(split, split), {"linewidth": 2.2, "color": "tab:red"}),
        ):
            axes.plot(iterations, [record[key] for record in records], label=label, **style)
        axes.set(xlabel="iterations", ylabel=f"{what} ({unit})", ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend()
    write_figure(path, figure)
