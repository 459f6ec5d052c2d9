"""The loss around trained networks: three random planes, the curvature along the training, and the path that it took.

    python examples/surfaces.py plain20=runs/plain20 resnet20=runs/resnet20 \\
        --data cifar-10-batches-bin --out docs/results/surfaces.json

Each PATH is the folder of a training that kept its checkpoints (`resnetlib train --keep 100`). The loss is that of training images
without augmentation. Planes are filter-normalized (arXiv 1712.09913, sec. 4), with statistics recalibrated at each point, so that
they show the weights and not statistics that fit no longer; the first one is computed with the network's running statistics too.
The extreme eigenvalues of the Hessian are those at every --step-th checkpoint, with its running statistics. Writes after each
network, and goes on after an interruption.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from outputs import check_settings, output_path, write_json
from torch import Tensor

import resnetlib
from resnetlib.analysis import hessian_map, landscape, trajectory
from resnetlib.data import LabeledImages, cifar10

State = dict[str, Tensor]


def checkpoints_of(run: Path) -> dict[int, State]:
    """Return the iterations of the checkpoints, and the networks' states."""
    files = sorted((run / "checkpoints").glob("*.pt"))
    return {int(file.name.split("-")[0]): torch.load(file, weights_only=True)["net"] for file in files}


def measure(run: Path, train: LabeledImages, args: argparse.Namespace) -> dict[str, Any]:
    net = resnetlib.create_model(run).eval()
    transform = resnetlib.transform_for(net)
    batches, few = (train.first(count).batches(transform) for count in (args.images, args.hessian))
    planes = [
        landscape(net, batches, points=args.points, seed=seed, batch_norm="recalibrated", precision=args.precision)
        for seed in range(args.planes)
    ]
    running = landscape(net, batches, points=args.points, precision=args.precision)
    states = checkpoints_of(run)
    path = trajectory(net, list(states.values())[:-1])  # the last one is the network
    curvature = []
    for iteration in list(states)[:: -args.step][::-1]:
        other = resnetlib.create_model(run).eval()
        other.load_state_dict(states[iteration])
        found = hessian_map(other, few, points=1)
        curvature.append({"iteration": iteration, "largest": float(found.largest), "smallest": float(found.smallest)})
        print(f"  {curvature[-1]}", flush=True)
    assert path.explained is not None  # noqa: S101 - the axes are principal components
    return {
        "loss": planes[0].loss_at_center,
        "error": 100 - planes[0].accuracy_at_center,
        "x": planes[0].x.tolist(),
        "planes": [plane.loss.tolist() for plane in planes],
        "running": running.loss.tolist(),
        "curvature": curvature,
        "path": {
            "iterations": list(states),
            "coordinates": path.coordinates.tolist(),
            "explained": path.explained.tolist(),
            "outside": path.outside.tolist(),
        },
    }


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("networks", nargs="+", metavar="NAME=PATH")
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=1000, help="training images")
    cli.add_argument("--points", type=int, default=21, help="along each axis, from -1 to 1")
    cli.add_argument("--planes", type=int, default=3)
    cli.add_argument("--hessian", type=int, default=250, help="training images of the Hessian")
    cli.add_argument("--step", type=int, default=4, help="take every checkpoint, every second one, ..., back from the last")
    cli.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of the planes")
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    about = {name: getattr(args, name) for name in ("images", "points", "planes", "hessian", "step", "precision")}
    old: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {**about, "results": {}}
    check_settings(args.out, old, about)
    results = old["results"]
    train = cifar10(args.data, "train")
    for name, path in (pair.split("=", 1) for pair in args.networks):
        if name not in results:
            print(name, flush=True)
            results[name] = measure(Path(path), train, args)
            write_json(args.out, {**about, "results": results}, indent=None)


if __name__ == "__main__":
    main()
