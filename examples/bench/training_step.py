"""Time and memory of a training step beside torchvision's and timm's, alternating in one process.

    python examples/bench/training_step.py --models resnet50 densenet121 --out docs/results/training_step.json

Quotes medians, and their ratios to ours. "kept" is what autograd keeps for the backward pass; on a GPU the peak is given too.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

import resnetlib


def contestants(name: str) -> dict[str, Callable[[], nn.Module]]:
    return {
        "resnetlib": lambda: resnetlib.create_model(name),
        "resnetlib, memory-efficient": lambda: resnetlib.create_model(name, memory_efficient=True),
        "torchvision": lambda: torchvision.models.get_model(name, weights=None),
        "timm": lambda: timm.create_model(name),
    }


def kept_bytes(net: nn.Module, images: Tensor) -> int:
    own = {tensor.untyped_storage().data_ptr() for tensor in (*net.parameters(), *net.buffers())}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        net(images)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def step_seconds(net: nn.Module, images: Tensor) -> float:
    start = time.perf_counter()
    net(images).sum().backward()
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(name: str, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    images = torch.randn(args.batch, 3, args.size, args.size, device=args.device)
    nets = {label: make().to(args.device).train() for label, make in contestants(name).items()}
    times: dict[str, list[float]] = {label: [] for label in nets}
    rows: dict[str, dict[str, Any]] = {}
    for label, net in nets.items():
        # Autograd's hooks do not see what a checkpoint holds, so the memory-efficient mode is measured by its peak alone.
        rows[label] = {"kept_mib": None if "efficient" in label else kept_bytes(net, images) / 2**20}
        step_seconds(net, images)
        if images.is_cuda:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            step_seconds(net, images)
            rows[label]["peak_mib"] = (torch.cuda.max_memory_allocated() - before) / 2**20
    for _ in range(args.rounds):
        for label, net in nets.items():
            times[label].append(step_seconds(net, images))
    for label, row in rows.items():
        row["seconds"] = statistics.median(times[label])
        row["time_over_ours"] = statistics.median(a / b for a, b in zip(times[label], times["resnetlib"], strict=True))
    return rows


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--models", nargs="+", default=["resnet50", "densenet121"])
    cli.add_argument("--batch", type=int, default=8)
    cli.add_argument("--size", type=int, default=128)
    cli.add_argument("--rounds", type=int, default=9)
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument("--out", type=Path)
    args = cli.parse_args()
    results = {name: measure(name, args) for name in args.models}
    device = torch.cuda.get_device_name() if args.device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    how = {"batch": args.batch, "size": args.size, "rounds": args.rounds, "device": device}
    versions = {module.__name__: module.__version__ for module in (resnetlib, torch, torchvision, timm)}
    report = json.dumps({"how": how, "versions": versions, "results": results}, indent=2)
    print(report)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(report + "\n")


if __name__ == "__main__":
    main()
