"""Accuracy and size of exported networks in fp32 and int8, on CIFAR-10's test images. `resnetlib bench` measures their speed.

    python examples/bench/int8.py --data cifar-10-batches-bin --out docs/results/int8.json
    python examples/bench/int8.py --data cifar-10-batches-bin cifar_resnet56=resnet56.th --normalize imagenet

A network is one with weights in the package, or NAME=FILE. Int8 is calibrated on the first 512 training images.
"""

import argparse
import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

import resnetlib
from resnetlib.data import cifar10
from resnetlib.deploy import OnnxModel
from resnetlib.deploy.onnx_model import Runtime
from resnetlib.weights import Preprocessing

RUNTIMES: tuple[Runtime, ...] = ("onnxruntime", "openvino")


def measure(network: str, data: Path, normalize: str, images: int) -> dict[str, dict[str, float]]:
    name, _, file = network.partition("=")
    net = resnetlib.create_model(name, weights=file or None).eval()
    net.preprocess = net.preprocess or Preprocessing.named("imagenet" if normalize == "imagenet" else "cifar10", resize=32, size=32)
    test, calibration = cifar10(data, "test").first(images), net.preprocess(cifar10(data, "train").images[:512])
    batches = list(zip(net.preprocess(test.images).split(250), test.labels.split(250), strict=True))
    size = 4 * sum(tensor.numel() for tensor in net.state_dict().values())
    rows = {"torch": {"top1": resnetlib.evaluate(net, batches).top1, "mib": size / 2**20}}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("fp32", "int8"):
            int8 = kind == "int8"
            path = f"{folder}/{kind}.onnx"
            report = resnetlib.export(net, path, int8=int8, calibration=[calibration] if int8 else None)
            for runtime in RUNTIMES:
                top1 = resnetlib.evaluate(OnnxModel(path, runtime=runtime), batches).top1
                rows[f"{runtime} {kind}"] = {"top1": top1, "mib": report.bytes / 2**20}
    return rows


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("networks", nargs="*", default=["cifar_resnet20.resnetlib_c10", "cifar_plain20.resnetlib_c10"])
    cli.add_argument("--data", type=Path, required=True)
    cli.add_argument("--normalize", default="cifar10", choices=["cifar10", "imagenet"])
    cli.add_argument("--images", type=int, default=10_000)
    cli.add_argument("--out", type=Path)
    args = cli.parse_args()
    results = {network.rpartition("/")[2]: measure(network, args.data, args.normalize, args.images) for network in args.networks}
    for network, rows in results.items():
        print(f"{network:32} {'top-1':>7} {'MiB':>6}")
        for label, row in rows.items():
            print(f"{label:32} {row['top1']:7.2f} {row['mib']:6.2f}")
    if args.out:
        versions = {name: version(name) for name in ("torch", "onnx", "onnxruntime", "openvino")}
        about = {"images": args.images, "capability": torch.backends.cpu.get_cpu_capability(), "versions": versions}
        args.out.write_text(json.dumps({"about": about, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
