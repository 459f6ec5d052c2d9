"""Do layers that a task does not need learn F(x) = 0? A network of 32 layers learns two classes, and ten.

    python examples/unneeded_layers.py --data cifar-10-batches-bin --out docs/results/unneeded_layers.json

Both tasks have equally many images and iterations. Writes, for each block, on test images: the mean over images of
||F(x)|| / ||x||, and without the block the share of predictions that change, and the error. Also for untrained networks, with batch
norms calibrated. Trains in --runs, where it goes on after an interruption.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from outputs import output_path, write_json

import resnetlib
from resnetlib.analysis import block_survival, branch_ratio, recalibrated
from resnetlib.data import LabeledImages, cifar10
from resnetlib.train import fit, recipe_of
from resnetlib.weights import Preprocessing

TASKS = {"two classes": ("airplane", "frog"), "ten classes": ()}


def of_classes(data: LabeledImages, classes: tuple[str, ...], images: int) -> LabeledImages:
    """Return the first images of some classes, with labels from 0; of all classes if none is named."""
    if not classes:
        return data.first(images)
    numbers = torch.tensor([data.classes.index(name) for name in classes])
    chosen = torch.isin(data.labels, numbers).nonzero().flatten()[:images]
    labels = (data.labels[chosen, None] == numbers).to(torch.int64).argmax(1)
    return replace(data, images=data.images[chosen], labels=labels, classes=classes)


def measure(net: resnetlib.Backbone, data: LabeledImages) -> dict[str, Any]:
    batches = data.batches(resnetlib.transform_for(net))
    ratios, found = branch_ratio(net, batches), block_survival(net, batches, factors=(1, 0))
    without = {"changed": found.changed[:, -1].tolist(), "error": found.error[:, -1].tolist()}
    return {"ratio": ratios.ratio.tolist(), **without, "clean_error": found.clean_error, "chance_error": found.chance_error}


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--networks", nargs="+", default=["resnet32"])
    cli.add_argument("--images", type=int, default=5000, help="training images of each task")
    cli.add_argument("--measured", type=int, default=2000, help="test images")
    cli.add_argument("--epochs", type=int, default=15)
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    cli.add_argument("--runs", type=Path, default=Path("runs/unneeded"))
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    every, tests = cifar10(args.data, "train"), cifar10(args.data, "test")
    recipe = recipe_of("one_cycle_cifar", epochs=args.epochs, batch_size=64, lr=0.1)
    results: dict[str, Any] = {}
    for name in args.networks:
        for task, classes in TASKS.items():
            train, test = of_classes(every, classes, args.images), of_classes(tests, classes, args.measured)
            trained, untrained, errors = [], [], []
            for seed in range(args.seeds):
                torch.manual_seed(seed)
                net = resnetlib.create_model(f"cifar_{name}", num_classes=len(train.classes))
                net.preprocess = Preprocessing.named("cifar10", resize=32, size=32)
                out = args.runs / f"{name}-{task.replace(' ', '-')}-{seed}"
                with recalibrated(net, train.first(250).batches(resnetlib.transform_for(net))):
                    untrained.append(measure(net.eval(), test))
                errors.append(
                    fit(net.train(), train, test, recipe, out, seed=seed, precision=args.precision, sample=500).test_error
                )
                trained.append(measure(resnetlib.create_model(out).eval(), test))
            results[f"{name}, {task}"] = {"test_error": errors, "trained": trained, "untrained": untrained}
            shown = [f"{median(each['ratio']):.3f}" for each in (*trained, *untrained)]
            print(f"{name}, {task}: errors {errors}, median ratios {' '.join(shown)}", flush=True)
    about = {name: getattr(args, name) for name in ("images", "measured", "epochs", "seeds")}
    write_json(args.out, {**about, "results": results})


if __name__ == "__main__":
    main()
