"""Time and memory of training DenseNets on a CPU, plain and memory-efficient, beside torchvision and timm, taking turns.

    python examples/bench/training_memory.py --out docs/results/training_memory

A step is a forward and a backward pass. "live": the most bytes of tensors at a time. "resident": what a fresh process grows by.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import timm
import torch
import torchvision
from torch.profiler import ProfilerActivity, profile

import resnetlib

MODES: dict[str, Any] = {"plain": False, "memory_efficient=True": True, 'memory_efficient="max"': "max"}


def contestants(name: str) -> dict[str, Any]:
    ours = {label: partial(resnetlib.create_model, name, memory_efficient=mode) for label, mode in MODES.items()}
    theirs = partial(torchvision.models.get_model, name, weights=None, memory_efficient=True)
    return {**ours, "torchvision": theirs, "timm": partial(timm.create_model, name, memory_efficient=True)}


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


def measure(nets: dict[str, torch.nn.Module], x: torch.Tensor, rounds: int) -> dict[str, dict[str, float]]:
    rows = {label: {"live_mib": live_mib(net, x)} for label, net in nets.items()}
    turns = [{label: step(net, x) for label, net in nets.items()} for _ in range(rounds)]
    for label, row in rows.items():
        process = subprocess.run([sys.executable, *sys.argv, "--alone", label], check=True, stdout=subprocess.PIPE)  # noqa: S603
        row |= {"live_over_plain": row["live_mib"] / rows["plain"]["live_mib"], "resident_mib": float(process.stdout)}
        row["seconds"] = statistics.median(turn[label] for turn in turns)
        row["speed_over_plain"] = statistics.median(turn["plain"] / turn[label] for turn in turns)
        print(label, json.dumps(row))
    return rows


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--model", default="densenet121")
    for name, default in (("batch", 16), ("size", 224), ("rounds", 7), ("small-batch", 4)):
        cli.add_argument(f"--{name}", type=int, default=default)
    cli.add_argument("--depths", type=int, nargs="+", default=[40, 100, 190, 250])
    cli.add_argument("--channels-last", action="store_true")
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--alone", help=argparse.SUPPRESS)
    args = cli.parse_args()
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    x = torch.randn(args.batch, 3, args.size, args.size).contiguous(memory_format=layout)
    makes = {label: make for label, make in contestants(args.model).items() if args.alone in (None, label)}
    nets = {label: make().to(memory_format=layout).train() for label, make in makes.items()}
    if args.alone:
        peaks = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss for i in range(4) if i == 0 or step(nets[args.alone], x)]
        print((peaks[-1] - peaks[0]) / 2**10)
        return
    cpu = next(line.strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line)
    how = vars(args) | {"out": None, "alone": None, "threads": torch.get_num_threads(), "cpu": cpu}
    how |= {module.__name__: module.__version__ for module in (resnetlib, torch, torchvision, timm)}
    report: dict[str, Any] = {"how": how, "results": measure(nets, x, args.rounds), "live_mib_by_depth": {}}
    make, small = resnetlib.config.DenseNetSpec, torch.randn(args.small_batch, 3, 32, 32)
    specs = [make(growth=12, depths=((depth - 4) // 6,) * 3, stem_width=24, stem="cifar") for depth in args.depths]
    for label, mode in MODES.items():
        report["live_mib_by_depth"][label] = [live_mib(resnetlib.build(spec, memory_efficient=mode), small) for spec in specs]
        plt.plot(args.depths, report["live_mib_by_depth"][label], "o-", label=label)
    args.out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
    plt.legend(frameon=False).axes.set(xlabel="layers", ylabel="live memory of a training step (MiB)", ylim=(0, None))
    plt.savefig(args.out.with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    main()
