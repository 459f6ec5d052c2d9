"""Do skips replace dropout? A residual network on few images, with dropout, stochastic depth, both and neither.

    python examples/regularization.py --data cifar-10-batches-bin --out docs/results/regularization

Dropout stands between the two convolutions of each branch, as in wide residual networks (arXiv 1605.07146, sec. 2.4); stochastic
depth leaves whole branches out, the last block's with the probability given (arXiv 1603.09382). The gap is test error less training
error, both in evaluation. Writes OUT.json, from which examples/lecture.py draws, and trains in --runs, where it goes on after an
interruption.
"""

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from outputs import output_path, with_ending, write_json
from torch.nn import functional

import resnetlib
from resnetlib.data import cifar10
from resnetlib.train import fit, recipe_of


def ways(dropout: float, depth: float) -> dict[str, tuple[float, float]]:
    """The probabilities of dropout and of stochastic depth, by the names of the ways."""
    return {"neither": (0, 0), "dropout": (dropout, 0), "stochastic depth": (0, depth), "both": (dropout, depth)}


def make(name: str, dropout: float, depth: float) -> resnetlib.Backbone:
    net = resnetlib.create_model(name, drop_path_rate=depth)
    for block in net.blocks():
        if dropout and isinstance(block, resnetlib.BasicBlock):
            block.relu1.register_forward_hook(lambda relu, _, y: functional.dropout(y, dropout, relu.training))
    return net


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--model", nargs="+", default=["cifar_resnet20", "cifar_plain20"])
    cli.add_argument("--ways", nargs="+", default=list(ways(0, 0)), choices=list(ways(0, 0)), metavar="WAY")
    cli.add_argument("--images", type=int, default=2000, help="the first so many to train on")
    cli.add_argument("--test", type=int, default=10_000, help="test images")
    cli.add_argument("--epochs", type=int, default=40)
    cli.add_argument("--batch", type=int, default=64)
    cli.add_argument("--dropout", type=float, default=0.2)
    cli.add_argument("--depth", type=float, default=0.2, help="probability to leave the last branch out")
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    cli.add_argument("--runs", type=Path, default=Path("runs/regularization"))
    cli.add_argument("--out", type=output_path, required=True, help="the JSON, without its ending")
    args = cli.parse_args()
    train, test = cifar10(args.data, "train").first(args.images), cifar10(args.data, "test").first(args.test)
    recipe = recipe_of("one_cycle_cifar", epochs=args.epochs, batch_size=args.batch, lr=0.1)
    results: dict[str, Any] = {}
    for name in args.model:
        for way in args.ways:
            dropout, depth = ways(args.dropout, args.depth)[way]
            if depth and not resnetlib.create_model(name).get_submodule("layer1.0.join").uses_skip:
                continue  # without skips nothing can be left out
            errors: dict[str, list[float]] = {"train_error": [], "test_error": [], "gap": []}
            for seed in range(args.seeds):
                torch.manual_seed(seed)
                out = args.runs / f"{name}-{way.replace(' ', '-')}-{seed}"
                drops = f"dropout {dropout:g}, stochastic depth {depth:g}"  # which `fit` cannot see
                options: dict[str, Any] = {"seed": seed, "start": drops, "precision": args.precision, "sample": 500}
                result = fit(make(name, dropout, depth), train, test, recipe, out, **options)
                gap = round(result.test_error - result.train_error, 4)
                for key, value in zip(errors, (result.train_error, result.test_error, gap), strict=True):
                    errors[key].append(value)
            results[f"{name.removeprefix('cifar_')}, {way}"] = errors
            print(f"{name}, {way}: " + ", ".join(f"{key} {mean(values):.2f} %" for key, values in errors.items()))
    about = {"images": args.images, "dropout": args.dropout, "stochastic_depth": args.depth, "recipe": json.loads(recipe.to_json())}
    write_json(with_ending(args.out, ".json"), {**about, "results": results})


if __name__ == "__main__":
    main()
