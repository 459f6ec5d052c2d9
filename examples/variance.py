"""Do skips reduce the variance? How often trainings with other seeds disagree, and what a vote of them gains.

    python examples/variance.py plain20=runs/penalties/plain20-L2- resnet20=runs/penalties/resnet20-L2- \\
        --data cifar-10-batches-bin --out docs/results/variance.json

Each name stands for the folders PATH0, PATH1, ... of trainings that differ in their seed alone. Disagreement is the share of
test images that two of them classify differently, for each pair; the vote averages their probabilities. Both are given relative
to the mean error, since networks with more errors disagree more. A network that already was an ensemble would disagree less with
itself, and gain less by a vote. Bootstrap intervals over images.
"""

import argparse
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from outputs import output_path, write_json
from torch import Tensor

import resnetlib
from resnetlib.analysis import bootstrap_interval
from resnetlib.data import LabeledImages, cifar10

Statistic = Callable[[Tensor], Tensor]


@torch.no_grad()
def probabilities(net: resnetlib.Backbone, data: LabeledImages) -> Tensor:
    """Return the probability of each class, `(images, classes)`."""
    return torch.cat([net(x).double().softmax(1) for x, _ in data.batches(resnetlib.transform_for(net))])


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("networks", nargs="+", metavar="NAME=PATH")
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=10_000, help="test images")
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    test = cifar10(args.data, "test").first(args.images)
    results: dict[str, Any] = {}
    for name, path in (pair.split("=", 1) for pair in args.networks):
        each = [probabilities(resnetlib.create_model(f"{path}{seed}").eval(), test) for seed in range(args.seeds)]
        wrong = torch.stack([100 * (one.argmax(1) != test.labels).double() for one in each], 1)
        vote = 100 * (torch.stack(each).mean(0).argmax(1) != test.labels).double()
        pairs = torch.stack([100 * (a.argmax(1) != b.argmax(1)).double() for a, b in combinations(each, 2)], 1)
        of_pairs = [
            float(pair.mean() / wrong[:, ij].mean()) for pair, ij in zip(pairs.T, combinations(range(args.seeds), 2), strict=True)
        ]
        results[name] = {
            "errors": wrong.mean(0).tolist(),
            "disagreements": pairs.mean(0).tolist(),
            "relative_disagreements": of_pairs,
        }
        rows = torch.stack([wrong.mean(1), vote], 1)
        statistics: dict[str, Statistic] = {
            "vote_error": lambda rows: rows[:, 1].mean(),
            "relative_gain": lambda rows: 1 - rows[:, 1].mean() / rows[:, 0].mean(),
        }
        for key, statistic in statistics.items():
            results[name] |= {key: float(statistic(rows)), f"{key}_interval": bootstrap_interval(rows, statistic).tolist()}
        print(name, {key: value for key, value in results[name].items() if isinstance(value, float)}, flush=True)
    write_json(args.out, {"images": args.images, "seeds": args.seeds, "results": results})


if __name__ == "__main__":
    main()
