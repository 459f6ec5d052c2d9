"""Activations and initialisations before 2015: how signals and gradients change with depth when a network begins.

    python examples/activations.py --data cifar-10-batches-bin --out docs/results/activations.json

For each activation (sigmoid, tanh, relu), initialisation (Gaussian of 0.01, Xavier, He; He with batch norm) and depth: the norm of
the gradient at the first block's input over that at the last block's output, and the variance of the features after each block.
Plain networks, and residual ones with relu and He. In float64, since some signals are too small for float32.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import resnetlib
from resnetlib.analysis import gradient_flow, signal_propagation
from resnetlib.data import cifar10
from resnetlib.weights import Preprocessing

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
INITIALISATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Gaussian of 0.01": lambda w: nn.init.normal_(w, std=0.01),
    "Xavier": nn.init.xavier_normal_,
    "He": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
}


def make(family: str, depth: int, activation: str, initialisation: str, norm: str) -> resnetlib.Backbone:
    blocks = (depth - 2) // 6
    spec = replace(resnetlib.spec_of(f"cifar_{family}20"), depths=(blocks,) * 3)
    net = resnetlib.build(replace(spec, norm=norm))
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d):
            INITIALISATIONS[initialisation](module.weight)
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, ACTIVATIONS[activation]())
    return net.double()


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=32)
    cli.add_argument("--depths", type=int, nargs="+", default=[8, 20, 32, 56], help="numbers of layers, 6 n + 2")
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--out", type=Path, required=True, help="the JSON")
    args = cli.parse_args()
    data = cifar10(args.data, "train").first(args.images)
    x = Preprocessing.named("cifar10", resize=32, size=32)(data.images).double()
    starts = [("plain", each, start, "none") for each in ACTIVATIONS for start in INITIALISATIONS]
    starts += [("plain", each, "He", "batch") for each in ACTIVATIONS]
    starts += [("resnet", "relu", "He", norm) for norm in ("none", "batch")]
    results: list[dict[str, Any]] = []
    for family, activation, start, norm in starts:
        for depth in args.depths:
            runs = []
            for seed in range(args.seeds):
                torch.manual_seed(seed)
                net = make(family, depth, activation, start, norm)
                runs.append((gradient_flow(net, x, data.labels), signal_propagation(net, x)))
            found: dict[str, Any] = {"family": family, "activation": activation, "start": start, "norm": norm, "depth": depth}
            found["gradient_first_to_last"] = [flow.first_to_last for flow, _ in runs]
            found["variance"] = [signal.variance.tolist() for _, signal in runs]
            results.append(found)
            ratios = ", ".join(f"{value:.2g}" for value in found["gradient_first_to_last"])
            print(f"{family}{depth}, {activation}, {start}, norm {norm}: {ratios}", flush=True)
    about = {"images": args.images, "seeds": args.seeds, "results": results}
    args.out.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
