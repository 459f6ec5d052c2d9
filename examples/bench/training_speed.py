"""Training speed of CIFAR networks beside akamaster's and pytorchcv's, alternating in one process, in the same loop.

    python examples/bench/training_speed.py --out docs/results/training_speed.json

Forward, loss, backward and update of a batch that is there already, channels-last. Quotes medians of images per second, and ours
over the others'.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorchcv.model_provider import get_model
from torch import Tensor, nn
from torch.nn import functional

import resnetlib

sys.path.append(str(Path(__file__).parents[2] / "tests" / "helpers"))
from zoos import SmallResNet  # type: ignore[import-not-found]

DEPTHS = {"cifar_resnet20": 3, "cifar_resnet56": 9}


def contestants(name: str) -> dict[str, nn.Module]:
    theirs = name.removeprefix("cifar_") + "_cifar10"
    return {
        "resnetlib": resnetlib.create_model(name),
        "akamaster": SmallResNet([DEPTHS[name]] * 3, (16, 32, 64), shortcut="pad", classifier="linear", classes=10),
        "pytorchcv": get_model(theirs, pretrained=False),
    }


def trainer(net: nn.Module, device: str, bf16: bool, compiled: bool) -> Callable[[Tensor, Tensor], None]:
    net.to(device).to(memory_format=torch.channels_last).train()
    sgd = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    forward: Callable[[Tensor], Tensor] = torch.compile(net) if compiled else net

    def step(x: Tensor, labels: Tensor) -> None:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            logits = forward(x)
        loss = functional.cross_entropy(logits.float(), labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def measure(name: str, bf16: bool, compiled: bool, args: argparse.Namespace) -> dict[str, Any]:
    x = torch.randn(args.batch, 3, 32, 32, device=args.device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (args.batch,), device=args.device)
    steps = {label: trainer(net, args.device, bf16, compiled) for label, net in contestants(name).items()}
    seconds: dict[str, list[float]] = {label: [] for label in steps}
    for turn in range(args.rounds + 3):  # the first ones compile and warm up
        for label, step in steps.items():
            start = time.perf_counter()
            step(x, labels)
            if turn >= 3:
                seconds[label].append(time.perf_counter() - start)
    rows = {label: {"images_per_second": round(args.batch / statistics.median(times), 1)} for label, times in seconds.items()}
    for label, times in seconds.items():
        rows[label]["ours_over_it"] = statistics.median(b / a for a, b in zip(seconds["resnetlib"], times, strict=True))
    return rows


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--models", nargs="+", default=list(DEPTHS), choices=list(DEPTHS))
    cli.add_argument("--batch", type=int, default=128)
    cli.add_argument("--rounds", type=int, default=15)
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument("--out", type=Path)
    args = cli.parse_args()
    results = {}
    for name in args.models:
        for compiled in (False, True):
            for bf16 in (False, True):
                key = f"{name}, {'compiled' if compiled else 'eager'}, {'bf16' if bf16 else 'fp32'}"
                results[key] = measure(name, bf16, compiled, args)
                print(key, json.dumps(results[key]))
    if args.out:
        about = {"torch": torch.__version__, "device": args.device, "batch": args.batch, "rounds": args.rounds}
        args.out.write_text(json.dumps({**about, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
