"""`resnetlib bench`: measure the speed, memory and cold start of networks. Exported networks run without torch."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from timeit import timeit
from typing import Any, get_args

import click
import numpy as np
from tqdm import tqdm

from resnetlib import __version__
from resnetlib.cli.options import NEW_FILE
from resnetlib.config import Spec, spec_from_dict
from resnetlib.config.pretrained import DEFAULT_PREPROCESSING
from resnetlib.deploy.onnx_file import is_onnx, read_onnx
from resnetlib.deploy.onnx_model import OnnxModel, Runtime, choose_runtime
from resnetlib.disk import write_atomically
from resnetlib.errors import InputError, printable
from resnetlib.images import count_cores, processor_name

_SHORTEST = 0.02  # seconds of a measurement; a network that takes less runs several times
_COLD_START = "from resnetlib.cli.bench import run_cold_start; run_cold_start()"

Run = Callable[[], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A network and its runtime."""

    network: str  # candidates with one name are compared
    runtime: str  # "torchvision", "eager", "optimize", or a runtime of .onnx files
    source: str  # the name of a network or of weights, or the path of an .onnx file
    shape: tuple[int, int, int]  # channels, height and width of the images

    @property
    def shown(self) -> str:
        """Return the network and the runtime, for a progress bar."""
        return f"{printable(self.network, 60)}, {self.runtime}"

    def prepare(self, threads: int) -> Callable[[int], Run]:
        """Load the network; return a function from the size of a batch to one that classifies such a batch of noise."""
        run, noise = self._load(threads), np.random.default_rng(0)
        return lambda batch: partial(run, noise.standard_normal((batch, *self.shape), np.float32))

    def _load(self, threads: int) -> Callable[[Any], object]:
        if self.runtime in get_args(Runtime):
            return OnnxModel(self.source, runtime=self.runtime, threads=threads)  # type: ignore[arg-type]
        import torch

        torch.set_num_threads(threads)
        if self.runtime == "torchvision":
            from torchvision.models import get_model

            net = get_model(self.network)
        else:
            from resnetlib.deploy import optimize
            from resnetlib.zoo import create_model

            net = create_model(self.source)
            if self.runtime == "optimize":
                net = optimize(net)
        net.eval()

        @torch.inference_mode()
        def run(x: Any) -> object:
            return net(torch.from_numpy(x))

        return run


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="NAME|FILE...")
@click.option("--batch", default="1,16", metavar="N,N,...", help="Images in a batch.")
@click.option("--rounds", default=10, type=click.IntRange(1), help="Measurements of each, in turns; medians are shown.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads per network.", show_default="one per core")
@click.option("--out", type=NEW_FILE, help="Write the figures to this JSON file.")
def bench(what: tuple[str, ...], batch: str, rounds: int, threads: int | None, out: Path | None) -> None:
    """Measure how fast networks, weights and exported networks (.onnx files) classify, on noise and on the CPU.

    A network is measured as `create_model` returns it and as `optimize` does; an .onnx file in each runtime that is installed. If
    torchvision has the network too, its speed is 1. The peak memory and the time to the first answer are those of a new process
    for each.
    """
    batches = read_batches(batch)
    threads = threads or count_cores()
    candidates = find_candidates(what)
    with tqdm(total=len(candidates) * (1 + rounds * len(batches)), disable=None, unit="run") as progress:
        starts = [measure_cold_start(each, threads, max(batches), progress) for each in candidates]
        seconds = time_in_turns(candidates, batches, rounds, threads, progress)
    rows = []
    theirs = {each.network: i for i, each in enumerate(candidates) if each.runtime == "torchvision"}
    for i, (each, (start, peak)) in enumerate(zip(candidates, starts, strict=True)):
        torchvision = theirs.get(each.network)
        speeds = {}
        for size in batches:
            own = seconds[size][i]
            ratio = None if torchvision is None else median(b / a for a, b in zip(own, seconds[size][torchvision], strict=True))
            speeds[str(size)] = {
                "images_per_second": size / median(own),
                "ms_per_image": 1000 * median(own) / size,
                "over_torchvision": ratio,
            }
        figures = {"batches": speeds, "cold_start_seconds": start, "peak_mib": peak}
        rows.append({"network": each.network, "runtime": each.runtime, "source": each.source, **figures})
    found = versions()
    about = {"processor": processor_name(), "threads": threads, "rounds": rounds, "versions": found}
    click.echo(table(rows, batches))
    click.echo(f"\n{threads} threads of {about['processor']}; {', '.join(f'{k} {v}' for k, v in found.items())}")
    if out is not None:
        write_atomically(out, (json.dumps({**about, "rows": rows}, indent=1) + "\n").encode())
        click.echo(f"wrote {printable(out)}")


def read_batches(text: str) -> list[int]:
    """Parse the sizes of batches; return each once."""
    try:
        sizes = list(dict.fromkeys(map(int, text.split(","))))
    except ValueError:
        sizes = []
    if not sizes or not all(1 <= size <= 4096 for size in sizes):
        raise InputError(f"--batch must be numbers from 1 to 4,096 with commas between them, got {text!r}")
    return sizes


def find_candidates(what: Sequence[str]) -> list[Candidate]:
    """Return the candidates for these names and files, with torchvision's network where it has the same."""
    found: dict[object, Candidate] = {}
    for name in what:
        for each in _exported(name) if is_onnx(name) else _eager(name):
            found.setdefault(("torchvision", each.network) if each.runtime == "torchvision" else each, each)
    return [*found.values()]


