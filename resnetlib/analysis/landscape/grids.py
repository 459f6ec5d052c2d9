"""Compute values on a grid of points, in threads and processes, with checkpoints."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.batches import Batch, as_tuple
from resnetlib.analysis.landscape.directions import Direction
from resnetlib.analysis.result import AnalysisResult, check_result_path
from resnetlib.disk import check_writable
from resnetlib.distributed import Processes
from resnetlib.errors import InputError
from resnetlib.modules.hashes import hash_tensors

R = TypeVar("R", bound=AnalysisResult)

Span = float | tuple[tuple[float, float], ...]
"""Each axis goes from -span to span; or the two ends of each axis."""

NOT_COMPUTED = -1.0
"""The value of points that are not computed yet, as in the published files."""

_MAX_POINTS = 10_000_000


def make_grid(span: Span, points: int, dimensions: int) -> tuple[tuple[tuple[float, float], ...], list[Tensor], Tensor]:
    """Return the ends of each axis, its equally spaced coordinates, and all points `(N, dimensions)`, x fastest."""
    if points**dimensions > _MAX_POINTS:
        raise InputError(f"points must be at most {_MAX_POINTS:,} in all, got {points:,} along each of {dimensions} coordinates")
    ends = _ends(span, dimensions)
    if len(ends) != dimensions or not all(isfinite(a) and isfinite(b) and a < b for a, b in ends):
        raise InputError(f"span must be a positive number, or the two ends of each of {dimensions} coordinates, got {span!r}")
    axes = [torch.from_numpy(np.linspace(a, b, points) if points > 1 else np.array([(a + b) / 2])) for a, b in ends]
    return ends, axes, torch.cartesian_prod(*reversed(axes)).view(-1, dimensions).flip(1)


def _ends(span: Any, dimensions: int) -> tuple[tuple[float, float], ...]:
    """Return both ends of each axis, or `()` for an invalid span."""
    try:
        if (given := as_tuple(span)) is not None:
            return tuple((_number(a), _number(b)) for a, b in given)
        return ((-_number(span), _number(span)),) * dimensions
    except (TypeError, ValueError):
        return ()


def _number(value: Any) -> float:
    """Convert a number to float; return NaN for a bool or a text."""
    return math.nan if isinstance(value, bool | str) else float(value)


def compute_points(
    points: Tensor,
    values: Tensor,
    evaluators: Sequence[Callable[[Tensor], Tensor]],
    processes: Processes,
    result: Callable[[Tensor], R],
    path: Path | None,
    *,
    chunk: int = 1,
    seconds: float = 1.0,
    every: float = 0.0,
    desc: str,
) -> R:
    """Compute the missing points in processes and threads, and save about every `every` seconds."""
    missing = (values == NOT_COMPUTED).all(1).nonzero().flatten().tolist()
    own = missing[processes.rank :: processes.world_size]
    chunks = [own[i : i + chunk] for i in range(0, len(own), chunk)]
    most_chunks = math.ceil(math.ceil(len(missing) / processes.world_size) / chunk)  # of the main process
    slowest = max(processes.gather(seconds * chunk / len(evaluators)))
    interval = max(1, min(most_chunks, math.ceil(every / max(slowest, 1e-9))))
    idle = [(evaluator, copy_context()) for evaluator in evaluators]  # a context has the compiler's settings

    def compute(rows: list[int]) -> Tensor:
        evaluator, context = idle.pop()
        try:
            return context.run(evaluator, points[rows])
        finally:
            idle.append((evaluator, context))

    with (
        ThreadPoolExecutor(len(evaluators), initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)) as pool,
        closing(pool.map(compute, chunks)) as results,  # type: ignore[type-var] # a generator
        tqdm(
            total=len(points), initial=len(points) - len(missing), desc=desc, unit="point", disable=not processes.is_main or None
        ) as bar,
    ):
        remaining = zip(chunks, results, strict=True)
        for _ in range(math.ceil(most_chunks / interval)):
            new = torch.zeros(len(points), values.shape[1] + 1, dtype=torch.float64)  # the last column marks computed rows
            for rows, computed in islice(remaining, interval):
                new[rows] = torch.cat([computed.double(), torch.ones(len(rows), 1)], 1)
                bar.update(len(rows) * processes.world_size)
            new = processes.sum(new)
            done = new[:, -1] == 1
            values[done] = new[done, :-1]
            if processes.is_main and path is not None:
                result(values).save(path)
    return result(values)


def fingerprint(net: nn.Module, batches: list[Batch], directions: Sequence[Direction], **options: Any) -> dict[str, str]:
    """Return hashes of everything that the values depend on, and the options as JSON."""
    return {
        "network": hash_tensors(net.state_dict()),
        "modules": hashlib.sha256(repr(net).encode()).hexdigest(),
        "images": hash_tensors({f"{i} {part}": tensor for i, pair in enumerate(batches) for part, tensor in enumerate(pair)}),
        "directions": hash_tensors({f"{i} {name}": d for i, direction in enumerate(directions) for name, d in direction.items()}),
        **{name: json.dumps(value) for name, value in options.items()},
    }


def check_checkpoint_path(out: str | Path | None) -> Path | None:
    """Check a checkpoint's path, and create its folder."""
    if out is None:
        return None
    path = check_result_path("out", out)
    if not os.path.lexists(path):  # it is written after the first computations
        check_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def load_checkpoint(
    path: Path | None,
    kind: type[R],
    fields: Sequence[str],
    shape: tuple[int, ...],
    made_of: Mapping[str, str],
    processes: Processes,
) -> tuple[R | None, Tensor]:
    """Return the unfinished result in a file, if any, and its fields as columns, in all processes; only the main one reads it."""
    if any(other != made_of for other in processes.gather(made_of)):
        raise InputError("the processes differ in their networks, images or arguments, and cannot share a surface")
    loaded: R | None = None
    error = ""
    if processes.is_main and path is not None and path.exists():
        try:
            loaded = kind.load(path)
            before: dict[str, str] = loaded.made_of  # type: ignore[attr-defined]
            if other := sorted(name for name in made_of.keys() | before.keys() if made_of.get(name) != before.get(name)):
                error = f"{path} belongs to another call, which differs in {', '.join(other)}. Give another file, or remove it."
            elif any((t := getattr(loaded, name)).shape != shape or t.dtype != torch.float64 for name in fields):
                error = f"{path} is damaged: its values do not have the shape {shape} in float64. Give another file."
        except ValueError as damaged:
            error = str(damaged)
    loaded, error = processes.gather((loaded, error))[0]
    if error:
        raise InputError(error)
    if loaded is None:
        return None, torch.full((math.prod(shape), len(fields)), NOT_COMPUTED, dtype=torch.float64)
    return loaded, torch.stack([getattr(loaded, name).flatten() for name in fields], 1)
