"""From a finished training to a file in the package: in fp16, measured as it is stored.

    python examples/embed_weights.py runs/cifar_resnet20-seed=0 --data cifar-10-batches-bin --tag resnetlib_c10 --out embedded

It prints the line that belongs into resnetlib/weights/catalog/__init__.py, and refuses weights to which fp16 costs more than
0.02 % of the test images.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

import resnetlib
from resnetlib.data import cifar10
from resnetlib.weights import write_weights


def batches(net: resnetlib.Backbone, folder: Path, split: Literal["train", "test"], images: int) -> Iterator[tuple[Tensor, Tensor]]:
    data = cifar10(folder, split)
    chosen = slice(images if split == "train" else None)
    for x, labels in zip(tqdm(data.images[chosen].split(500), desc=split), data.labels[chosen].split(500), strict=True):
        yield resnetlib.transform_for(net)(x), labels


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("run", type=Path, help="the folder of a finished training on CIFAR-10")
    cli.add_argument("--data", type=Path, required=True, help="cifar-10-batches-bin or cifar-10-batches-py")
    cli.add_argument("--tag", required=True, help="what to call the weights")
    cli.add_argument("--out", type=Path, required=True, help="the folder to write into")
    cli.add_argument("--cost", type=float, default=0.02, help="how many percent of the test images fp16 may cost")
    cli.add_argument("--license", default="Apache-2.0")
    args = cli.parse_args()
    about = json.loads((args.run / "run.json").read_text())
    net = resnetlib.create_model(f"{args.run}/")
    cfg = net.pretrained_cfg
    assert cfg is not None and cfg.top1 is not None  # noqa: PT018, S101 - `fit` measured it
    net = net.half().float()  # what is measured is what is stored
    with torch.inference_mode():
        test, train = (resnetlib.evaluate(net, batches(net, args.data, split, about["images"])) for split in ("test", "train"))
    cost = cfg.top1 - test.top1
    print(f"test images: {cfg.top1:.2f} % in fp32, {test.top1:.2f} % in fp16; training images: {train.top1:.2f} %")
    if cost > args.cost:
        raise SystemExit(f"fp16 costs {cost:.2f} %, more than {args.cost} %")
    cfg = replace(
        cfg,
        tag=args.tag,
        top1=test.top1,
        top5=test.top5,
        train_top1=train.top1,
        evaluated_on=f"the {test.images:,} test images of CIFAR-10; train_top1: the {train.images:,} training images",
        license=args.license,
        origin=f"resnetlib train, on {about['sessions'][-1]['hardware']}",
    )
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{cfg.full_name}.safetensors"
    write_weights(net, path, cfg, dtype=torch.float16)
    print(f"{path}: {path.stat().st_size:,} bytes")
    print(f'("{cfg.name}", "{cfg.tag}"): "{hashlib.sha256(path.read_bytes()).hexdigest()}",')


if __name__ == "__main__":
    main()
