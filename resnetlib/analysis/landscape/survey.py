"""Numbers at many points, computed by several threads and processes, kept in a file from which a killed survey goes on."""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue

import torch
from torch import Tensor
from tqdm import tqdm

from resnetlib.analysis.landscape.team import Team

UNKNOWN = -1.0
"""Stands for what is not computed yet, as published."""

Measure = Callable[[Tensor], Tensor]
"""Computes the numbers `(P, K)` of points `(P, dimensions)`; one thread calls it at a time."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a survey goes on.

    Args:
        chunk: how many points are measured together.
        seconds: about how long one takes.
        every: so many seconds pass between keeping and keeping.
    """

    chunk: int
    seconds: float
    every: float


def survey(
    points: Tensor,
    values: Tensor,
    measures: Sequence[Measure],
    team: Team,
    pace: Pace,
    *,
    keep: Callable[[Tensor], None],
    what: str,
) -> Tensor:
    """Compute the numbers of all points that are unknown.

    Threads take the next points as they come; the processes have every n-th each. Now and then the processes put together what they
    have, while their threads go on, and the first keeps it.

    Args:
        points: `(N, dimensions)`.
        values: what is known, `(N, K)`; rows of `UNKNOWN` stand for the rest.
        measures: one for each thread.
        team: the processes.
        pace: how many points at a time, and how often they are kept.
        keep: keeps what is known; called in the first process only.
        what: for the progress bar.

    Returns:
        The values, complete, the same in all processes.
    """
    values = values.clone()
    open_points = (values == UNKNOWN).all(1).nonzero().flatten().tolist()
    mine = open_points[team.rank :: team.size]
    groups = [mine[i : i + pace.chunk] for i in range(0, len(mine), pace.chunk)]
    groups_of_the_first = math.ceil(math.ceil(len(open_points) / team.size) / pace.chunk)  # nobody has more
    known = len(points) - len(open_points)
    slowest = max(team.gather(pace.seconds * pace.chunk / len(measures)))
    between = max(1, min(groups_of_the_first, math.ceil(pace.every / max(slowest, 1e-9))))
    with (
        _each_in_turn(points, groups, measures) as results,
        tqdm(total=len(points), initial=known, desc=what, unit="point", disable=None if team.rank == 0 else True) as bar,
    ):
        for _ in range(math.ceil(groups_of_the_first / between)):
            new = torch.zeros(len(points), values.shape[1] + 1, dtype=torch.float64)
            for group, found in islice(results, between):
                new[group] = torch.cat([found.double(), torch.ones(len(group), 1)], 1)
                bar.update(len(group) * team.size)
            new = team.sum(new)
            rows = new[:, -1] == 1
            values[rows] = new[rows, :-1]
            if team.rank == 0:
                keep(values)
    return values


@contextmanager
def _each_in_turn(
    points: Tensor, groups: list[list[int]], measures: Sequence[Measure]
) -> Iterator[Iterator[tuple[list[int], Tensor]]]:
    """Measure groups of points, in one thread for each measure; after an error, not those that nobody has begun."""
    idle: SimpleQueue[Measure] = SimpleQueue()
    for measure in measures:
        idle.put(measure)

    def take(group: list[int]) -> tuple[list[int], Tensor]:
        measure = idle.get()
        try:
            return group, measure(points[group])
        finally:
            idle.put(measure)

    pool = ThreadPoolExecutor(len(measures), initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),))
    try:
        futures = [pool.submit(take, group) for group in groups]
        yield (future.result() for future in as_completed(futures))
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_core_each(workers: int) -> Iterator[None]:
    """Let each of several threads compute on one core: they then need not wait for each other in every layer.

    Args:
        workers: how many there will be; one alone uses all cores.

    Yields:
        Nothing.
    """
    cores = torch.get_num_threads()
    try:
        if workers > 1:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(cores)


def default_workers(device: torch.device) -> int:
    """Return how many threads measure points where nobody says: one for each core on a CPU, and one for a GPU.

    Args:
        device: where is computed.

    Returns:
        The number.
    """
    return min(torch.get_num_threads(), os.cpu_count() or 1) if device.type == "cpu" else 1


def timed(measure: Measure, point: Tensor) -> tuple[Tensor, float]:
    """Measure one point, and the time that it takes.

    Args:
        measure: measures.
        point: `(1, dimensions)`.

    Returns:
        The numbers `(1, K)`, and seconds.
    """
    start = time.perf_counter()
    found = measure(point)
    return found, time.perf_counter() - start
