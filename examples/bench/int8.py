"""Exported networks in fp32 and int8: accuracy on CIFAR-10's test images, size, speed and cold start, beside PyTorch.

    python examples/bench/int8.py --data cifar-10-batches-bin --out docs/results/int8.json
    python examples/bench/int8.py --data cifar-10-batches-bin cifar_resnet56=resnet56.th --normalize imagenet

A network is one with weights in the package, or NAME=FILE. Int8 is calibrated on the first 512 training images. Speeds are medians,
all in turns in one process. "cold" is the time of a whole process up to the first prediction.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import resnetlib
from resnetlib.data import LabelledImages, cifar10
from resnetlib.deploy import OnnxModel
from resnetlib.deploy.onnx_model import Runtime
from resnetlib.weights import Preprocessing

Run = Callable[[Tensor], Any]

RUNTIMES: tuple[Runtime, ...] = ("onnxruntime", "openvino")

COLD = {
    "torch": "import torch, resnetlib; net = resnetlib.create_model({name!r}, {weights!r} is None, weights={weights!r}).eval(); "
    "net(torch.zeros(1, 3, 32, 32))",
    "onnx": "import numpy as np; from resnetlib.deploy import OnnxModel; "
    "OnnxModel({file!r}, runtime={runtime!r})(np.zeros((1, 3, 32, 32), np.float32))",
}


def cold(code: str, rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def in_runtime(model: OnnxModel) -> Run:
    return lambda x: model(x.numpy())


def top1(run: Run, x: Tensor, labels: Tensor) -> float:
    guesses = torch.cat([torch.as_tensor(run(part)).argmax(1) for part in x.split(250)])
    return 100 * float((guesses == labels).double().mean())


def measure(
    name: str, weights: str | None, test: LabelledImages, train: LabelledImages, args: argparse.Namespace, folder: str
) -> dict[str, Any]:
    net = resnetlib.create_model(name, weights is None, weights=weights).eval()
    net.preprocess = net.preprocess or Preprocessing.named(args.normalize, resize=32, size=32)
    files = {kind: f"{folder}/{kind}.onnx" for kind in ("fp32", "int8")}
    resnetlib.export(net, files["fp32"])
    resnetlib.export(net, files["int8"], int8=True, calibration=[net.preprocess(train.images[:512])])
    runs: dict[str, Run] = {"torch": net}
    codes = {"torch": COLD["torch"].format(name=name, weights=weights)}
    sizes = {"torch": 4 * sum(tensor.numel() for tensor in net.state_dict().values())}
    for kind, file in files.items():
        for runtime in RUNTIMES:
            runs[f"{runtime} {kind}"] = in_runtime(OnnxModel(file, runtime=runtime))
            codes[f"{runtime} {kind}"] = COLD["onnx"].format(file=file, runtime=runtime)
            sizes[f"{runtime} {kind}"] = Path(file).stat().st_size
    x, labels = net.preprocess(test.images[: args.images]), test.labels[: args.images]
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(args.rounds):
        for label, run in runs.items():
            start = time.perf_counter()
            for part in x[:64].split(16):
                run(part)
            seconds[label].append(time.perf_counter() - start)
    return {
        label: {
            "top1": top1(run, x, labels),
            "mib": sizes[label] / 2**20,
            "images_per_second": 64 / statistics.median(seconds[label]),
            "cold_seconds": cold(codes[label], args.cold),
        }
        for label, run in runs.items()
    }


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("networks", nargs="*", default=["cifar_resnet20.resnetlib_c10", "cifar_plain20.resnetlib_c10"])
    cli.add_argument("--data", type=Path, required=True)
    cli.add_argument("--normalize", default="cifar10")
    cli.add_argument("--images", type=int, default=10_000)
    cli.add_argument("--rounds", type=int, default=15)
    cli.add_argument("--cold", type=int, default=5)
    cli.add_argument("--out", type=Path)
    args = cli.parse_args()
    torch.set_grad_enabled(False)
    test, train = cifar10(args.data, "test"), cifar10(args.data, "train")
    results = {}
    for network in args.networks:
        name, _, file = network.partition("=")
        with tempfile.TemporaryDirectory() as folder:
            results[network.rpartition("/")[2]] = rows = measure(name, file or None, test, train, args, folder)
        print(f"{name:32} {'top-1':>7} {'MiB':>6} {'images/s':>9} {'cold, s':>8}")
        for label, row in rows.items():
            print(f"{label:32} {row['top1']:7.2f} {row['mib']:6.2f} {row['images_per_second']:9.0f} {row['cold_seconds']:8.2f}")
    if args.out:
        packages = {name: version(name) for name in ("torch", "onnx", "onnxruntime", "openvino", "numpy")}
        about = {"images": args.images, "batch": 16, "cpu": platform.processor() or platform.machine(), "versions": packages}
        about["cores"], about["capability"] = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({"about": about, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
