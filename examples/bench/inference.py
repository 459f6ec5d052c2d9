"""Images per second in inference beside torchvision and timm: eager, optimized and in ONNX runtimes, taking turns in one process.

    python examples/bench/inference.py --out docs/results/inference.json

Quotes medians, and the speed over that of the first row of the same dtype and layout (of fp32, channels-last for the runtimes) in
the same round. bf16 is measured only where the processor has it. Memory is the peak of a call beyond the weights, on a GPU.
"""

import argparse
import copy
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor

import resnetlib

MODELS = ["resnet50", "densenet121", "resnet18", "preact_resnet50", "cifar_resnet56", "cifar_plain56"]
TIMM = {"preact_resnet50": "resnetv2_50"}
LAYOUTS = {"channels-last": torch.channels_last, "NCHW": torch.contiguous_format}
Calls = dict[str, Callable[[], Any]]


def versions() -> dict[str, str]:
    found = {}
    for name in ("resnetlib", "torch", "torchvision", "timm", "onnxruntime", "openvino"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def contestants(name: str, images: Tensor, dtypes: dict[str, torch.dtype]) -> Calls:
    net, calls = resnetlib.create_model(name).to(images.device).eval(), {}
    nets: dict[str, Any] = {}
    if name in torchvision.models.list_models():
        nets["torchvision"] = torchvision.models.get_model(name, weights=None)
    if timm.is_model(TIMM.get(name, name)):
        nets["timm"] = timm.create_model(TIMM.get(name, name))
    for label, each in (nets | {"resnetlib": net}).items():
        for kind, dtype in dtypes.items():
            for layout, memory_format in LAYOUTS.items():
                eager = copy.deepcopy(each).eval().to(images.device, dtype).to(memory_format=memory_format)
                calls[f"{label}, {kind}, {layout}"] = lambda f=eager, x=images.to(dtype, memory_format=memory_format): f(x)
    for kind, dtype in dtypes.items():
        fast, x = resnetlib.optimize(net, dtype=dtype), images.to(dtype, memory_format=torch.channels_last)
        calls[f"resnetlib, optimized, {kind}, channels-last"] = lambda f=fast, x=x: f(x)
    return calls | (runtimes(net, images) if hasattr(resnetlib, "export") and not images.is_cuda else {})


def runtimes(net: Any, images: Tensor) -> Calls:
    import onnxruntime
    import openvino

    calls: Calls = {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    for kind, how in (("fp32", {}), ("int8", {"int8": True, "calibration": [images]})):
        path = f"{tempfile.mkdtemp()}/{kind}.onnx"
        resnetlib.export(net, path, **how)
        session = onnxruntime.InferenceSession(path, options)
        feed = {session.get_inputs()[0].name: images.numpy()}
        calls[f"ONNX Runtime, {kind}"] = lambda run=session.run, feed=feed: run(None, feed)
        calls[f"OpenVINO, {kind}"] = lambda f=openvino.Core().compile_model(path, "CPU", hints), x=images.numpy(): f(x)
    return calls


def measure(name: str, batch: int, args: argparse.Namespace, dtypes: dict[str, torch.dtype]) -> dict[str, dict[str, float]]:
    size = 32 if "cifar" in name else args.size
    calls = contestants(name, torch.randn(batch, 3, size, size, device=args.device), dtypes)
    times: dict[str, list[float]] = {label: [] for label in calls}
    rows: dict[str, dict[str, float]] = {label: {} for label in calls}
    wait = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    for i in range(args.rounds + 2):  # the first two rounds fill caches
        for label, call in calls.items():
            before = torch.cuda.memory_allocated() if args.device == "cuda" and not torch.cuda.reset_peak_memory_stats() else 0
            wait()
            start = time.perf_counter()
            for _ in range(repeats := 1 if batch > 1 else 5):
                call()
            wait()
            times[label] += [(time.perf_counter() - start) / repeats] * (i > 1)
            rows[label] |= {"peak_mib": (torch.cuda.max_memory_allocated() - before) / 2**20} if args.device == "cuda" else {}
    for label, row in rows.items():
        end = ", ".join(label.replace("optimized, ", "").split(", ")[1:])
        first = next(other for other in calls if other.endswith(end if end.count(",") else "fp32, channels-last"))
        row["images_per_second"] = batch / statistics.median(times[label])
        row["speed_over_first"] = statistics.median(a / b for a, b in zip(times[first], times[label], strict=True))
    return rows


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--models", nargs="+", default=MODELS)
    for option, default in (("batches", [1, 16]), ("cifar-batches", [1, 256])):
        cli.add_argument(f"--{option}", nargs="+", type=int, default=default)
    for option, default in (("size", 224), ("rounds", 9), ("threads", torch.get_num_threads())):
        cli.add_argument(f"--{option}", type=int, default=default)
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument("--out", type=Path)
    args = cli.parse_args()
    torch.set_num_threads(args.threads)
    bf16 = args.device == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    dtypes = {"fp32": torch.float32} | ({"bf16": torch.bfloat16} if bf16 else {})
    results: dict[str, Any] = {}
    with torch.inference_mode():
        for name in args.models:
            for batch in args.cifar_batches if "cifar" in name else args.batches:
                results[f"{name}, batch {batch}"] = measure(name, batch, args, dtypes)
                print(f"{name}, batch {batch}", json.dumps(results[f"{name}, batch {batch}"], indent=2))
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] if cpuinfo.exists() else []
    device = torch.cuda.get_device_name() if args.device == "cuda" else (names or [f"x: {platform.processor()}"])[0].split(": ")[1]
    how = {"device": device, "threads": args.threads, "rounds": args.rounds, "size": args.size, "versions": versions()}
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({"how": how, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
