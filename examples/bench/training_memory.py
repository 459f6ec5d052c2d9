"""Time and memory of training DenseNets on a CPU, plain and memory-efficient, beside torchvision and timm, taking turns.

    python examples/bench/training_memory.py --out docs/results/training_memory

A step is a forward and a backward pass. "live": the most bytes of tensors at a time. "resident": what a fresh process grows by.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import timm
import torch
import torchvision
from torch.profiler import ProfilerActivity, profile

import resnetlib
from resnetlib.analysis.style import FIRST, GRAY, SECOND, new_figure

SERVER = multiprocessing.get_context("forkserver")  # imports once, and forks a fresh process for each network
SERVER.set_forkserver_preload(["torch", "torchvision", "timm", "resnetlib"])
MODES: dict[str, Any] = {"plain": False, "memory_efficient=True": True, 'memory_efficient="max"': "max"}


def contestants(name: str) -> dict[str, Any]:
    ours = {label: partial(resnetlib.create_model, name, memory_efficient=mode) for label, mode in MODES.items()}
    theirs: dict[str, Any] = {"torchvision": partial(torchvision.models.get_model, weights=None), "timm": timm.create_model}
    return ours | {label: partial(make, name, memory_efficient=True) for label, make in theirs.items()}


def step(net: torch.nn.Module, x: torch.Tensor) -> float:
    start = time.perf_counter()
    net(x).square().mean().backward()
    net.zero_grad()
    return time.perf_counter() - start


def live_mib(net: torch.nn.Module, x: torch.Tensor) -> float:
    step(net, x)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step(net, x)
    with tempfile.TemporaryDirectory() as folder:
        profiler.export_chrome_trace(f"{folder}/trace.json")
        events = json.loads(Path(folder, "trace.json").read_text())["traceEvents"]
    marks = sorted((event["ts"], event["args"]["Total Allocated"]) for event in events if event.get("name") == "[memory]")
    return float(max(total for _, total in marks) - marks[0][1]) / 2**20


def resident_mib(name: str, label: str, layout: torch.memory_format, size: tuple[int, ...]) -> float:
    net, x = contestants(name)[label]().to(memory_format=layout).train(), torch.randn(size).contiguous(memory_format=layout)
    peaks = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss for i in range(4) if i == 0 or step(net, x)]
    return (peaks[-1] - peaks[0]) / 2**10


def measure(name: str, layout: torch.memory_format, x: torch.Tensor, rounds: int) -> dict[str, dict[str, float]]:
    nets = {label: make().to(memory_format=layout).train() for label, make in contestants(name).items()}
    rows = {label: {"live_mib": live_mib(net, x)} for label, net in nets.items()}
    turns = [{label: step(net, x) for label, net in nets.items()} for _ in range(rounds)]
    for label, row in rows.items():
        with SERVER.Pool(1) as process:
            row["resident_mib"] = process.apply(resident_mib, (name, label, layout, tuple(x.shape)))
        row |= {"live_over_plain": row["live_mib"] / rows["plain"]["live_mib"], "seconds": median(turn[label] for turn in turns)}
        row["speed_over_plain"] = median(turn["plain"] / turn[label] for turn in turns)
        print(label, json.dumps(row))
    return rows


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"model": "densenet121", "batch": 16, "size": 224, "rounds": 7, "small-batch": 4}.items():
        cli.add_argument(f"--{name}", type=type(default), default=default)
    cli.add_argument("--depths", type=int, nargs="+", default=[40, 100, 190, 250])
    cli.add_argument("--channels-last", action="store_true")
    cli.add_argument("--out", type=Path, required=True)
    args = cli.parse_args()
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    x = torch.randn(args.batch, 3, args.size, args.size).contiguous(memory_format=layout)
    how = vars(args) | {"out": None, "threads": torch.get_num_threads(), "cpu": torch.backends.cpu.get_cpu_capability()}
    how |= {module.__name__: module.__version__ for module in (resnetlib, torch, torchvision, timm)}
    report: dict[str, Any] = {"how": how, "results": measure(args.model, layout, x, args.rounds), "live_mib_by_depth": {}}
    make, small = resnetlib.config.DenseNetSpec, torch.randn(args.small_batch, 3, 32, 32)
    specs = [make(growth=12, depths=((depth - 4) // 6,) * 3, stem_width=24, stem="cifar") for depth in args.depths]
    figure, (axes,) = new_figure()
    for (label, mode), color in zip(MODES.items(), (GRAY, FIRST, SECOND), strict=True):
        report["live_mib_by_depth"][label] = [live_mib(resnetlib.build(spec, memory_efficient=mode), small) for spec in specs]
        axes.plot(args.depths, report["live_mib_by_depth"][label], "o-", color=color, label=label)
    args.out.with_name(args.out.name + ".json").write_text(json.dumps(report, indent=2) + "\n")
    axes.legend(frameon=False).axes.set(xlabel="layers of DenseNet-BC, growth 12", ylabel="live memory of a step (MiB)", ylim=0)
    figure.savefig(args.out.with_name(args.out.name + ".png"), dpi=110)


if __name__ == "__main__":
    main()
