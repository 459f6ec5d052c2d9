"""Do the layers of a dense network read the features of all earlier ones? The mean weight of each reader on each source.

    resnetlib train cifar_densenet40_k12 --images 10000 --set epochs=15 --set batch_size=64 --set lr=0.1 --set weight_decay=1e-4 \\
        --precision bf16 --data cifar-10-batches-bin --out runs/densenet40
    python examples/dense_reuse.py runs/densenet40 --out docs/results/dense_reuse.json

Readers are the layers of a dense block, and what reads the whole block (a transition or the classifier); sources are the block's
input and the earlier layers' new features. The weight is the mean |w| (arXiv 1608.06993, sec. 5, fig. 5). Untrained networks
are the baseline.
"""

import argparse
from itertools import pairwise

import torch
from outputs import output_path, write_json
from torch import nn

import resnetlib
from resnetlib.modules import DenseBlock, Transition


def reader_of(module: nn.Module) -> nn.Conv2d | nn.Linear:
    """Return the first layer with weights, which reads the block."""
    return next(part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear))


def mean_weights(net: resnetlib.Backbone) -> list[list[list[float]]]:
    """For each dense block, for each reader, return the mean |w| of each source."""
    parts = [part for part in net.modules() if isinstance(part, DenseBlock | Transition | nn.Linear)]
    tables = []
    for block, after in zip(parts[::2], parts[1::2], strict=True):
        weights = [reader_of(module).weight.detach() for module in (*block.children(), after)]
        channels = [weight.shape[1] for weight in weights]  # the block's input, and all earlier layers' outputs
        widths = [channels[0], *(after - before for before, after in pairwise(channels))]
        rows = [weight.split(widths[:count], 1) for count, weight in enumerate(weights, 1)]
        tables.append([[float(part.abs().mean()) for part in row] for row in rows])
    return tables


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("network", help="a dense network, by its name or folder")
    cli.add_argument("--seeds", type=int, default=3, help="untrained networks")
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    net = resnetlib.create_model(args.network)
    trained, untrained = mean_weights(net), []
    for seed in range(args.seeds):
        torch.manual_seed(seed)
        untrained.append(mean_weights(resnetlib.build(net.spec)))
    for block, rows in enumerate(trained, 1):
        ratios = " ".join(f"{row[0] * len(row) / sum(row):.2f}" for row in rows)
        print(f"block {block}: weight on the block's input over the reader's mean, by reader: {ratios}")
    write_json(args.out, {"trained": trained, "untrained": untrained})


if __name__ == "__main__":
    main()
