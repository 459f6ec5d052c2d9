"""Delete each block of trained networks, and give the cost with bootstrap intervals over the images.

    python examples/lesions.py --data cifar-10-batches-bin --out docs/results/lesions.json

For each network and block: the error without the block less the error with it, in points, on the same images; with the running
statistics of the whole network, and with statistics recalibrated on training images, both without the block and with it.
Untrained networks (batch norms calibrated) are the baseline: their error is that of guessing, so the predictions that change are
counted. Writes after each network, and leaves out those that OUT already has.
"""

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from outputs import check_settings, output_path, write_json
from torch import Tensor
from untrained import untrained

import resnetlib
from resnetlib.analysis import blocks_of, bootstrap_interval, recalibrated
from resnetlib.analysis.perturb import from_each_block, scale_branches
from resnetlib.data import cifar10

Batches = list[tuple[Tensor, Tensor]]


@torch.inference_mode()
def measure(net: resnetlib.Backbone, test: Batches, train: Batches) -> dict[str, Any]:
    blocks, labels = blocks_of(net), torch.cat([y for _, y in test])
    results: dict[str, Any] = {"blocks": list(blocks)}
    for statistics, estimated in (("running", nullcontext), ("recalibrated", lambda: recalibrated(net, train))):
        with estimated():
            whole, predictions = torch.cat([net(x).argmax(1) for x, _ in test]), []
            for batches in zip(*(from_each_block(net, blocks, x) for x, _ in test), strict=True):  # block after block
                with scale_branches(blocks, [batches[0][1]], 0), estimated():
                    predictions.append(torch.cat([rest().argmax(1) for _, _, rest in batches]))
        without = torch.stack(predictions, 1)  # (images, blocks)
        wrong = 100 * (whole != labels).double()
        cost = 100 * (without != labels[:, None]).double() - wrong[:, None]
        median = bootstrap_interval(cost, lambda rows: rows.mean(0).quantile(0.5))
        results[statistics] = {
            "error": float(wrong.mean()),
            "cost": cost.mean(0).tolist(),
            "interval": bootstrap_interval(cost).T.tolist(),
            "median": float(cost.mean(0).quantile(0.5)),
            "median_interval": median.tolist(),
            "changed": (100 * (without != whole[:, None]).double().mean(0)).tolist(),
        }
        print(f"  {statistics}: median cost {results[statistics]['median']:.1f} ({median[0]:.1f} to {median[1]:.1f})", flush=True)
    return results


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("networks", nargs="*", metavar="NAME=WEIGHTS", help="the embedded networks by default")
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=10_000, help="test images")
    cli.add_argument("--calibrate", type=int, default=1000, help="training images that statistics are recalibrated on")
    cli.add_argument("--seeds", type=int, default=3, help="untrained networks of each kind")
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    pairs = args.networks or [f"{name}=cifar_{name}.resnetlib_c10" for name in ("plain20", "resnet20", "plain56", "resnet56")]
    results: dict[str, Any] = json.loads(args.out.read_text())["results"] if args.out.exists() else {}
    for name, weights in (pair.split("=", 1) for pair in pairs):
        if name in results:
            old = results[name] | {"seeds": len(results[name]["untrained"])}
            check_settings(args.out, old, {"images": args.images, "calibrate": args.calibrate, "seeds": args.seeds})
            continue
        net = resnetlib.create_model(weights).eval().to(memory_format=torch.channels_last)
        transform = resnetlib.transform_for(net)
        test = cifar10(args.data, "test").first(args.images).batches(transform)
        train = cifar10(args.data, "train").first(args.calibrate).batches(transform)
        some = cifar10(args.data, "test").first(args.calibrate).batches(transform)
        print(name, flush=True)
        found: dict[str, Any] = {"images": args.images, "calibrate": args.calibrate, "trained": measure(net, test, train)}
        results[name] = found | {"untrained": [measure(fresh, some, train) for fresh in untrained(net, train, args.seeds)]}
        write_json(args.out, {"results": results})


if __name__ == "__main__":
    main()
