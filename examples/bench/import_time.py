"""What importing costs where torch is imported already: beside torchvision and timm, in fresh processes that take turns.

python examples/bench/import_time.py --out docs/results/import_time.json
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

CODE = {
    "resnetlib": "import resnetlib",
    "resnetlib, and a network": "import resnetlib; resnetlib.create_model('cifar_resnet20')",
    "torchvision": "import torchvision",
    "timm": "import timm",
}
TIMED = "import time, torch; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


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
    report = {label: {"seconds": statistics.median(runs[1:]), "most": max(runs[1:])} for label, runs in times.items()}
    text = json.dumps({"rounds": args.rounds, "results": report}, indent=2)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
