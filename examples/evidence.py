"""Run all analyses on several trained networks. examples/lecture.py draws the results.

    python examples/evidence.py --data cifar-10-batches-bin --out docs/results/why \\
        plain56=runs/plain56/ resnet56=runs/resnet56/ resnet20=cifar_resnet20.resnetlib_c10

Writes OUT/NAME/ANALYSIS.json for each network, unless it exists. Errors are of test images, and may be computed in bf16; everything
else is of training images.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import resnetlib
from resnetlib import analysis
from resnetlib.analysis import AnalysisResult
from resnetlib.data import cifar10

Batches = list[tuple[Tensor, Tensor]]

COUNTS = (1, 2, 3, 5, 7, 10, 15, 20)
ANALYSES: dict[str, tuple[str, Callable[[resnetlib.Backbone, Batches], AnalysisResult]]] = {
    "residual_decomposition": ("train", analysis.residual_decomposition),
    "gradient_decomposition": ("train", analysis.gradient_decomposition),
    "gradient_flow": ("train", analysis.gradient_flow),
    "response_std": ("train", analysis.response_std),
    "branch_ratio": ("train", analysis.branch_ratio),
    "autocorrelation": ("train", lambda net, batches: analysis.gradient_autocorrelation(net, batches[0][0][:8])),
    "effective_rank": ("train", lambda net, batches: analysis.effective_rank(net, batches, unit_rows=True)),
    "paths": ("train", lambda net, batches: analysis.path_gradients(net, batches[:1], draws=1)),
    "lesion": ("test", analysis.lesion),
    "lesion_many": ("test", lambda net, batches: analysis.lesion_many(net, batches, fitting(net, COUNTS), draws=4)),
    "reorder": ("test", lambda net, batches: analysis.reorder(net, batches, (1, 2, 4, 8, 16), draws=4)),
    "survival": ("test", lambda net, batches: analysis.block_survival(net, batches, (1.0, 0.5, 0.0))),
    "input_noise": ("test", analysis.input_noise),
    "weight_noise": ("test", analysis.weight_noise),
    "branch_noise": ("test", lambda net, batches: analysis.branch_noise(net, batches, (1.0,))),
}
"""Name -> the set of images, and the function."""


def fitting(net: resnetlib.Backbone, counts: tuple[int, ...]) -> list[int]:
    return [count for count in counts if count <= len(list(net.blocks()))]


def read(net: resnetlib.Backbone, folder: Path, split: str, images: int) -> Batches:
    data = cifar10(folder, "train" if split == "train" else "test")
    return data.first(images).batches(resnetlib.transform_for(net))


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("networks", nargs="+", metavar="NAME=WEIGHTS", help="what to call it, and what create_model takes")
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--images", type=int, default=1000)
    cli.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of the errors")
    cli.add_argument("--only", nargs="+", choices=ANALYSES, default=list(ANALYSES))
    cli.add_argument("--out", type=Path, required=True, help="the folder to write to")
    args = cli.parse_args()
    for pair in args.networks:
        name, _, weights = pair.partition("=")
        net = resnetlib.create_model(weights).to("cuda" if torch.cuda.is_available() else "cpu")
        (args.out / name).mkdir(parents=True, exist_ok=True)
        for analysis_name in args.only:
            split, analyze = ANALYSES[analysis_name]
            path = args.out / name / f"{analysis_name}.json"
            if path.exists():
                print(f"{name}: {analysis_name} is in {path} already")
                continue
            try:
                fast = split == "test" and args.precision == "bf16"
                with torch.autocast(next(net.parameters()).device.type, torch.bfloat16, enabled=fast):
                    analyze(net, read(net, args.data, split, args.images)).save(path)
                print(f"{name}: {analysis_name}")
            except ValueError as error:  # such as a network without blocks that can be swapped
                print(f"{name}: no {analysis_name}: {error}")


if __name__ == "__main__":
    main()
