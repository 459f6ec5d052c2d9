"""What importing costs: resnetlib over torch alone, beside torchvision and timm, each in fresh processes, taking turns.

python examples/bench/import_time.py --out docs/results/import_time.json
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

CODE = {
    "torch": "import torch",
    "torch, resnetlib": "import torch; import resnetlib",
    "torch, resnetlib, and a network": "import torch; import resnetlib; resnetlib.create_model('cifar_resnet20')",
    "torch, torchvision": "import torch; import torchvision",
    "torch, timm": "import torch; import timm",
}
TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def seconds(code: str) -> float:
    command = [sys.executable, "-c", TIMED.format(code)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--rounds", type=int, default=9)
    cli.add_argument("--out", type=Path)
    args = cli.parse_args()
    times: dict[str, list[float]] = {label: [] for label in CODE}
    for _ in range(args.rounds + 1):  # the first round fills the caches
        for label, code in CODE.items():
            times[label].append(seconds(code))
    alone = times["torch"][1:]
    report = {
        label: {
            "seconds": statistics.median(runs[1:]),
            "over_torch": statistics.median(a - b for a, b in zip(runs[1:], alone, strict=True)),
        }
        for label, runs in times.items()
    }
    text = json.dumps({"rounds": args.rounds, "results": report}, indent=2)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
