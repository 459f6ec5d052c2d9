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
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from resnetlib.analysis.style import label_of, new_figure, style_of

KINDS = {"plain": "plain", "resnet": "residual"}
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
    for panel, (kind, title) in zip(axes, KINDS.items(), strict=True):
        for (_, depth), same in ((key, same) for key, same in runs.items() if key[0] == kind):
            for i, run in enumerate(same):
                x = [record["iteration"] for record in run["log"]]
                for key, width in (("train_error", 0.8), ("test_error", 2.0)):
                    label = f"{depth} layers" if width == 2.0 and i == 0 else None
                    look = style_of(f"{kind}{depth}") | {"marker": "", "linewidth": width, "alpha": 0.7}
                    panel.plot(x, [r[key] for r in run["log"]], label=label, **look)
        panel.set(title=title, xlabel="iterations", ylabel="error (%), training thin, test bold", ylim=(0, 80))
        if panel.lines:
            panel.legend()


def draw_depth(runs: Runs, axes: list[Axes]) -> None:
    for panel, key in zip(axes, ("train_error", "test_error"), strict=True):
        for kind, label in KINDS.items():
            depths = sorted(depth for name, depth in runs if name == kind)
            means = [statistics.mean(run[key] for run in runs[kind, depth]) for depth in depths]
            panel.plot(depths, means, label=label, **style_of(f"{kind}44"))
            for depth in depths:
                panel.plot([depth] * len(runs[kind, depth]), [run[key] for run in runs[kind, depth]], "k_", alpha=0.6)
        panel.set(title=key.replace("_", " "), xlabel="layers", ylabel="%; a dash for each seed", ylim=(0, None))
        panel.legend()


def draw_speed(runs: Runs, axes: list[Axes]) -> None:
    levels = range(70, 5, -5)
    for name, same in ((f"{kind}{depth}", same) for (kind, depth), same in runs.items()):
        reached = [[[r["iteration"] for r in run["log"] if r["error"] <= level] for run in same] for level in levels]
        points = [(level, statistics.median(map(min, its))) for level, its in zip(levels, reached, strict=True) if all(its)]
        axes[0].plot([i for _, i in points], [e for e, _ in points], label=label_of(name), **style_of(name) | {"marker": ""})
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
        figure, axes = new_figure(panels, width=5.5, height=4.2, sharey=True)
        draw(runs, axes)
        figure.savefig(args.out.with_name(args.out.name + ending + ".png"), dpi=110)
    for (kind, depth), same in runs.items():
        errors = ([run[key] for run in same] for key in ("train_error", "test_error"))
        train, test = (f"{statistics.mean(e):.2f} ({min(e):.2f} to {max(e):.2f})" for e in errors)
        print(f"{KINDS[kind]}-{depth}: training error {train} %, test error {test} %, {len(same)} seeds")


if __name__ == "__main__":
    main()
