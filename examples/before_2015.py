"""How deep may a network be and still begin to learn? Activations and initializations before 2015, batch norm, and skips.

    python examples/before_2015.py --data cifar-10-batches-bin --out docs/results/before_2015.json

Loss after --after iterations on test images, with the statistics of the batch; guessing costs
ln 10 = 2.303 nats. Every start is tried with every rate, since networks without norms need lower ones.
"""

import argparse
from functools import partial
from itertools import product
from pathlib import Path

import torch
from activations import make
from short_trainings import final_loss, first_images, run

STARTS = {
    "sigmoid, Xavier": ("plain", "sigmoid", "Xavier", "none"),
    "tanh, Xavier": ("plain", "tanh", "Xavier", "none"),
    "relu, Gaussian of 0.01": ("plain", "relu", "Gaussian of 0.01", "none"),
    "relu, He": ("plain", "relu", "He", "none"),
    "relu, He, batch norm": ("plain", "relu", "He", "batch"),
    "relu, He, batch norm, skips": ("resnet", "relu", "He", "batch"),
}


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--starts", nargs="+", default=list(STARTS), choices=list(STARTS), metavar="START")
    cli.add_argument("--depths", type=int, nargs="+", default=[8, 20, 32, 56], help="numbers of layers, 6 n + 2")
    cli.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.1])
    cli.add_argument("--images", type=int, default=10_000, help="training images")
    cli.add_argument("--test", type=int, default=500, help="test images")
    cli.add_argument("--after", type=int, default=400, help="iterations")
    cli.add_argument("--batch", type=int, default=16)
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--out", type=Path, required=True, help="the JSON, which is written after each training, and continued")
    args = cli.parse_args()
    data, test = first_images(args.data, args.images, args.test)

    def job(start: str, depth: int, rate: float, seed: int) -> float | None:
        torch.manual_seed(seed)
        family, *others = STARTS[start]
        return final_loss(make(family, depth, *others).float(), data, test, args.after, args.batch, rate)

    every = product(args.starts, args.depths, args.rates)
    jobs = {f"{start}, {depth} layers, rate {rate:g}": partial(job, start, depth, rate) for start, depth, rate in every}
    run(jobs, args)


if __name__ == "__main__":
    main()
