"""Does it help to begin with trained weights? From CIFAR-10's photographs to gray pictures of clothes, with few images.

    python examples/transfer.py --data /usr/share/datasets/fashion-mnist --out docs/results/transfer

Fashion-MNIST (arXiv 1708.07747; Debian's package dataset-fashion-mnist has its four files). Each seed draws so many training images
of each class, and as many others to choose by; all ways have the same images and as many epochs. Errors are on the 10,000 test
images, which nothing is chosen by. Writes OUT.json, and trains in --runs, where it goes on after an interruption.
"""

import argparse
import gzip
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from outputs import output_path, with_ending, write_json
from torch.nn import functional

import resnetlib
from resnetlib.data import LabeledImages
from resnetlib.train import Recipe, recipe_of

CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def read(folder: Path, split: str) -> LabeledImages:
    """Read one of the two sets, and pad its 28 x 28 pixels to 32 x 32."""
    pixels, labels = (
        np.frombuffer(gzip.decompress((folder / f"{split}-{kind}-ubyte.gz").read_bytes()), np.uint8, offset=offset)
        for kind, offset in (("images-idx3", 16), ("labels-idx1", 8))
    )
    images = functional.pad(torch.from_numpy(pixels.reshape(-1, 1, 28, 28).copy()), (2, 2, 2, 2))
    return LabeledImages(images, torch.from_numpy(labels.astype(np.int64)), CLASSES)


def draw(data: LabeledImages, each: int, seed: int) -> tuple[LabeledImages, LabeledImages]:
    """Draw so many images of each class to train on, and as many others to choose by."""
    draws = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data), generator=draws)
    of_class = [order[data.labels[order] == label] for label in range(len(data.classes))]
    parts = [torch.cat([places[start : start + each] for places in of_class]) for start in (0, each)]
    train, held = (LabeledImages(data.images[part], data.labels[part], data.classes) for part in parts)
    return train, held


def ways(weights: str, changes: dict[str, Any]) -> dict[str, tuple[str, Recipe]]:
    def recipe(**own: Any) -> Recipe:
        return recipe_of("finetune_cifar", **{**own, **changes})

    return {
        "fine-tuned": (weights, recipe()),
        "linear probe": (weights, recipe(head_only_fraction=1.0, lr=0.1)),
        "from scratch": (weights.partition(".")[0], recipe(head_only_fraction=0.0, stem_lr_scale=1.0, lr=0.1)),
    }


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of Fashion-MNIST's four .gz files")
    cli.add_argument("--weights", default="cifar_resnet20.resnetlib_c10")
    cli.add_argument("--each", type=int, nargs="+", default=[10, 50], help="training images of each class")
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--epochs", type=int, default=20)
    cli.add_argument("--batch", type=int, default=25)
    cli.add_argument("--test", type=int, default=10_000, help="test images")
    cli.add_argument("--runs", type=Path, default=Path("runs/transfer"))
    cli.add_argument("--out", type=output_path, required=True, help="the JSON, without its ending")
    args = cli.parse_args()
    train, test = read(args.data, "train"), read(args.data, "t10k")
    results: dict[str, dict[str, Any]] = {}
    for each in args.each:
        for way, (name, recipe) in ways(args.weights, {"epochs": args.epochs, "batch_size": args.batch}).items():
            errors = []
            for seed in range(args.seeds):
                out = args.runs / f"{way.replace(' ', '-')}-{each}-{seed}"
                scratch = way == "from scratch"
                resnetlib.finetune(name, draw(train, each, seed), out, recipe=recipe, from_scratch=scratch, in_chans=1, seed=seed)
                net = resnetlib.create_model(f"{out}/")
                measured = resnetlib.evaluate(net, test.first(args.test).batches(resnetlib.transform_for(net)))
                errors.append(round(100 - measured.top1, 2))
            results[f"{way}, {each} a class"] = {"errors": errors, "recipe": json.loads(recipe.to_json())}
            print(f"{way}, {each} images a class: test error {statistics.mean(errors):.2f} % ({min(errors)} to {max(errors)})")
    about = {key: getattr(args, key) for key in ("weights", "seeds", "test")} | {"torch": torch.__version__}
    write_json(with_ending(args.out, ".json"), {**about, "results": results})


if __name__ == "__main__":
    main()
