"""Is a skip connection like an L1 or L2 penalty? Short trainings with L2, with L1 and with neither, plain and residual.

    python examples/penalties.py --data cifar-10-batches-bin --out docs/results/penalties.json

The images and the recipe are those of the short trainings of examples/degradation.py, but for the weight decay, which is --l2 or 0.
L1 adds --l1 times the sign of each parameter to its gradient; weight decay, too, is of all parameters. Writes errors, the size of
the convolutions' weights, and the shares of examples/sparsity.py; trains in --runs, where it goes on after an interruption.
"""

import argparse
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from outputs import output_path, write_json
from sparsity import measure
from torch import Tensor, nn

import resnetlib
from resnetlib.data import cifar10
from resnetlib.train import fit, recipe_of


def add_l1(net: nn.Module, strength: float) -> None:
    """Add the gradient of an L1 penalty to those of all parameters."""

    def add(gradient: Tensor, parameter: Tensor) -> Tensor:
        return gradient + strength * parameter.detach().sign()

    for parameter in net.parameters():
        parameter.register_hook(lambda gradient, parameter=parameter: add(gradient, parameter))


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--networks", nargs="+", default=["plain20", "resnet20"])
    cli.add_argument("--images", type=int, default=10_000, help="the first so many to train on")
    cli.add_argument("--test", type=int, default=10_000, help="test images")
    cli.add_argument("--measured", type=int, default=1000, help="test images for the shares of zeros")
    cli.add_argument("--l1", type=float, default=2e-5)
    cli.add_argument("--l2", type=float, default=5e-4, help="the weight decay with L2")
    cli.add_argument("--epochs", type=int, default=15)
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    cli.add_argument("--runs", type=Path, default=Path("runs/penalties"))
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    train, test = cifar10(args.data, "train").first(args.images), cifar10(args.data, "test").first(args.test)
    results: dict[str, dict[str, list[float]]] = {}
    for name in args.networks:
        for penalty, (l1, l2) in {"neither": (0.0, 0.0), "L2": (0.0, args.l2), "L1": (args.l1, 0.0)}.items():
            recipe = recipe_of("one_cycle_cifar", epochs=args.epochs, batch_size=64, lr=0.1, weight_decay=l2)
            found: dict[str, list[float]] = {}
            for seed in range(args.seeds):
                torch.manual_seed(seed)
                net, out = resnetlib.create_model(f"cifar_{name}"), args.runs / f"{name}-{penalty}-{seed}"
                if l1:
                    add_l1(net, l1)
                hooks = f"L1 {l1:g}"  # which `fit` cannot see
                result = fit(net, train, test, recipe, out, seed=seed, start=hooks, precision=args.precision, sample=500)
                net = resnetlib.create_model(out).eval()
                shares: dict[str, Any] = measure(net, test.first(args.measured).batches(resnetlib.transform_for(net)))
                weights = torch.cat([m.weight.detach().flatten() for m in net.modules() if isinstance(m, nn.Conv2d)])
                row = {
                    "train_error": result.train_error,
                    "test_error": result.test_error,
                    "weight_rms": float(weights.square().mean().sqrt()),
                    "weight_mean_abs": float(weights.abs().mean()),
                    "small_weights": mean(shares["small_weights"]),
                    "gamma": mean(shares["gamma"]),
                    "zeros": median(shares["zeros"]),
                    "ratio": shares["ratio_median"],
                }
                for key, value in row.items():
                    found.setdefault(key, []).append(value)
            results[f"{name}, {penalty}"] = found
            print(f"{name}, {penalty}: " + ", ".join(f"{key} {mean(values):.4g}" for key, values in found.items()), flush=True)
    about = {name: getattr(args, name) for name in ("images", "l1", "l2", "epochs", "seeds", "measured")}
    write_json(args.out, {**about, "results": results})


if __name__ == "__main__":
    main()
