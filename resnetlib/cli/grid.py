"""`resnetlib train --grid`: run many trainings, each in its own process and folder."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import click
from tqdm import tqdm

from resnetlib.disk import read_file, write_atomically
from resnetlib.errors import InputError, printable
from resnetlib.images import count_cores
from resnetlib.train import Result
from resnetlib.train.metrics import read_result
from resnetlib.train.run import check_out

_PARENT = "RESNETLIB_GRID"  # environment variable with the process id of the grid that started a training
_POLL_SECONDS = 0.5


def train_grid(context: click.Context, axes: tuple[str, ...], out: Path, jobs: int) -> None:
    """Train all combinations of the axes, given as `name=value,value`, and print a table."""
    common = _common_arguments(context)
    trainings = _combinations(context, axes)
    check_out(out, context.params["data"])
    out.mkdir(parents=True, exist_ok=True)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    done = 0
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # reaches `finally`, and ends the trainings
    try:
        with tqdm(total=len(trainings), unit="training", disable=None) as bar:
            while done < len(trainings):
                for name in list(trainings)[len(processes) : done + jobs]:
                    processes[name] = _start([*common, *trainings[name]], out / name, jobs)
                time.sleep(_POLL_SECONDS)
                running = [name for name, process in processes.items() if process.poll() is None]
                bar.update(len(processes) - len(running) - done)
                done = len(processes) - len(running)
                bar.set_postfix_str(printable(", ".join(f"{name} {_progress(out / name)}" for name in running), 1000))
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait()
        signal.signal(signal.SIGTERM, before)
    results = {name: _result_of(out / name, processes[name].returncode) for name in trainings}
    table = {name: result if isinstance(result, str) else asdict(result) for name, result in results.items()}
    write_atomically(out / "grid.json", (json.dumps(table, indent=2) + "\n").encode())
    width = max(len(printable(name)) for name in results)
    click.echo(f"{'':{width}}  training error  test error  seconds")
    for name, result in results.items():
        row = f"failed: {printable(result, 4000)}"
        if not isinstance(result, str):
            row = f"{result.train_error:12.2f} %  {result.test_error:8.2f} %  {result.seconds:7.0f}"
        click.echo(f"{printable(name):{width}}  {row}")
    if failed := sum(isinstance(result, str) for result in results.values()):
        raise InputError(f"{failed} of {len(results)} trainings failed: see {out}/NAME/output.txt, and run the same again")


def _combinations(context: click.Context, axes: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the arguments of `resnetlib train` for each combination, by its name; the last axis changes fastest."""
    values: dict[str, list[str]] = {}
    fixed = {change.partition("=")[0] for change in context.params["changes"]}
    for axis in axes:
        name, equals, text = axis.partition("=")
        if not equals:
            raise InputError(f"expected FIELD=VALUE, got {axis!r}")
        option = {"seeds": "seed", "recipes": "recipe"}.get(name, name)
        if option in values:
            raise InputError(f"an axis is given twice: {' '.join(axes)}")
        if option in fixed or context.get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE:
            raise InputError(f"{option} is an axis of the grid, and fixed by an option too: leave out one of them")
        values[option] = re.split(r",(?![^\[]*\])", text)  # commas outside brackets
        if not all(values[option]):
            raise InputError(f"the axis {name} needs values: {name}=one,another")
        if len(set(values[option])) < len(values[option]):
            raise InputError(f"the axis {name} has a value twice: {', '.join(values[option])}")
    if "models" not in values:
        raise InputError("a grid needs models: models=cifar_plain20,cifar_resnet20")
    models = values.pop("models")
    trainings = {}
    for model, *chosen in itertools.product(models, *values.values()):
        name, arguments = model, [model]
        for key, value in zip(values, chosen, strict=True):
            name += f"-{key}={value}"
            arguments += [f"--{key}", value] if key in ("seed", "recipe", "images") else ["--set", f"{key}={value}"]
        trainings[name.replace("/", "_")] = arguments
    return trainings


def _common_arguments(context: click.Context) -> list[str]:
    """Return the options on the command line that are given to all trainings."""
    arguments = []
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if not given or not isinstance(option, click.Option) or name in ("grid", "out", "jobs"):
            continue
        value = context.params[name]
        if option.is_flag:
            arguments.append(option.opts[0] if value else option.secondary_opts[0])
        else:
            for one in value if option.multiple else [value]:
                arguments += [option.opts[0], str(one)]
    return arguments


def _start(arguments: list[str], folder: Path, jobs: int) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, count_cores() // jobs))
    command = [sys.executable, "-m", "resnetlib", "train", *arguments, "--out", str(folder)]
    environment = {"OMP_NUM_THREADS": threads, **os.environ, _PARENT: str(os.getpid())}
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - this program
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )


def exit_with_grid() -> None:
    """Exit when the grid that started this process ends, even if it is killed."""

    def watch(parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_SECONDS)
        os._exit(1)

    if parent := os.environ.get(_PARENT):
        threading.Thread(target=watch, args=(int(parent),), daemon=True).start()


def _progress(folder: Path) -> str:
    try:
        record = json.loads(read_file(folder / "log.jsonl", 2**28).splitlines()[-1])
        return f"(epoch {record['epoch']:g}, error {record['error']:.1f} %)"
    except (LookupError, ValueError, TypeError, OSError):  # missing or incomplete
        return "(starting)"


def _result_of(folder: Path, status: int) -> Result | str:
    """Return the result of a training, or the last line of its output if it failed."""
    if status == 0:
        return read_result(folder / "result.json", Result)[0]
    if status < 0:
        return f"killed by signal {-status}"
    lines = (folder / "output.txt").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit status {status}"
