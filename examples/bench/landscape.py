"""Seconds that a point of a loss surface takes, beside loss-landscapes and the published procedure, taking turns in one process.

    python examples/bench/landscape.py --model runs/cifar_resnet56-seed=0/ --data cifar10 --out docs/results/landscape_speed.json

All compute the same points. "published" is the loop of tomgoldstein/loss-landscape: parameters written in place, images normalized
one by one. loss-landscapes leaves out the last row, and displaces every other one, which is allowed for. From resnetlib's are
taken those of 3 points, and of what is done once: first_call_seconds, with PyTorch's cache empty. cpu_seconds are of all threads.
"""

import argparse
import copy
import itertools
import json
import os
import statistics
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import loss_landscapes.metrics
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate
from torchvision.transforms import Compose, Normalize, ToTensor

import resnetlib
from resnetlib.analysis import filter_normalized_direction, landscape
from resnetlib.data import LabeledImages, cifar10

CLOCKS: dict[str, Any] = {"seconds": time.perf_counter, "cpu_seconds": time.process_time}


def published(net: Any, data: LabeledImages, x: Tensor, dx: Any, dy: Any) -> Tensor:
    normalize = Compose([ToTensor(), Normalize(net.preprocess.mean, net.preprocess.std)])
    pairs: Any = [(image.numpy(), int(label)) for image, label in zip(data.images.permute(0, 2, 3, 1), data.labels, strict=True)]
    loader = DataLoader[Any](pairs, 128, collate_fn=lambda rows: default_collate([(normalize(image), y) for image, y in rows]))
    start, losses = [parameter.data.clone() for parameter in net.parameters()], torch.empty(len(x), len(x))
    for row, column in torch.cartesian_prod(torch.arange(len(x)), torch.arange(len(x))):
        for parameter, w, d0, d1 in zip(net.parameters(), start, dx.values(), dy.values(), strict=True):
            parameter.data = w + (d0 * x[column] + d1 * x[row])
        with torch.no_grad():
            sums = [nn.functional.cross_entropy(net(inputs), targets).item() * len(inputs) for inputs, targets in loader]
        losses[row, column] = sum(sums) / len(pairs)
    return losses


def peer(net: Any, data: LabeledImages, x: Tensor, dx: Any, dy: Any) -> Tensor:
    corners = [copy.deepcopy(net) for _ in range(3)]
    for corner, a, b in zip(corners, x[[0, 0, -1]], x[[0, -1, 0]], strict=True):
        for parameter, d0, d1 in zip(corner.parameters(), dx.values(), dy.values(), strict=True):
            parameter.data += a * d0 + b * d1
    metric = loss_landscapes.metrics.Loss(nn.CrossEntropyLoss(), net.preprocess(data.images), data.labels)
    found, losses = loss_landscapes.planar_interpolation(*corners, metric, len(x) - 1), x.new_full((len(x), len(x)), torch.nan)
    losses[:-1:2, 1:], losses[1:-1:2, :-1] = torch.from_numpy(found[::2]), torch.from_numpy(found[1::2])
    return losses


def ours(how: Any, net: Any, data: LabeledImages, x: Tensor, *along: Any) -> Tensor:
    return landscape(net, (net.preprocess(data.images), data.labels), float(x[-1]), len(x), directions=along, **how).loss.float()


def measure(rounds: int, modes: Any, net: Any, data: LabeledImages, x: Tensor, *along: Any) -> dict[str, dict[str, float]]:
    own = {f"resnetlib, {p}{', compiled' * c}": {"precision": p, "compiled": c} for c in modes for p in ("fp32", "bf16")}
    ways: dict[str, Any] = {"published": published, "loss-landscapes": peer} | {k: partial(ours, v) for k, v in own.items()}
    rows, losses, times = {label: dict[str, float]() for label in ways}, dict[str, Tensor](), {label: list[Any]() for label in ways}
    for label, compute in [*ways.items()] * rounds:
        begun = [clock() for clock in CLOCKS.values()]
        _ = compute(copy.deepcopy(net), data, x[[0, -1]], along[0]) if label in own else None  # the center and two points
        between = [clock() for clock in CLOCKS.values()]
        found = losses[label] = compute(copy.deepcopy(net), data, x, *along)
        ends, count = [clock() for clock in CLOCKS.values()], int((~found.isnan()).sum()) - (3 if label in own else 0)
        times[label].append([(end - c - (c - b)) / count for b, c, end in zip(begun, between, ends, strict=True)])
        rows[label].setdefault("first_call_seconds", between[0] - begun[0])
        rows[label]["largest_deviation"] = float((found / losses["published"] - 1).abs().nan_to_num().max())
    for (label, row), (i, unit) in itertools.product(rows.items(), enumerate(CLOCKS)):
        row[unit] = statistics.median(each[i] for each in times[label])
        row[f"published_{unit}_over_these"] = rows["published"][unit] / row[unit]
    return rows


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("model", ""), ("data", ""), ("out", ""), ("images", 256), ("points", 5), ("rounds", 3), ("threads", 1)):
        cli.add_argument(f"--{name}", type=type(default), default=default, required=default == "")
    cli.add_argument("--no-compile", action="store_true", help="leave the compiled networks out")
    args, os.environ["TORCHINDUCTOR_CACHE_DIR"] = cli.parse_args(), tempfile.mkdtemp()
    torch.set_num_threads(args.threads)
    net, data = resnetlib.create_model(args.model).eval(), cifar10(args.data, "train").first(args.images)
    how: dict[str, Any] = {"images": args.images, "points": args.points**2, "rounds": args.rounds, "threads": args.threads}
    how |= {"model": Path(args.model).name} | {name: version(name) for name in ("resnetlib", "torch", "loss-landscapes")}
    along = (filter_normalized_direction(net, generator) for generator in [torch.Generator().manual_seed(0)] * 2)
    rows = measure(args.rounds, [False, True][: 2 - args.no_compile], net, data, torch.linspace(-1, 1, args.points), *along)
    Path(args.out).write_text(json.dumps({"how": how, "results": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
