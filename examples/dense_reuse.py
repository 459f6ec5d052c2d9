"""Do the layers of a dense network use the features of all earlier ones? How much of what each layer reads comes from where.

    resnetlib train cifar_densenet40_k12 --images 10000 --set epochs=15 --set batch_size=64 --set lr=0.1 \\
        --data cifar-10-batches-bin --out runs/densenet40
    python examples/dense_reuse.py runs/densenet40 --data cifar-10-batches-bin --out docs/results/dense_reuse.json

For each layer of a dense block, and for what reads the whole block (a transition or the classifier), and for each source (the
block's input, or an earlier layer's new features): the mean |w| over the weights that read it (arXiv 1608.06993, sec. 5, fig. 5),
and the size of what they make of it, ||w * h|| over the source's channels. Also for untrained networks (batch norms calibrated).
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from untrained import untrained

import resnetlib
from resnetlib.data import cifar10
from resnetlib.modules import DenseBlock, Transition

Table = list[list[list[float]]]
"""For each dense block, for each reader, a value for each source."""


def reader_of(module: nn.Module) -> nn.Conv2d | nn.Linear:
    """Return the first layer with weights, which reads the block."""
    return next(part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear))


@torch.no_grad()
def measure(net: resnetlib.Backbone, x: Tensor) -> dict[str, Table]:
    parts = [part for part in net.modules() if isinstance(part, DenseBlock | Transition | nn.Linear)]
    weights, sizes = list[list[list[float]]](), list[list[list[float]]]()
    for block, after in zip(parts[::2], parts[1::2], strict=True):
        readers = [*map(reader_of, (*block.children(), after))]
        channels = [reader.weight.shape[1] for reader in readers]  # the block's input, and all earlier layers' outputs
        widths = [channels[0], *(after - before for before, after in pairwise(channels))]
        rows = [reader.weight.split(widths[: i + 1], 1) for i, reader in enumerate(readers)]
        weights.append([[float(part.abs().mean()) for part in row] for row in rows])
        found: list[Tensor] = []
        hooks = [reader.register_forward_pre_hook(lambda _, inputs, found=found: found.append(inputs[0])) for reader in readers]
        net(x)
        for hook in hooks:
            hook.remove()
        sizes.append([])
        for reader, row, h in zip(readers, rows, found, strict=True):
            sources = h.split(widths[: len(row)], 1)
            if isinstance(reader, nn.Conv2d):
                made = [nn.functional.conv2d(part, w, padding=reader.padding) for part, w in zip(sources, row, strict=True)]
            else:
                made = [nn.functional.linear(part, w) for part, w in zip(sources, row, strict=True)]
            sizes[-1].append([float(each.flatten(1).norm(dim=1).mean()) for each in made])
    return {"weights": weights, "sizes": sizes}


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("network", help="a dense network, by its name or folder")
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=250, help="test images")
    cli.add_argument("--seeds", type=int, default=3, help="untrained networks")
    cli.add_argument("--out", type=Path, required=True, help="the JSON")
    args = cli.parse_args()
    net = resnetlib.create_model(args.network).eval()
    [(x, _)] = cifar10(args.data, "test").first(args.images).batches(resnetlib.transform_for(net), args.images)
    results: dict[str, Any] = {"images": args.images, "trained": measure(net, x), "untrained": []}
    for fresh in untrained(net, x, args.seeds):
        results["untrained"].append(measure(fresh, x))
    for block, rows in enumerate(results["trained"]["sizes"], 1):
        first = " ".join(f"{row[0] / max(row):.2f}" for row in rows)
        print(f"block {block}: size of what is made of the block's input over the largest, by layer: {first}")
    args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
