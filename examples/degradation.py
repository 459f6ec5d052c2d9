"""Do deeper plain networks train worse, and deeper residual networks better? Collect a grid of trainings, and draw the answer.

    resnetlib train --grid models=cifar_plain20,cifar_plain56,cifar_resnet20,cifar_resnet56 seeds=0,1,2 --data ... --out runs
    python examples/degradation.py --runs runs --out docs/results/degradation

Writes OUT.json, and draws from it alone OUT.png (fig. 4 and 6 of arXiv 1512.03385, fewest and most layers) and OUT-depth.png.
Errors are of the last iteration's weights; the training's are evaluated like the test's.
"""

import argparse
import json
import re
import statistics
from pathlib import Path
from typing import Any

from lecture_figures import band, spread
from matplotlib import rc_context
from matplotlib.axes import Axes
from outputs import output_path, with_ending, write_json

from resnetlib.analysis.style import RC, new_figure

KINDS = {"plain": "plain", "resnet": "residual"}
TITLES = {"train_error": "training error", "test_error": "test error"}
LABEL = "error (%), mean and range of the seeds"
Runs = dict[tuple[str, int], list[dict[str, Any]]]


def collect(folder: Path) -> dict[str, Any]:
    runs = {}
    for result in sorted(folder.glob("*/result.json")):
        about = json.loads((result.parent / "run.json").read_text())
        log = [*map(json.loads, (result.parent / "log.jsonl").read_text().splitlines())]
        kept = {key: about[key] for key in ("network", "recipe", "seed", "images", "sessions")}
        for session in kept["sessions"]:  # whose folders were another computer's
            session["command"] = [re.sub(r"^/.*/", "", word) for word in session["command"]]
        runs[result.parent.name] = kept | json.loads(result.read_text()) | {"log": log}
    return {"runs": runs}


def by_network(runs: dict[str, Any]) -> Runs:
    found: Runs = {}
    for name, run in sorted(runs.items()):
        if match := re.match(r"cifar_(plain|resnet)(\d+)-seed", name):
            found.setdefault((match[1], int(match[2])), []).append(run)
    return found


def draw_training(runs: Runs, axes: list[Axes]) -> None:
    for panel, key in zip(axes, ("train_error", "test_error"), strict=True):
        for kind in KINDS:
            depths = [depth for name, depth in runs if name == kind]
            for depth in sorted({min(depths), max(depths)}) if depths else ():
                records = list(zip(*(run["log"] for run in runs[kind, depth]), strict=False))  # early stopping: to the shortest
                columns = [[one[key] for one in same] for same in records]
                band(panel, [same[0]["iteration"] for same in records], columns, f"{kind}{depth}", marker="")
        panel.set(title=TITLES[key], xlabel="iterations", ylim=(0, 100))
    axes[0].set_ylabel(LABEL)
    axes[0].legend(ncols=2)


def draw_depth(runs: Runs, axes: list[Axes]) -> None:
    for panel, key in zip(axes, ("train_error", "test_error"), strict=True):
        for kind, label in KINDS.items():
            depths = sorted(depth for name, depth in runs if name == kind)
            spread(panel, depths, [[run[key] for run in runs[kind, depth]] for depth in depths], f"{kind}44", label=label)
        panel.set(title=TITLES[key], xlabel="layers", ylim=(0, None))
    axes[0].set_ylabel(LABEL)
    axes[0].legend()


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--runs", type=Path, help="the grid's folder; without it, OUT.json is drawn again")
    cli.add_argument("--out", type=output_path, required=True, help="where to write, without an ending")
    cli.add_argument("--no-figures", action="store_true", help="write the JSON alone")
    args = cli.parse_args()
    data = collect(args.runs) if args.runs else json.loads(with_ending(args.out, ".json").read_text())
    write_json(with_ending(args.out, ".json"), data)
    runs = by_network(data["runs"])
    for draw, ending in () if args.no_figures else ((draw_training, ""), (draw_depth, "-depth")):
        figure, axes = new_figure(2, height=4, sharey=True)
        with rc_context(RC):
            draw(runs, axes)
        figure.savefig(args.out.with_name(args.out.name + ending + ".png"), dpi=110)
    for (kind, depth), same in runs.items():
        errors = ([run[key] for run in same] for key in ("train_error", "test_error"))
        train, test = (f"{statistics.mean(e):.2f} ({min(e):.2f} to {max(e):.2f})" for e in errors)
        print(f"{KINDS[kind]}-{depth}: training error {train} %, test error {test} %, {len(same)} seeds")


if __name__ == "__main__":
    main()
