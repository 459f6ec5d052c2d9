"""How networks begin: gradients and signals at initialization, with batch norm and without.

    python examples/beginnings.py --data cifar-10-batches-bin --out docs/results/beginnings

For each network, norm and seed: the norm of the gradient at the first block's input for each unit of it at the last block's
output (below 1 it vanishes), the growth of the variance from the first block to the last, the autocorrelation of gradients between
images at lag 1 (0 for white noise), their stable rank as a share of a Gaussian matrix's, and the median over blocks of
||F(x)|| / ||x||. Norms use the images' own statistics, as in training. Writes OUT.json, from which examples/lecture.py draws.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from outputs import output_path, with_ending, write_json

import resnetlib
from resnetlib.analysis import (
    branch_ratio,
    effective_rank,
    gradient_autocorrelation,
    gradient_flow,
    recalibrated,
    signal_propagation,
)
from resnetlib.data import cifar10
from resnetlib.weights import Preprocessing

NETWORKS = ("cifar_plain20", "cifar_plain56", "cifar_resnet20", "cifar_resnet56", "cifar_preact_resnet56", "cifar_densenet40_k12")
MEASURES = ("gradient_first_to_last", "variance_last_to_first", "autocorrelation_at_lag_1", "relative_stable_rank")


def measure(net: resnetlib.Backbone, x: torch.Tensor, y: torch.Tensor, points: int) -> dict[str, Any]:
    flow, signal = gradient_flow(net, x, y), signal_propagation(net, x)
    with recalibrated(net, x):
        lines = gradient_autocorrelation(net, x[:4], points=points)
        rank = effective_rank(net, x, y, unit_rows=True)
        ratio = branch_ratio(net, x)
    return {
        "gradient_first_to_last": flow.first_to_last,
        "variance_last_to_first": float(signal.variance[-1] / signal.variance[0]),
        "autocorrelation_at_lag_1": float(lines.by_line[:, 1].mean()),
        "relative_stable_rank": rank.relative_stable_rank,
        "branch_ratio": ratio.median,
        "feature_norm": flow.feature_norm.tolist(),
        "variance": signal.variance.tolist(),
    }


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--networks", nargs="+", default=NETWORKS)
    cli.add_argument("--images", type=int, default=128)
    cli.add_argument("--points", type=int, default=128, help="on each line between two images")
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--out", type=output_path, required=True, help="the JSON, without its ending")
    args = cli.parse_args()
    data = cifar10(args.data, "train").first(args.images)
    x = Preprocessing.named("cifar10", resize=32, size=32)(data.images)
    results: dict[str, Any] = {}
    for name in args.networks:
        for norm in ("batch", "none"):
            label = f"{name.removeprefix('cifar_')}, norm {norm}"
            results[label] = found = []
            for seed in range(args.seeds):
                torch.manual_seed(seed)
                net = resnetlib.build(replace(resnetlib.spec_of(name), norm=norm))
                found.append(measure(net, x, data.labels, args.points))
            print(f"{label}: " + ", ".join(f"{key} {median(each[key] for each in found):.3g}" for key in MEASURES))
    content = {"images": args.images, "points": args.points, "results": results}
    write_json(with_ending(args.out, ".json"), content)


if __name__ == "__main__":
    main()
