"""Up to which learning rate do networks train? Plain and residual ones of 20 and 56 layers, with a constant rate.

    python examples/largest_rate.py --data cifar-10-batches-bin --out docs/results/largest_rate.json

After --after iterations the loss is measured on test images, with the statistics of the batch.
Guessing costs ln 10 = 2.303 nats. Momentum 0.9, weight decay 1e-4, no augmentation.
"""

import argparse
from functools import partial
from itertools import product
from pathlib import Path

import torch
from short_trainings import final_loss, first_images, run

import resnetlib


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--networks", nargs="+", default=["plain20", "resnet20", "plain56", "resnet56"])
    cli.add_argument("--rates", type=float, nargs="+", default=[0.025, 0.1, 0.4])
    cli.add_argument("--images", type=int, default=10_000, help="training images")
    cli.add_argument("--test", type=int, default=500, help="test images")
    cli.add_argument("--after", type=int, default=200, help="iterations")
    cli.add_argument("--batch", type=int, default=32)
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--out", type=Path, required=True, help="the JSON, which is written after each rate, and continued")
    args = cli.parse_args()
    data, test = first_images(args.data, args.images, args.test)

    def job(name: str, rate: float, seed: int) -> float | None:
        torch.manual_seed(seed)
        return final_loss(resnetlib.create_model(f"cifar_{name}"), data, test, args.after, args.batch, rate)

    jobs = {f"{name}, rate {rate:g}": partial(job, name, rate) for name, rate in product(args.networks, args.rates)}
    run(jobs, args)


if __name__ == "__main__":
    main()
