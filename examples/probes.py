"""What can be read from the features at each depth? Linear probes for the class, and for low-level properties of the image.

    python examples/probes.py --data cifar-10-batches-bin --out docs/results/probes.json

Features are means over positions, after the stem and each block. Read from them are the class, by logistic regression (accuracy),
and the mean of each color, the contrast, and the mean horizontal and vertical differences of brightness, by least squares (R^2,
mean of the six). Intervals are of bootstraps over test images; untrained networks are the baseline.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from outputs import output_path, write_json
from torch import Tensor
from untrained import untrained

import resnetlib
from resnetlib.analysis import blocks_of, bootstrap_interval
from resnetlib.analysis.network import hook_inputs, hook_outputs
from resnetlib.data import LabeledImages, cifar10


def low_level(images: Tensor) -> Tensor:
    gray = (x := images.double() / 255).mean(1)
    edges = (gray.diff(dim=dim).abs().mean((1, 2)) for dim in (1, 2))
    return torch.stack([*x.mean((2, 3)).unbind(1), gray.flatten(1).std(1), *edges], 1)


@torch.no_grad()
def features(net: resnetlib.Backbone, data: LabeledImages) -> dict[str, Tensor]:
    blocks, found = blocks_of(net), defaultdict[str, list[Tensor]](list)

    def keep(name: str, x: Tensor) -> None:
        found[name].append(x.mean((2, 3)).double())

    with hook_inputs({"stem": next(iter(blocks.values()))}, keep), hook_outputs(blocks, keep):
        for x, _ in data.batches(resnetlib.transform_for(net)):
            net(x)
    return {name: torch.cat(parts) for name, parts in found.items()}


def r2(rows: Tensor) -> Tensor:
    return (1 - rows[..., 0].sum(0) / rows[..., 1].sum(0)).mean()


def read_class(train: Tensor, labels: Tensor, test: Tensor) -> Tensor:
    """Fit a logistic regression with a little weight decay, and return the predictions."""
    weight = torch.zeros(train.shape[1], 10, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        loss = torch.nn.functional.cross_entropy(train @ weight, labels) + 1e-4 * weight.square().sum()
        [weight.grad] = torch.autograd.grad(loss, weight)
        return loss

    optimizer.step(closure)
    return (test @ weight.detach()).argmax(1)


def measure(net: resnetlib.Backbone, train: LabeledImages, test: LabeledImages) -> dict[str, Any]:
    before, after = features(net, train), features(net, test)
    results: dict[str, Any] = {"places": list(before), "accuracy": [], "accuracy_interval": [], "r2": [], "r2_interval": []}
    wanted, truth = low_level(train.images), low_level(test.images)
    for name, x in before.items():
        one, other = (torch.cat([(f - x.mean(0)) / (x.std(0) + 1e-9), torch.ones(len(f), 1)], 1) for f in (x, after[name]))
        right = 100 * (read_class(one, train.labels, other) == test.labels).double()
        fit = torch.linalg.lstsq(one, wanted, driver="gelsd").solution
        pairs = torch.stack([(truth - other @ fit).square(), (truth - wanted.mean(0)).square()], -1)
        for key, rows, statistic in (("accuracy", right, torch.mean), ("r2", pairs, r2)):
            results[key].append(float(statistic(rows)))
            results[f"{key}_interval"].append(bootstrap_interval(rows, statistic).tolist())
    return results


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("networks", nargs="*", metavar="NAME=WEIGHTS", help="the embedded networks by default")
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=5000, help="training images of the probes")
    cli.add_argument("--test", type=int, default=5000)
    cli.add_argument("--seeds", type=int, default=3, help="untrained networks of each kind")
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    train, test = cifar10(args.data, "train").first(args.images), cifar10(args.data, "test").first(args.test)
    results: dict[str, Any] = {}
    for pair in args.networks or ["plain20=cifar_plain20.resnetlib_c10", "resnet20=cifar_resnet20.resnetlib_c10"]:
        name, _, weights = pair.partition("=")
        net = resnetlib.create_model(weights).eval()
        results[name] = {"trained": measure(net, train, test), "untrained": []}
        for fresh in untrained(net, train.first(250).batches(resnetlib.transform_for(net)), args.seeds):
            results[name]["untrained"].append(measure(fresh, train, test))
        print(name, *results[name]["trained"]["accuracy"], flush=True)
    write_json(args.out, {"images": args.images, "test": args.test, "results": results})


if __name__ == "__main__":
    main()
