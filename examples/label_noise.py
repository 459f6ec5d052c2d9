"""Do networks with skips learn wrong labels less? Short trainings with a share of the training labels replaced at random.

    python examples/label_noise.py --data cifar-10-batches-bin --out docs/results/label_noise.json

The recipe and the images are those of the short trainings of examples/degradation.py, so that the two can be compared. Labels are
replaced as in arXiv 1611.03530, sec. 2.1, by classes drawn uniformly. Writes the errors by the true labels, and how many of the
images with a wrong label got just that label from the network; trains in --runs, where it goes on after an interruption.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch
from outputs import output_path, write_json

import resnetlib
from resnetlib.data import LabeledImages, cifar10
from resnetlib.train import fit, recipe_of


def with_wrong_labels(data: LabeledImages, share: float, seed: int) -> LabeledImages:
    """Return the images with a share of the labels replaced by classes drawn uniformly, which may be the true ones."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(data), generator=generator)[: round(share * len(data))]
    drawn = torch.randint(len(data.classes), (len(chosen),), generator=generator)
    return replace(data, labels=data.labels.index_copy(0, chosen, drawn.to(data.labels.dtype)))


@torch.no_grad()
def predict(net: resnetlib.Backbone, data: LabeledImages) -> torch.Tensor:
    """Return the predicted class of each image."""
    return torch.cat([net(x).argmax(1) for x, _ in data.batches(resnetlib.transform_for(net))])


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--networks", nargs="+", default=["plain20", "resnet20"])
    cli.add_argument("--images", type=int, default=10_000, help="the first so many to train on")
    cli.add_argument("--test", type=int, default=10_000, help="test images")
    cli.add_argument("--share", type=float, default=0.4, help="of the labels, to be replaced")
    cli.add_argument("--epochs", type=int, default=15)
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    cli.add_argument("--runs", type=Path, default=Path("runs/label-noise"))
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    true, test = cifar10(args.data, "train").first(args.images), cifar10(args.data, "test").first(args.test)
    recipe = recipe_of("one_cycle_cifar", epochs=args.epochs, batch_size=64, lr=0.1, weight_decay=1e-4)
    results: dict[str, dict[str, list[float]]] = {}
    for name in args.networks:
        errors: dict[str, list[float]] = {"train_error": [], "test_error": [], "learned_wrong_labels": []}
        for seed in range(args.seeds):
            given = with_wrong_labels(true, args.share, seed)
            torch.manual_seed(seed)
            out = args.runs / f"{name}-{seed}"
            result = fit(
                resnetlib.create_model(f"cifar_{name}"), given, test, recipe, out, seed=seed, precision=args.precision, sample=500
            )
            predicted = predict(resnetlib.create_model(out).eval(), true)
            wrong = given.labels != true.labels
            errors["train_error"].append(100 * float((predicted != true.labels).double().mean()))
            errors["learned_wrong_labels"].append(100 * float((predicted == given.labels)[wrong].double().mean()))
            errors["test_error"].append(result.test_error)
        results[name] = errors
        print(f"{name}: " + ", ".join(f"{key} {mean(values):.2f} %" for key, values in errors.items()), flush=True)
    about = {"images": args.images, "share": args.share, "seeds": args.seeds, "recipe": json.loads(recipe.to_json())}
    write_json(args.out, {**about, "results": results})


if __name__ == "__main__":
    main()
