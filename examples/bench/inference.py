"""Images per second in inference beside torchvision and timm: eager, optimized and in ONNX runtimes, taking turns in one process.

    python examples/bench/inference.py --out docs/results/inference.json

Quotes medians, and the speed over that of the first row of the same dtype and layout (runtimes: of float32, channels-last) in the
same round. bfloat16 is measured where the processor has it, and the peak of memory beyond weights and input on a GPU.
"""

import argparse
import copy
import itertools
import json
import random
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision

import resnetlib

CUDA = torch.cuda.is_available()
DTYPES = [torch.float32, torch.bfloat16][: 1 + (CUDA or torch.ops.mkldnn._is_mkldnn_bf16_supported())]
LAYOUTS = {"channels-last": torch.channels_last, "NCHW": torch.contiguous_format}


def contestants(name: str, images: torch.Tensor, folder: str) -> dict[str, Any]:
    net, nets, calls = resnetlib.create_model(name).to(images.device).eval(), dict[str, Any](), dict[str, Any]()
    if name in torchvision.models.list_models():
        nets["torchvision"] = torchvision.models.get_model(name)
    if timm.is_model(twin := name.replace("preact_resnet", "resnetv2_")):
        nets["timm"] = timm.create_model(twin)
    for dtype, layout in itertools.product(DTYPES, LAYOUTS):
        kind, x = f"{str(dtype)[6:]}, {layout}", images.to(dtype, memory_format=LAYOUTS[layout])
        for label, each in (nets | {"resnetlib": net}).items():
            calls[f"{label}, {kind}"] = partial(copy.deepcopy(each).eval().to(x.device, dtype, memory_format=LAYOUTS[layout]), x)
        if layout == "channels-last":
            calls[f"resnetlib optimized, {kind}"] = partial(resnetlib.optimize(net, dtype=dtype), x)
    return calls | (runtimes(net, f"{folder}/{name}", images) if not CUDA else {})


def runtimes(net: Any, path: str, images: torch.Tensor) -> dict[str, Any]:
    import onnxruntime
    import openvino

    calls, x, precision, core = dict[str, Any](), images.numpy(), {"INFERENCE_PRECISION_HINT": "f32"}, openvino.Core()
    for kind, int8 in (("float32", False), ("int8", True)):
        if not Path(file := f"{path}.{kind}.onnx").exists():
            resnetlib.export(net, file, size=images.shape[-1], int8=int8, calibration=[images] if int8 else None, tolerance=1)
        calls[f"ONNX Runtime {kind}"] = partial(onnxruntime.InferenceSession(file).run, None, {"images": x})
        calls[f"OpenVINO {kind}"] = partial(core.compile_model(file, "CPU", precision), x)
    return calls


@torch.inference_mode()
def measure(name: str, images: torch.Tensor, folder: str, rounds: int) -> dict[str, dict[str, float]]:
    calls = contestants(name, images, folder)
    times, rows = {label: list[float]() for label in calls}, {label: dict[str, float]() for label in calls}
    for i, label in [(i, label) for i in range(-2, rounds) for label in random.sample(list(calls), len(calls))]:
        before = torch.cuda.memory_allocated() if CUDA else 0
        time.sleep(0.1)  # threads of the runtime before wait busily for a while
        start = time.perf_counter()
        calls[label]()
        torch.cuda.synchronize() if CUDA else None
        times[label] += [time.perf_counter() - start] * (i >= 0)  # the first two rounds fill the caches
        rows[label] = {"peak_mib": (torch.cuda.max_memory_allocated() - before) / 2**20} if CUDA else {}
        torch.cuda.reset_peak_memory_stats() if CUDA else None
    for label, row in rows.items():
        first = next(other for other in calls if other.endswith(label.partition(", ")[2] or "float32, channels-last"))
        row["images_per_second"] = len(images) / statistics.median(times[label])
        row["speed_over_first"] = statistics.median(a / b for a, b in zip(times[first], times[label], strict=True))
    return rows


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--models", nargs="+", default=["resnet18", "resnet50", "densenet121", "preact_resnet50", "cifar_resnet56"])
    for option, default in {"size": 224, "rounds": 9, "threads": torch.get_num_threads(), "batch": 16, "cifar-batch": 256}.items():
        cli.add_argument(f"--{option}", type=int, default=default)
    cli.add_argument("--out", type=Path, required=True)
    args, results = cli.parse_args(), dict[str, Any]()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        for name, large in itertools.product(args.models, (False, True)):
            batch, size = (args.cifar_batch, 32) if "cifar" in name else (args.batch, args.size)
            images = torch.randn(batch if large else 1, 3, size, size, device="cuda" if CUDA else "cpu")
            results[f"{name}, batch {len(images)}"] = measure(name, images, folder, args.rounds)
    device = torch.cuda.get_device_name() if CUDA else torch.backends.cpu.get_cpu_capability()
    how: Any = vars(args) | {"out": None, "device": device}
    how |= {module.__name__: module.__version__ for module in (resnetlib, torch, torchvision, timm)}
    args.out.write_text(json.dumps({"how": how, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
