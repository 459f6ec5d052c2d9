"""Activations and initializations before 2015: how gradients change with depth when a network begins.

    python examples/activations.py --data cifar-10-batches-bin --out docs/results/activations.json

For each activation (sigmoid, tanh, relu), initialization (Gaussian of 0.01, Xavier, He; He with batch norm) and depth: the norm of
the gradient at the first block's input over that at the last block's output. Plain networks, and residual ones with relu and He.
In float64, since some signals are too small for float32. Rows that OUT has already are not measured again.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from outputs import check_settings, output_path, write_json
from torch import Tensor, nn

import resnetlib
from resnetlib.analysis import gradient_flow
from resnetlib.data import cifar10
from resnetlib.weights import Preprocessing

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
INITIALIZATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Gaussian of 0.01": lambda w: nn.init.normal_(w, std=0.01),
    "Xavier": nn.init.xavier_normal_,
    "He": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
}


def make(family: str, depth: int, activation: str, initialization: str, norm: Any) -> resnetlib.Backbone:
    blocks = (depth - 2) // 6
    spec = replace(resnetlib.spec_of(f"cifar_{family}20"), depths=(blocks,) * 3)
    net = resnetlib.build(replace(spec, norm=norm))
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d):
            INITIALIZATIONS[initialization](module.weight)
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, ACTIVATIONS[activation]())
    return net.double()


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=32)
    cli.add_argument("--depths", type=int, nargs="+", default=[8, 20, 32, 56], help="numbers of layers, 6 n + 2")
    cli.add_argument("--starts", nargs="+", default=[f"{each}, {start}" for each in ACTIVATIONS for start in INITIALIZATIONS])
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    data = cifar10(args.data, "train").first(args.images)
    x = Preprocessing.named("cifar10", resize=32, size=32)(data.images).double()
    plain = [("plain", *pair.split(", ")) for pair in args.starts]
    starts = [(*start, "none") for start in plain] + [(family, "relu", "He", "batch") for family in ("plain", "resnet")]
    keys = ("family", "activation", "start", "norm", "depth")
    about = {"images": args.images, "seeds": args.seeds}
    old: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {**about, "results": []}
    check_settings(args.out, old, about)
    results = old["results"]
    for *chosen, depth in [(*start, depth) for depth in args.depths for start in starts]:
        found: dict[str, Any] = dict(zip(keys, (*chosen, depth), strict=True))
        if any(found.items() <= row.items() for row in results):
            continue
        found["gradient_first_to_last"] = []
        for seed in range(args.seeds):
            torch.manual_seed(seed)
            net = make(chosen[0], depth, *chosen[1:])
            found["gradient_first_to_last"].append(gradient_flow(net, x, data.labels).first_to_last)
        results.append(found)
        print(found, flush=True)
        write_json(args.out, {**about, "results": results})


if __name__ == "__main__":
    main()
