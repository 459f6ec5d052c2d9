"""Do deeper plain networks train worse, and deeper residual networks better? Collect a grid of trainings, and draw the answer.

    resnetlib train --grid models=cifar_plain20,cifar_plain56,cifar_resnet20,cifar_resnet56 seeds=0,1,2 --data ... --out runs
    python examples/degradation.py --runs runs --out docs/results/degradation

Writes OUT.json, and draws from it alone OUT.png (fig. 4 and 6 of arXiv 1512.03385: training thin, test bold), OUT-depth.png and
OUT-speed.png. Errors are of the last iteration's weights; the training's are evaluated like the test's.
"""

import argparse
import json
import re
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

KINDS = {"cifar_plain": "plain", "cifar_resnet": "residual"}
COLOURS = {20: "tab:orange", 32: "tab:cyan", 44: "tab:green", 56: "tab:red", 110: "black"}
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
    sorted_runs: Runs = defaultdict(list)
    for name, run in runs.items():
        if found := re.match(r"([a-z_]+)(\d+)-seed", name):
            sorted_runs[KINDS[found[1]], int(found[2])].append(run)
    return dict(sorted(sorted_runs.items()))


def draw_training(runs: Runs, axes: list[Axes]) -> None:
    for panel, kind in zip(axes, KINDS.values(), strict=True):
        for (_, depth), same in ((key, same) for key, same in runs.items() if key[0] == kind):
            for i, run in enumerate(same):
                x = [record["iteration"] for record in run["log"]]
                for key, width in (("train_error", 0.8), ("test_error", 2.0)):
                    label = f"{kind}-{depth}" if width == 2.0 and i == 0 else None
                    panel.plot(x, [r[key] for r in run["log"]], linewidth=width, color=COLOURS[depth], alpha=0.7, label=label)
        panel.set(title=kind, xlabel="iterations", ylabel="error (%), training thin, test bold", ylim=(0, 80))
        panel.legend()


def draw_depth(runs: Runs, axes: list[Axes]) -> None:
    for panel, key in zip(axes, ("train_error", "test_error"), strict=True):
        for kind, style in (("plain", "o--"), ("residual", "s-")):
            depths = sorted(depth for name, depth in runs if name == kind)
            means = [statistics.mean(run[key] for run in runs[kind, depth]) for depth in depths]
            panel.plot(depths, means, style, label=kind)
            for depth in depths:
                panel.plot([depth] * len(runs[kind, depth]), [run[key] for run in runs[kind, depth]], "k_", alpha=0.6)
        panel.set(title=key.replace("_", " "), xlabel="layers", ylabel="%; a dash for each seed", ylim=(0, None))
        panel.legend()


def draw_speed(runs: Runs, axes: list[Axes]) -> None:
    levels = range(70, 5, -5)
    for (kind, depth), same in runs.items():
        reached = [[[r["iteration"] for r in run["log"] if r["error"] <= level] for run in same] for level in levels]
        points = [(level, statistics.median(map(min, its))) for level, its in zip(levels, reached, strict=True) if all(its)]
        style = "--" if kind == "plain" else "-"
        axes[0].plot([i for _, i in points], [e for e, _ in points], style, color=COLOURS[depth], label=f"{kind}-{depth}")
    axes[0].set(xlabel="iterations until first reached (median of seeds)", ylabel="training error under augmentation (%)")
    axes[0].legend()


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--runs", type=Path, help="the grid's folder; without it, OUT.json is drawn again")
    cli.add_argument("--out", type=Path, required=True, help="where to write, without an ending")
    args = cli.parse_args()
    data = collect(args.runs) if args.runs else json.loads(args.out.with_suffix(".json").read_text())
    args.out.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
    runs = by_network(data["runs"])
    for draw, panels, ending in ((draw_training, 2, ""), (draw_depth, 2, "-depth"), (draw_speed, 1, "-speed")):
        figure = Figure(figsize=(5.5 * panels, 4.2), layout="constrained")
        draw(runs, list(figure.subplots(1, panels, squeeze=False)[0]))
        figure.savefig(args.out.with_name(args.out.name + ending + ".png"), dpi=110)
    for (kind, depth), same in runs.items():
        errors = ([run[key] for run in same] for key in ("train_error", "test_error"))
        train, test = (f"{statistics.mean(e):.2f} ({min(e):.2f} to {max(e):.2f})" for e in errors)
        print(f"{kind}-{depth}: training error {train} %, test error {test} %, {len(same)} seeds")


if __name__ == "__main__":
    main()
