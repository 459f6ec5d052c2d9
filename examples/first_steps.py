"""The first steps of training: do gradients that explode at the beginning settle, and does a deepened copy keep what it could do?

    python examples/first_steps.py --data cifar-10-batches-bin --out docs/results/first_steps.json

Two experiments, with a constant learning rate, momentum 0.9, weight decay 1e-4 and no augmentation:
scratch: plain and residual networks from random weights; the norm of the gradient at the first block's input over that at the last
block's output, after 0, 1, 2, 4, ... iterations.
copies: the embedded 20-layer networks, deepened or not, with several rates; their errors on test images, in evaluation mode and
with the statistics of the batch, as in training, which tells lagging statistics apart. Seeds draw batches and new blocks.
"""

import argparse
from functools import partial
from itertools import product
from pathlib import Path

import torch
from short_trainings import Log, first_images, run, train
from torch import Tensor

import resnetlib
from resnetlib.analysis import deepen, gradient_flow


@torch.no_grad()
def errors(net: resnetlib.Backbone, x: Tensor, y: Tensor) -> dict[str, float]:
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    found = {mode: 100 * float((net.train(mode == "batch")(x).argmax(1) != y).double().mean()) for mode in ("evaluation", "batch")}
    for name, buffer in net.named_buffers():
        buffer.copy_(before[name])
    return found


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=10_000, help="training images")
    cli.add_argument("--after", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64], help="iterations after which to measure")
    cli.add_argument("--test", type=int, default=500, help="test images")
    cli.add_argument("--batch", type=int, default=32)
    cli.add_argument("--rates", type=float, nargs="+", default=[0.001, 0.01, 0.05], help="of the copies; 0.1 from scratch")
    cli.add_argument("--blocks", type=int, default=9, help="blocks of a stage of the copies; 9 make 56 layers")
    cli.add_argument("--networks", nargs="+", default=["plain20", "resnet20", "plain56", "resnet56"], help="from scratch")
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--only", nargs="+", choices=["scratch", "copies"], default=["scratch", "copies"])
    cli.add_argument("--out", type=Path, required=True, help="the JSON, which is written after each network, and continued")
    args = cli.parse_args()
    data, test = first_images(args.data, args.images, args.test)

    def scratch(name: str, seed: int) -> Log:
        torch.manual_seed(seed)
        net = resnetlib.create_model(f"cifar_{name}")
        return train(net, data, args.after, args.batch, 0.1, lambda net: gradient_flow(net, [test]).first_to_last)

    def copy(kind: str, rate: float, blocks: int, seed: int) -> Log:
        torch.manual_seed(seed)
        net = resnetlib.create_model(f"cifar_{kind}20.resnetlib_c10")
        if blocks > 3:
            net = deepen(net, (blocks,) * 3, batches=data[0][:500])
        torch.manual_seed(seed)
        return train(net, data, args.after, args.batch, rate, lambda net: errors(net, *test))

    jobs = {f"scratch, {name}": partial(scratch, name) for name in (args.networks if "scratch" in args.only else ())}
    if "copies" in args.only:
        for kind, rate, blocks in product(("plain", "resnet"), args.rates, (3, args.blocks)):
            jobs[f"{kind}, {6 * blocks + 2} layers, rate {rate:g}"] = partial(copy, kind, rate, blocks)
    run(jobs, args)


if __name__ == "__main__":
    main()
