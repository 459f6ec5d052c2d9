"""Are residual branches sparse? Shares of activations, of branch outputs and of branch weights that are near zero.

    python examples/sparsity.py --data cifar-10-batches-bin --out docs/results/sparsity.json

For each block of a trained network, and of the same network untrained (batch norms calibrated; three seeds): the share of zeros
after the block's last ReLU; the share of the branch's outputs below a tenth of the root mean square of the skip; the size of the
branch over that of the skip; the share of its convolutions' weights below a tenth of their standard deviation at initialization;
and the mean absolute scale (gamma) of its last norm, which alone sets the size of the branch. Bootstrap intervals over images.
Writes after each network, and leaves out those that OUT already has.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from outputs import check_settings, output_path, write_json
from torch import Tensor, nn
from untrained import untrained

import resnetlib
from resnetlib.analysis import blocks_of, bootstrap_interval
from resnetlib.data import cifar10

Batches = list[tuple[Tensor, Tensor]]


def median(rows: Tensor) -> Tensor:
    return rows.mean(0).quantile(0.5)


@torch.no_grad()
def measure(net: resnetlib.Backbone, batches: Batches) -> dict[str, Any]:
    rows: dict[str, dict[str, list[Tensor]]] = {name: {"zeros": [], "small": [], "ratio": []} for name in blocks_of(net)}
    hooks = []

    def meet(name: str, skip: Tensor, branch: Tensor) -> None:
        if skip.shape == branch.shape:
            rms = skip.square().mean((1, 2, 3), keepdim=True).sqrt()
            rows[name]["small"].append(100 * (branch.abs() < 0.1 * rms).double().mean((1, 2, 3)))
            rows[name]["ratio"].append((branch.flatten(1).norm(dim=1) / skip.flatten(1).norm(dim=1)).double())

    def leave(name: str, y: Tensor) -> None:
        rows[name]["zeros"].append(100 * (y == 0).double().mean((1, 2, 3)))

    for name, block in blocks_of(net).items():
        hooks.append(block.join.register_forward_pre_hook(lambda _, pair, name=name: meet(name, *pair)))
        hooks.append(block.register_forward_hook(lambda _, __, y, name=name: leave(name, y)))
    for x, _ in batches:
        net(x)
    for hook in hooks:
        hook.remove()
    results: dict[str, Any] = {"blocks": list(rows)}
    for key in ("zeros", "small", "ratio"):
        found = torch.stack([torch.cat(each[key]) for each in rows.values() if each[key]], 1)  # (images, blocks)
        results[key], results[f"{key}_interval"] = found.mean(0).tolist(), bootstrap_interval(found).mT.tolist()
        results[f"{key}_median"], interval = float(median(found)), bootstrap_interval(found, median)
        results[f"{key}_median_interval"] = interval.tolist()
    small, gammas, l1, l2 = [], [], 0.0, 0.0
    for block in blocks_of(net).values():
        convs = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
        starts = [(2 / (conv.out_channels * conv.kernel_size[0] * conv.kernel_size[1])) ** 0.5 for conv in convs]
        flags = [(conv.weight.abs() < 0.1 * start).flatten() for conv, start in zip(convs, starts, strict=True)]
        small.append(100 * float(torch.cat(flags).double().mean()))
        gammas.append(float(block.get_parameter("bn2.weight").abs().mean()))
        l1 += sum(float(conv.weight.abs().sum()) for conv in convs)
        l2 += sum(float(conv.weight.square().sum()) for conv in convs)
    return results | {"small_weights": small, "gamma": gammas, "l1": l1, "l2": l2}


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("networks", nargs="*", metavar="NAME=WEIGHTS", help="the embedded networks by default")
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=1000)
    cli.add_argument("--seeds", type=int, default=3, help="untrained networks of each kind")
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    results: dict[str, Any] = json.loads(args.out.read_text())["results"] if args.out.exists() else {}
    pairs = args.networks or [f"{name}20=cifar_{name}20.resnetlib_c10" for name in ("plain", "resnet")]
    for name, weights in (pair.split("=", 1) for pair in pairs):
        if name in results:
            old = results[name] | {"seeds": len(results[name]["untrained"])}
            check_settings(args.out, old, {"images": args.images, "seeds": args.seeds})
            continue
        net = resnetlib.create_model(weights).eval()
        batches = cifar10(args.data, "test").first(args.images).batches(resnetlib.transform_for(net))
        found = {"images": args.images, "trained": measure(net, batches)}
        results[name] = found | {"untrained": [measure(fresh, batches[:2]) for fresh in untrained(net, batches[:1], args.seeds)]}
        for key in ("zeros_median", "small_median", "ratio_median"):
            print(name, key, results[name]["trained"][key], [each[key] for each in results[name]["untrained"]], flush=True)
        write_json(args.out, {"results": results})


if __name__ == "__main__":
    main()
