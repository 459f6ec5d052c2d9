"""Time to a network with its weights, from files on this computer, beside torchvision and timm, taking turns in one process.

    python examples/bench/loading.py --out docs/results/loading.json

The weights are random, written by torchvision. "by name" loads them from a hub cache that is laid out as a download leaves it, and
whose file is verified by its hash. "cold" is the time of a whole process up to the first prediction, or the embedded network.
"""

import argparse
import gc
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

CODE = {
    "resnetlib, by name": "import resnetlib; net = resnetlib.create_model('{name}.tv_in1k')",
    "resnetlib, mapped": "import resnetlib; net = resnetlib.create_model('{name}', weights='{file}.safetensors', mmap=True)",
    "resnetlib": "import resnetlib; net = resnetlib.create_model('{name}', weights='{file}.safetensors')",
    "resnetlib, .pth": "import resnetlib; net = resnetlib.create_model('{name}', weights='{file}.pth')",
    "timm": "import timm; net = timm.create_model('{name}', checkpoint_path='{file}.safetensors')",
    "torchvision, .pth": "import torch, torchvision; net = torchvision.models.get_model('{name}', weights=None); "
    "net.load_state_dict(torch.load('{file}.pth', weights_only=True))",
}
EMBEDDED = {
    "resnetlib": "import resnetlib; resnetlib.create_model('cifar_resnet20.resnetlib_c10')",
    "timm, random weights": "import timm; timm.create_model('resnet18')",
    "torch alone": "import torch",
}
PREDICT = "; import torch; torch.inference_mode().__enter__(); net.eval()(torch.zeros(1, 3, 224, 224)).argmax().item()"


def prepare(name: str, folder: Path) -> None:
    """Write random weights as .pth, as safetensors, and into the hub's cache."""
    import safetensors.torch
    import torch
    import torchvision

    state = torchvision.models.get_model(name, weights=None).state_dict()
    torch.save(state, folder / f"{name}.pth")
    safetensors.torch.save_file(state, folder / f"{name}.safetensors")
    content, commit = (folder / f"{name}.safetensors").read_bytes(), "0" * 40
    repo = folder / "hub" / f"models--timm--{name}.tv_in1k"
    blob, link, ref = repo / "blobs" / hashlib.sha256(content).hexdigest(), repo / "snapshots" / commit, repo / "refs"
    for path in (blob.parent, link, ref):
        path.mkdir(parents=True)
    blob.write_bytes(content)
    (link / "model.safetensors").symlink_to(blob)
    (ref / "main").write_text(commit)


def warm(code: str) -> float:
    gc.collect()  # or one of the calls would pay for what the others left
    start = time.perf_counter()
    exec(code, {})  # noqa: S102 - the lines above
    return time.perf_counter() - start


def cold(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
    return time.perf_counter() - start


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--models", nargs="+", default=["resnet50", "resnet152", "densenet201"])
    cli.add_argument("--rounds", type=int, default=9)
    cli.add_argument("--out", type=Path)
    args = cli.parse_args()
    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HF_HUB_CACHE": f"{folder}/hub", "RESNETLIB_CACHE": f"{folder}/own", "HF_HUB_OFFLINE": "1"}
        for name in args.models:
            prepare(name, Path(folder))
            codes = {label: code.format(name=name, file=f"{folder}/{name}") for label, code in CODE.items()}
            times: dict[str, dict[str, list[float]]] = {label: {"warm": [], "cold": []} for label in codes}
            for _ in range(args.rounds + 1):  # the first round fills the caches
                for label, code in codes.items():
                    times[label]["warm"].append(warm(code))
            for _ in range(max(2, args.rounds // 3)):
                for label, code in codes.items():
                    times[label]["cold"].append(cold(code + PREDICT))
            results[name] = {label: {kind: median(s[1:]) for kind, s in kinds.items()} for label, kinds in times.items()}
            print(name, json.dumps(results[name], indent=2))
    rounds = [{label: cold(code) for label, code in EMBEDDED.items()} for _ in range(max(2, args.rounds // 3))][1:]
    results["embedded"] = {label: {"cold": median(turn[label] for turn in rounds)} for label in EMBEDDED}
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        how = "median seconds; cold: of a process up to its first prediction"
        args.out.write_text(json.dumps({"how": how, "rounds": args.rounds, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
