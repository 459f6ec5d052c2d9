"""Do skips make a network ignore changes that do not matter? Accuracy on mirrored, shifted, turned and brightened images.

    python examples/invariance.py plain20=runs/penalties/plain20-L2- resnet20=runs/penalties/resnet20-L2- \\
        --data cifar-10-batches-bin --out docs/results/invariance.json

Each name stands for the folders PATH0, PATH1, ... of trainings that differ in their seed alone. Their training images were mirrored
and shifted by up to 4 pixels; they were not shifted farther, turned or brightened. Writes, for each change and seed, the share of
the accuracy above guessing that is lost.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from outputs import output_path, write_json
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import adjust_brightness, affine, horizontal_flip, rotate

import resnetlib
from resnetlib.data import LabeledImages, cifar10


def shifted(pixels: int) -> Callable[[Tensor], Tensor]:
    """Return a transform that moves images to the right and down; the margin is black."""
    return lambda x: affine(x, angle=0, translate=[pixels, pixels], scale=1, shear=[0])


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "mirrored": horizontal_flip,
    "shifted by 4 pixels": shifted(4),
    "shifted by 8 pixels": shifted(8),
    "turned by 15 degrees": lambda x: rotate(x, 15, InterpolationMode.BILINEAR),
    "30 % brighter": lambda x: adjust_brightness(x, 1.3),
}


@torch.no_grad()
def accuracy(net: resnetlib.Backbone, data: LabeledImages) -> float:
    right = [net(x).argmax(1) == y for x, y in data.batches(resnetlib.transform_for(net))]
    return 100 * float(torch.cat(right).double().mean())


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("networks", nargs="+", metavar="NAME=PATH")
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=10_000, help="test images")
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    test = cifar10(args.data, "test").first(args.images)
    changed = {name: replace(test, images=change(test.images)) for name, change in CHANGES.items()}
    results: dict[str, dict[str, list[float]]] = {}
    for name, path in (pair.split("=", 1) for pair in args.networks):
        nets = [resnetlib.create_model(f"{path}{seed}").eval() for seed in range(args.seeds)]
        whole, guessing = [accuracy(net, test) for net in nets], 100 / len(test.classes)
        results[name] = {"accuracy": whole} | {
            change: [100 * (best - accuracy(net, images)) / (best - guessing) for net, best in zip(nets, whole, strict=True)]
            for change, images in changed.items()
        }
        print(name, results[name], flush=True)
    write_json(args.out, {"images": args.images, "seeds": args.seeds, "results": results})


if __name__ == "__main__":
    main()