def _exported(path: str) -> Iterator[Candidate]:
    file = read_onnx(path)
    channels, *sides = file.input_shape
    usual = file.preprocessing.size if file.preprocessing else 224
    height, width = (side or usual for side in sides)
    shape = (channels, height, width)
    network = file.metadata["name"] if file.metadata else Path(path).stem
    if file.metadata:
        yield from _in_torchvision(network, spec_from_dict(file.metadata["spec"]), shape)
    choose_runtime()
    for runtime in get_args(Runtime):
        if find_spec(runtime) is not None:
            yield Candidate(network=network, runtime=runtime, source=path, shape=shape)


def _eager(name: str) -> Iterator[Candidate]:
    from resnetlib.zoo import create_model, list_models

    net = create_model(name, device="meta") if name in list_models() else create_model(name)
    cfg = net.pretrained_cfg
    steps = net.preprocess or DEFAULT_PREPROCESSING[net.spec.stem]
    shape = (net.in_chans, steps.size, steps.size)
    network = cfg.name or Path(name).name
    yield from _in_torchvision(network, net.spec, shape)
    yield Candidate(network=network, runtime="eager", source=name, shape=shape)
    yield Candidate(network=network, runtime="optimize", source=name, shape=shape)


def _in_torchvision(network: str, spec: Spec, shape: tuple[int, int, int]) -> Iterator[Candidate]:
    """Yield torchvision's network, if it has one of the same name and spec."""
    from torchvision.models import list_models

    from resnetlib.models.catalog import SPECS

    if network in list_models() and SPECS.get(network) == spec and shape[0] == 3:
        yield Candidate(network=network, runtime="torchvision", source=network, shape=shape)


def time_in_turns(
    candidates: Sequence[Candidate], batches: Sequence[int], rounds: int, threads: int, progress: Any
) -> dict[int, list[list[float]]]:
    """Time the candidates in turns; return batch size -> seconds of each candidate, one for each round."""
    prepared = [each.prepare(threads) for each in candidates]
    seconds: dict[int, list[list[float]]] = {}
    for size in batches:
        runs = [prepare(size) for prepare in prepared]
        repeats = []
        for run in runs:
            run()
            repeats.append(max(1, round(_SHORTEST / timeit(run, number=1))))
        seconds[size] = [[] for _ in runs]
        for _ in range(rounds):
            for i, (run, times) in enumerate(zip(runs, repeats, strict=True)):
                progress.set_description(f"{candidates[i].shown}, batch {size}")
                seconds[size][i].append(timeit(run, number=times) / times)
                progress.update()
    return seconds


def measure_cold_start(candidate: Candidate, threads: int, batch: int, progress: Any) -> tuple[float, float | None]:
    """Return the seconds until a new process has classified an image, and its peak memory after a large batch, in MiB."""
    progress.set_description(f"{candidate.shown}, cold start")
    start = time.perf_counter()
    command = [sys.executable, "-P", "-c", _COLD_START, json.dumps([asdict(candidate), threads, batch])]
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process,  # noqa: S603
    ):
        assert process.stdout is not None  # noqa: S101 - for type checkers
        answered, seconds = process.stdout.readline(), time.perf_counter() - start
        peak = process.stdout.readline()
        if not answered or not peak:
            errors.seek(0)
            last = errors.read().strip().splitlines()[-1:] or [f"exit status {process.wait()}"]
            raise InputError(f"{candidate.runtime} cannot run {candidate.source}: {printable(last[0], 500)}")
    progress.update()
    return seconds, float(peak) or None


def run_cold_start() -> None:
    """Classify an image, and print a line; classify a batch, and print this process's peak memory in MiB."""
    fields, threads, batch = json.loads(sys.argv[1])
    prepare = Candidate(**fields).prepare(threads)
    prepare(1)()
    print("answered", flush=True)
    prepare(batch)()
    print(peak_memory(), flush=True)


def peak_memory() -> float:
    """Return the largest resident memory of this process so far, in MiB; 0 where it is unknown."""
    try:  # the peak of `getrusage` would include that of the parent process
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        return 0.0


def table(rows: Sequence[Any], batches: Sequence[int]) -> str:
    """Format the figures as a table."""
    heads = [f"{what} at {size}" for size in batches for what in ("img/s", "ms/image", "ratio")]
    lines = [["network", "runtime", *heads, "peak MiB", "cold start"]]
    for row in rows:
        line = [printable(row["network"], 60), row["runtime"]]
        for speed in row["batches"].values():
            ratio = speed["over_torchvision"]
            line += [f"{speed['images_per_second']:,.1f}", f"{speed['ms_per_image']:,.2f}", f"{ratio:.2f}" if ratio else "-"]
        lines.append([*line, f"{row['peak_mib']:,.0f}" if row["peak_mib"] else "-", f"{row['cold_start_seconds']:.2f} s"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["  ".join([*map(str.ljust, line[:2], widths[:2]), *map(str.rjust, line[2:], widths[2:])]) for line in lines]
    return "\n".join(text.rstrip() for text in texts)


def versions() -> dict[str, str]:
    """Return the versions of the installed packages that run networks."""
    found = {"resnetlib": __version__}
    for package in ("torch", "torchvision", "onnxruntime", "openvino"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
