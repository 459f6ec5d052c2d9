"""Images per second of every network that has pretrained weights, at the weights' own size: the column of the manual's tables.

    python examples/bench/weights.py --out docs/results/speeds.json

Optimized copies (`resnetlib.optimize`) classify a batch of noise in float32; medians are quoted. Weights are not needed.
"""

import argparse
import json
import re
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import resnetlib
from resnetlib.weights import describe, list_pretrained


@torch.inference_mode()
def images_per_second(name: str, size: int, batch: int, rounds: int) -> float:
    fast, x, times = resnetlib.optimize(resnetlib.create_model(name)), torch.randn(batch, 3, size, size), []
    for _ in range(rounds + 1):  # the first round fills the caches
        start = time.perf_counter()
        fast(x)
        times.append(time.perf_counter() - start)
    return batch / statistics.median(times[1:])


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in {"batch": 8, "rounds": 5}.items():
        cli.add_argument(f"--{option}", type=int, default=default)
    cli.add_argument("--names", nargs="+", default=list_pretrained(), help="weights, as `resnetlib weights list` names them")
    cli.add_argument("--out", type=Path, required=True)
    args = cli.parse_args()
    sizes = sorted({(cfg.name, cfg.preprocess.size) for cfg in map(describe, args.names) if cfg.preprocess})
    results = {f"{name}, {size}": images_per_second(name, size, args.batch, args.rounds) for name, size in tqdm(sizes)}
    cpu = re.findall("model name.*: (.*)", Path("/proc/cpuinfo").read_text())[:1]
    how: dict[str, Any] = {"batch": args.batch, "rounds": args.rounds, "cpu": cpu, "threads": torch.get_num_threads()}
    how |= {"capability": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}
    args.out.write_text(json.dumps({"how": how, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
