"""Short trainings with a constant learning rate, for first_steps.py, largest_rate.py and before_2015.py."""

import argparse
import json
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from outputs import check_settings, write_json
from torch import Tensor

import resnetlib
from resnetlib.data import cifar10
from resnetlib.weights import Preprocessing

Measure = Callable[[resnetlib.Backbone], Any]
Log = list[tuple[int, Any]]
Images = tuple[Tensor, Tensor]


def first_images(folder: Path, train: int, test: int) -> tuple[Images, Images]:
    """Return the first training images and the first test images, without augmentation."""
    transform = Preprocessing.named("cifar10", resize=32, size=32)
    splits = cifar10(folder, "train").first(train), cifar10(folder, "test").first(test)
    (x, y), (test_x, test_y) = ((transform(each.images), each.labels) for each in splits)
    return (x, y), (test_x, test_y)


def train(net: resnetlib.Backbone, data: Images, marks: list[int], batch: int, lr: float, measure: Measure) -> Log:
    """Train, and measure before the first step and after some of the steps."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
    found = [(0, measure(net))]
    for step in range(1, marks[-1] + 1):
        chosen = torch.randint(len(data[0]), (batch,))
        loss = torch.nn.functional.cross_entropy(net.train()(data[0][chosen]), data[1][chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in marks:
            found.append((step, measure(net)))
    return found


def final_loss(net: resnetlib.Backbone, data: Images, test: Images, steps: int, batch: int, lr: float) -> float | None:
    """Train, and return the loss on test images with the statistics of the batch, or None if it is not finite.

    As in training, since running statistics lag behind large steps.
    """

    def loss(net: resnetlib.Backbone) -> float:
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(net.train()(test[0]), test[1]))

    found: float = train(net, data, [steps], batch, lr, loss)[-1][1]
    return found if isfinite(found) else None


def run(jobs: Mapping[str, Callable[[int], Any]], args: argparse.Namespace) -> None:
    """Run each job with each seed, and write after each job; go on where an earlier run with the same settings ended."""
    about = {name: getattr(args, name) for name in ("images", "test", "after", "batch", "seeds")}
    old: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {**about, "results": {}}
    check_settings(args.out, old, about)
    results = old["results"]
    for name in [name for name in jobs if name not in results]:
        results[name] = [jobs[name](seed) for seed in range(args.seeds)]
        print(f"{name}: {results[name]}", flush=True)
        write_json(args.out, about | {"results": results})
