"""The first steps of training: do gradients that explode at the beginning settle, and does a deepened copy keep what it could do?

    python examples/first_steps.py --data cifar-10-batches-bin --out docs/results/first_steps.json

Two experiments, with a constant learning rate, momentum 0.9, weight decay 1e-4 and no augmentation:
scratch: plain and residual networks from random weights; the norm of the gradient at the first block's input over that at the last
block's output, after 0, 1, 2, 4, ... iterations.
copies: the embedded 20-layer networks, deepened or not, with several rates; their errors on training images that they do not
train on here, in evaluation mode and with the statistics of the batch, as in training, which tells lagging statistics apart.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import resnetlib
from resnetlib.analysis import deepen, gradient_flow
from resnetlib.data import LabelledImages, cifar10
from resnetlib.weights import Preprocessing

Measure = Callable[[resnetlib.Backbone], Any]


def train(
    net: resnetlib.Backbone, data: tuple[Tensor, Tensor], marks: list[int], batch: int, lr: float, measure: Measure
) -> list[Any]:
    """Train, and measure before the first step and after some of the steps."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
    found = [(0, measure(net))]
    images, labels = data
    for step in range(1, marks[-1] + 1):
        chosen = torch.randint(len(images), (batch,))
        loss = torch.nn.functional.cross_entropy(net.train()(images[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in marks:
            found.append((step, measure(net)))
    return found


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
    cli.add_argument("--held", type=int, default=250, help="images that are measured, the last training images")
    cli.add_argument("--batch", type=int, default=32)
    cli.add_argument("--rates", type=float, nargs="+", default=[0.001, 0.01, 0.05], help="of the copies; 0.1 from scratch")
    cli.add_argument("--blocks", type=int, default=9, help="blocks of a stage of the copies; 9 make 56 layers")
    cli.add_argument("--networks", nargs="+", default=["plain20", "resnet20", "plain56", "resnet56"], help="from scratch")
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--only", nargs="+", choices=["scratch", "copies"], default=["scratch", "copies"])
    cli.add_argument("--out", type=Path, required=True, help="the JSON")
    args = cli.parse_args()
    data = cifar10(args.data, "train")
    transform = Preprocessing.named("cifar10", resize=32, size=32)
    x, y = transform(data.images[: args.images]), data.labels[: args.images]
    held = LabelledImages(data.images[-args.held :], data.labels[-args.held :], data.classes).batches(transform)[0]
    results: dict[str, Any] = json.loads(args.out.read_text())["results"] if args.out.exists() else {}
    for name in args.networks if "scratch" in args.only else ():
        results[f"scratch, {name}"] = []
        for seed in range(args.seeds):
            torch.manual_seed(seed)
            net = resnetlib.create_model(f"cifar_{name}")
            log = train(net, (x, y), args.after, args.batch, 0.1, lambda net: gradient_flow(net, [held]).first_to_last)
            results[f"scratch, {name}"].append(log)
            print(f"scratch, {name}: " + ", ".join(f"{step}: {ratio:.3g}" for step, ratio in log), flush=True)
    for kind in ("plain", "resnet") if "copies" in args.only else ():
        for rate in args.rates:
            for blocks in (3, args.blocks):
                results[f"{kind}, {6 * blocks + 2} layers, rate {rate:g}"] = runs = []
                for seed in range(args.seeds):
                    net = resnetlib.create_model(f"cifar_{kind}20.resnetlib_c10")
                    if blocks > 3:
                        net = deepen(net, (blocks,) * 3, batches=x[:500])
                    torch.manual_seed(seed)
                    runs.append(train(net, (x, y), args.after, args.batch, rate, lambda net: errors(net, *held)))
                print(f"{kind}, {6 * blocks + 2} layers, rate {rate:g}: {[run[-1] for run in runs]}", flush=True)
    about = {name: getattr(args, name) for name in ("images", "held", "after", "batch", "seeds")}
    args.out.write_text(json.dumps(about | {"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
