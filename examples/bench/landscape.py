"""Seconds that a point of a loss surface takes, beside loss-landscapes and the published procedure, taking turns in one process.

    python examples/bench/landscape.py --model runs/cifar_resnet56-seed=0/ --data cifar10 --out docs/results/landscape_speed.json

All compute the loss at the same points. "published" is the loop of tomgoldstein/loss-landscape: parameters written in place, images
normalised one by one by a DataLoader. loss-landscapes takes directions only as corners (planar_interpolation); it leaves out the
last row, and displaces every other row by one column, which is allowed for. cpu_seconds are those of all threads.
"""

import argparse
import copy
import json
import statistics
import time
from dataclasses import replace
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
from resnetlib.data import LabelledImages, cifar10

CLOCKS: dict[str, Any] = {"seconds": time.perf_counter, "cpu_seconds": time.process_time}


def published(net: Any, data: LabelledImages, x: Tensor, dx: Any, dy: Any) -> Tensor:
    normalise = Compose([ToTensor(), Normalize(net.preprocess.mean, net.preprocess.std)])
    pairs: Any = [(image.numpy(), int(label)) for image, label in zip(data.images.permute(0, 2, 3, 1), data.labels, strict=True)]
    loader = DataLoader[Any](pairs, 128, collate_fn=lambda rows: default_collate([(normalise(image), y) for image, y in rows]))
    start, losses = [parameter.data.clone() for parameter in net.parameters()], torch.empty(len(x), len(x))
    for row, column in torch.cartesian_prod(torch.arange(len(x)), torch.arange(len(x))):
        for parameter, w, d0, d1 in zip(net.parameters(), start, dx.values(), dy.values(), strict=True):
            parameter.data = w + (d0 * x[column] + d1 * x[row])
        with torch.no_grad():
            sums = [nn.functional.cross_entropy(net(inputs), targets).item() * len(inputs) for inputs, targets in loader]
        losses[row, column] = sum(sums) / len(pairs)
    return losses


def peer(net: Any, data: LabelledImages, x: Tensor, dx: Any, dy: Any) -> Tensor:
    corners = [copy.deepcopy(net) for _ in range(3)]
    for corner, a, b in zip(corners, x[[0, 0, -1]], x[[0, -1, 0]], strict=True):
        for parameter, d0, d1 in zip(corner.parameters(), dx.values(), dy.values(), strict=True):
            parameter.data += a * d0 + b * d1
    metric = loss_landscapes.metrics.Loss(nn.CrossEntropyLoss(), net.preprocess(data.images), data.labels)
    found, losses = loss_landscapes.planar_interpolation(*corners, metric, len(x) - 1), x.new_full((len(x), len(x)), torch.nan)
    losses[:-1:2, 1:], losses[1:-1:2, :-1] = torch.from_numpy(found[::2]), torch.from_numpy(found[1::2])
    return losses


def ours(precision: Any, net: Any, data: LabelledImages, x: Tensor, *along: Any) -> Tensor:
    batch = net.preprocess(data.images), data.labels
    return landscape(net, batch, float(x[-1]), len(x), directions=along, precision=precision).loss.float()


def measure(rounds: int, *given: Any) -> dict[str, dict[str, float]]:
    ways: dict[str, Any] = {"published": published, "loss-landscapes": peer}
    ways |= {f"resnetlib, {precision}": partial(ours, precision) for precision in ("fp32", "bf16")}
    times, losses, rows = {label: list[Any]() for label in ways}, dict[str, Tensor](), dict[str, dict[str, float]]()
    for label, compute in [*ways.items()] * rounds:
        start = [clock() for clock in CLOCKS.values()]
        found = losses[label] = compute(*copy.deepcopy(given))
        spent = [clock() - before for clock, before in zip(CLOCKS.values(), start, strict=True)]
        times[label].append([seconds / int((~found.isnan()).sum()) for seconds in spent])
    for label, found in losses.items():
        row = rows[label] = {"largest_deviation": float((found / losses["published"] - 1).abs().nan_to_num().max())}
        for i, unit in enumerate(CLOCKS):
            ratios = (theirs[i] / these[i] for theirs, these in zip(times["published"], times[label], strict=True))
            row[f"published_{unit}_over_these"] = statistics.median(ratios)
            row[unit] = statistics.median(each[i] for each in times[label])
    return rows


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--model", "--data", "--out"):
        cli.add_argument(name, required=True)
    for name, default in (("--images", 256), ("--points", 5), ("--rounds", 3), ("--threads", 1)):
        cli.add_argument(name, type=int, default=default)
    args = cli.parse_args()
    torch.set_num_threads(args.threads)
    net, data, generator = resnetlib.create_model(args.model).eval(), cifar10(args.data, "train"), torch.Generator().manual_seed(0)
    data = replace(data, images=data.images[: args.images], labels=data.labels[: args.images])
    given = net, data, torch.linspace(-1, 1, args.points), *(filter_normalized_direction(net, generator) for _ in range(2))
    how: dict[str, Any] = {"images": args.images, "points": args.points**2, "rounds": args.rounds, "threads": args.threads}
    how |= {"model": Path(args.model).name} | {name: version(name) for name in ("resnetlib", "torch", "loss-landscapes")}
    report = {"how": how, "results": measure(args.rounds, *given)}
    Path(args.out).write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
