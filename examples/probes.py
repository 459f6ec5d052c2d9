"""What can be read from the features at each depth? Linear probes for the class, and for low-level properties of the image.

    python examples/probes.py --data cifar-10-batches-bin --out docs/results/probes.json

Features are means over positions, after the stem and after each block. The class is read by logistic regression (accuracy on test
images); the mean of each colour, the contrast, and the mean horizontal and vertical differences of brightness by least squares
(R^2, mean of the six). Bootstrap intervals over test images; the same networks untrained (batch norms calibrated) as the baseline.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import resnetlib
from resnetlib.analysis import blocks_of, bootstrap_interval, recalibrated
from resnetlib.data import LabelledImages, cifar10


def low_level(images: Tensor) -> Tensor:
    x = images.double() / 255
    grey = x.mean(1)
    edges = [grey.diff(dim=dim).abs().mean((1, 2)) for dim in (1, 2)]
    return torch.stack([*x.mean((2, 3)).unbind(1), grey.flatten(1).std(1), *edges], 1)


@torch.no_grad()
def features(net: resnetlib.Backbone, data: LabelledImages) -> dict[str, Tensor]:
    found: dict[str, list[Tensor]] = {name: [] for name in ("stem", *blocks_of(net))}
    for x, _ in data.batches(resnetlib.transform_for(net)):
        for part, rows in zip((nn.Sequential(*net.stem()), *net.blocks()), found.values(), strict=True):
            x = part(x)
            rows.append(x.mean((2, 3)).double())
    return {name: torch.cat(parts) for name, parts in found.items()}


def r2(rows: Tensor) -> Tensor:
    return (1 - rows[..., 0].sum(0) / rows[..., 1].sum(0)).mean()


def read_class(train: Tensor, labels: Tensor, test: Tensor) -> Tensor:
    """Fit a logistic regression with a little weight decay, and return the predictions."""
    weight = torch.zeros(train.shape[1], 10, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(train @ weight, labels) + 1e-4 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return (test @ weight.detach()).argmax(1)


def measure(net: resnetlib.Backbone, train: LabelledImages, test: LabelledImages) -> dict[str, Any]:
    results: dict[str, Any] = {"accuracy": [], "accuracy_interval": [], "r2": [], "r2_interval": []}
    before, after = features(net, train), features(net, test)
    wanted, truth = low_level(train.images), low_level(test.images)
    for name, x in before.items():
        mean, std = x.mean(0), x.std(0) + 1e-9
        one, other = ((torch.cat([(f - mean) / std, torch.ones(len(f), 1)], 1)) for f in (x, after[name]))
        right = 100 * (read_class(one, train.labels, other) == test.labels).double()
        fit = torch.linalg.lstsq(one, wanted, driver="gelsd").solution
        pairs = torch.stack([(truth - other @ fit).square(), (truth - wanted.mean(0)).square()], -1)
        for key, rows, statistic in (("accuracy", right, torch.mean), ("r2", pairs, r2)):
            results[key].append(float(statistic(rows)))
            results[f"{key}_interval"].append(bootstrap_interval(rows, statistic).tolist())
    return {"places": list(before)} | results


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=5000, help="training images of the probes")
    cli.add_argument("--test", type=int, default=2000)
    cli.add_argument("--seeds", type=int, default=3, help="untrained networks of each kind")
    cli.add_argument("--out", type=Path, required=True, help="the JSON")
    args = cli.parse_args()
    train, test = cifar10(args.data, "train").first(args.images), cifar10(args.data, "test").first(args.test)
    results: dict[str, Any] = {}
    for name in ("plain20", "resnet20"):
        net = resnetlib.create_model(f"cifar_{name}.resnetlib_c10").eval()
        results[name] = {"trained": measure(net, train, test), "untrained": []}
        for seed in range(args.seeds):
            torch.manual_seed(seed)
            fresh = resnetlib.build(net.spec).eval()
            fresh.preprocess = net.preprocess
            with recalibrated(fresh, train.first(250).batches(resnetlib.transform_for(net))):
                results[name]["untrained"].append(measure(fresh, train, test))
        print(name, *results[name]["trained"]["accuracy"], flush=True)
    args.out.write_text(json.dumps({"images": args.images, "test": args.test, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
