"""Many trainings, each in a process and a folder of its own, several at once."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from resnetlib.disk import write_atomically
from resnetlib.train.journal import read_log
from resnetlib.train.result import Result, read_result
from resnetlib.train.run import LOG, RESULT

OUTPUT, TABLE = "output.txt", "grid.json"

_PARENT = "RESNETLIB_GRID"
"""The environment variable that tells a training its grid's process."""

_GLANCE = 0.5
"""Seconds between two looks at the processes."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of a grid.

    Args:
        model: the network's name.
        values: what else is particular to it: the seed, a recipe, fields of the recipe.
    """

    model: str
    values: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return "-".join([self.model, *(f"{key}={value}" for key, value in self.values)]).replace("/", "_")

    @property
    def arguments(self) -> list[str]:
        """The arguments of `resnetlib train` for it."""
        own = {"seed", "recipe", "images"}
        options = [[f"--{key}", value] if key in own else ["--set", f"{key}={value}"] for key, value in self.values]
        return [self.model, *itertools.chain(*options)]


def cells_of(axes: Mapping[str, Sequence[str]]) -> list[Cell]:
    """Return all combinations of an axis each.

    Args:
        axes: `models`, and any of `seeds`, `recipes` and fields of a recipe, with the values of each.

    Returns:
        The combinations; the last axis changes fastest.

    Raises:
        ValueError: without models, or for an axis without values or with one twice.

    Example:
        >>> [cell.name for cell in cells_of({"models": ["cifar_plain20"], "seeds": ["0", "1"]})]
        ['cifar_plain20-seed=0', 'cifar_plain20-seed=1']
    """
    for axis, values in axes.items():
        if not values or not all(values):
            raise ValueError(f"the axis {axis} needs values: {axis}=one,another")
        if len(set(values)) < len(values):
            raise ValueError(f"the axis {axis} has a value twice: {', '.join(values)}")
    if "models" not in axes:
        raise ValueError("a grid needs models: models=cifar_plain20,cifar_resnet20")
    names = [{"seeds": "seed", "recipes": "recipe"}.get(axis, axis) for axis in axes if axis != "models"]
    rest = [values for axis, values in axes.items() if axis != "models"]
    return [Cell(model, tuple(zip(names, values, strict=True))) for model, *values in itertools.product(axes["models"], *rest)]


def run_grid(cells: Sequence[Cell], common: Sequence[str], out: Path, *, jobs: int) -> dict[str, Result | str]:
    """Train all cells of a grid, several at once. Those that are finished look whether they are the same, and end.

    Args:
        cells: the trainings.
        common: arguments of `resnetlib train` for all of them.
        out: the folder, in which each training gets its own, and grid.json the results.
        jobs: trainings at once; on the CPU they share its cores.

    Returns:
        For each cell's name its result, or the last line that it said before it failed.
    """
    out.mkdir(parents=True, exist_ok=True)
    waiting = list(cells)
    running: dict[Cell, subprocess.Popen[bytes]] = {}
    ended: dict[Cell, int] = {}
    with tqdm(total=len(cells), unit="training", disable=None) as bar, _ending(running):
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop(0)
                running[cell] = _start(cell, common, out, jobs)
            time.sleep(_GLANCE)
            for cell in [cell for cell, process in running.items() if process.poll() is not None]:
                ended[cell] = running.pop(cell).returncode
                bar.update()
            bar.set_postfix_str(", ".join(f"{cell.name} {_epoch(out / cell.name)}" for cell in running))
    results = {cell.name: _result(out / cell.name, status) for cell, status in ended.items()}
    table = {name: asdict(result) if isinstance(result, Result) else result for name, result in results.items()}
    write_atomically(out / TABLE, (json.dumps(table, indent=2) + "\n").encode())
    return results


def _start(cell: Cell, common: Sequence[str], out: Path, jobs: int) -> "subprocess.Popen[bytes]":
    folder = out / cell.name
    folder.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, len(os.sched_getaffinity(0)) // jobs))
    command = [sys.executable, "-m", "resnetlib", "train", *common, *cell.arguments, "--out", str(folder)]
    environment = {"OMP_NUM_THREADS": threads, **os.environ, _PARENT: str(os.getpid())}
    with (folder / OUTPUT).open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - this very program
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )


def follow_grid() -> None:
    """End this process with the grid that started it, if one did, also where that is killed."""
    if parent := os.environ.get(_PARENT):
        threading.Thread(target=_follow, args=(int(parent),), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_GLANCE)
    os._exit(1)


def _epoch(folder: Path) -> str:
    try:
        record = read_log(folder / LOG)[-1]
        return f"(epoch {record['epoch']:g}, error {record['error']:.1f} %)"
    except (LookupError, ValueError, TypeError, OSError):  # what is shown on the way is no reason to end
        return "(begins)"


def _result(folder: Path, status: int) -> Result | str:
    if status == 0:
        return read_result(folder / RESULT)[0]
    if status < 0:
        return f"killed by signal {-status}"
    lines = (folder / OUTPUT).read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit status {status}"


@contextmanager
def _ending(running: Mapping[Cell, "subprocess.Popen[bytes]"]) -> Iterator[None]:
    """End the processes with this one, also where it is told to terminate."""

    def leave(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    in_main = threading.current_thread() is threading.main_thread()  # others may not set what a signal does
    before = signal.signal(signal.SIGTERM, leave) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
