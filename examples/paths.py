"""Which lengths of paths does the gradient come through? With many paths per image and length, and bootstrap intervals.

    python examples/paths.py --data cifar-10-batches-bin --images 500 --draws 10 --out docs/results/path_lengths.json

Each group of --group images is measured with draws of its own; the groups are the rows of the bootstrap. Paths are compared with
all 2^n of them, and each trained network with the same network untrained (batch norms calibrated). Writes after each network, and
leaves out those that OUT already has.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from outputs import check_settings, output_path, write_json
from torch import Tensor
from untrained import untrained

import resnetlib
from resnetlib.analysis import bootstrap_interval, path_gradients
from resnetlib.data import cifar10

Batches = list[tuple[Tensor, Tensor]]


def measure(net: resnetlib.Backbone, groups: Batches, draws: int) -> dict[str, Any]:
    found = [path_gradients(net, group, draws=draws, seed=seed) for seed, group in enumerate(groups)]
    lengths = torch.tensor(found[0].lengths, dtype=torch.float64)
    norms, paths = torch.stack([each.norm for each in found]), found[0].paths

    def mean_length(rows: Tensor) -> Tensor:
        contribution = paths * rows.mean(0)
        return (lengths * contribution).sum() / contribution.sum()

    def slope(rows: Tensor) -> Tensor:
        """Return the factor by which the norm changes with a branch more, of a fit weighted by the number of paths."""
        logarithm, weights = rows.mean(0).log(), paths / paths.sum()
        centered = lengths - (weights * lengths).sum()
        return ((weights * centered * logarithm).sum() / (weights * centered.square()).sum()).exp()

    def shares(rows: Tensor) -> Tensor:
        contribution = paths * rows.mean(0)
        return contribution / contribution.sum()

    def effective(rows: Tensor) -> Tensor:
        return torch.tensor(replace(found[0], contribution=paths * rows.mean(0)).effective(), dtype=torch.float64)

    results: dict[str, Any] = {"lengths": list(found[0].lengths), "forks": found[0].forks, "paths": paths.tolist()}
    results |= {"draws": draws * len(groups) * len(groups[0][0]), "mean_length_of_all": found[0].mean_length_of_all}
    statistics = {
        "norm": lambda rows: rows.mean(0),
        "share": shares,
        "mean_length": mean_length,
        "factor": slope,
        "effective": effective,
    }
    for name, statistic in statistics.items():
        results[name] = statistic(norms).tolist()
        results[f"{name}_interval"] = bootstrap_interval(norms, statistic).movedim(0, -1).tolist()
    return results


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("networks", nargs="*", metavar="NAME=WEIGHTS", help="the embedded residual network by default")
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=500)
    cli.add_argument("--group", type=int, default=25)
    cli.add_argument("--draws", type=int, default=10, help="paths of each length for each image")
    cli.add_argument("--seeds", type=int, default=3, help="untrained networks of each kind")
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    results: dict[str, Any] = json.loads(args.out.read_text())["results"] if args.out.exists() else {}
    for name, weights in (pair.split("=", 1) for pair in args.networks or ["resnet20=cifar_resnet20.resnetlib_c10"]):
        if name in results:
            old = results[name] | {"seeds": len(results[name]["untrained"])}
            check_settings(args.out, old, {"images": args.images, "group": args.group, "seeds": args.seeds})
            continue
        net = resnetlib.create_model(weights).eval()
        groups = cifar10(args.data, "train").first(args.images).batches(resnetlib.transform_for(net), args.group)
        found = {"images": args.images, "group": args.group, "trained": measure(net, groups, args.draws)}
        starts = [measure(fresh, groups[:4], args.draws) for fresh in untrained(net, groups[:4], args.seeds)]
        results[name] = found | {"untrained": starts}
        for start, each in (("trained", results[name]["trained"]), *(("untrained", each) for each in results[name]["untrained"])):
            low, high = each["mean_length_interval"]
            print(f"{name}, {start}: mean length {each['mean_length']:.2f} ({low:.2f} to {high:.2f})", flush=True)
        write_json(args.out, {"results": results})


if __name__ == "__main__":
    main()
