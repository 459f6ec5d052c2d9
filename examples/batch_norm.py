"""Is degradation a matter of vanishing gradients? Plain networks with and without batch norm: errors, and norms of gradients.

    resnetlib train --grid models=cifar_plain20,cifar_plain56 norm=none lr=0.1,0.01 seeds=0 --data ... --out runs
    python examples/degradation.py --runs runs --out docs/results/degradation
    python examples/batch_norm.py --data docs/results/degradation.json --out docs/results/batch_norm.png

Draws from the JSON, where the same trainings with batch norm are too. The norm is that of the whole network's gradient, a mean over
an epoch's batches (arXiv 1512.03385, sec. 4.1: with batch norm "neither forward nor backward signals vanish").
"""

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib import rc_context

from resnetlib.analysis.style import RC, label_of, new_figure, style_of

STYLES = {"batch": "-", "group": "-.", "none": ":"}


def chosen(runs: dict[str, Any], models: list[str], seed: int) -> dict[str, Any]:
    """Return the runs of some models with one seed that differ in norm and rate alone."""
    return {
        name: run for name, run in runs.items() if name.split("-")[0] in models and "-widths=" not in name and run["seed"] == seed
    }


def label(name: str, run: dict[str, Any]) -> str:
    norm = {"batch": "batch norm", "none": "no norm"}.get(run["network"]["norm"], run["network"]["norm"])
    return f"{label_of(name)}, {norm}, rate {run['recipe']['lr']:g}"


@rc_context(RC)
def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the JSON of examples/degradation.py")
    cli.add_argument("--models", nargs="+", default=["cifar_plain20", "cifar_plain56"])
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--out", type=Path, required=True, help="the PNG")
    args = cli.parse_args()
    runs = chosen(json.loads(args.data.read_text())["runs"], args.models, args.seed)
    figure, (errors, norms) = new_figure(2, height=4.4)
    for name, run in runs.items():
        iterations = [record["iteration"] for record in run["log"]]
        about = style_of(name) | {"label": label(name, run), "marker": ""}
        about |= {"linestyle": STYLES[run["network"]["norm"]], "linewidth": 1 + 8 * run["recipe"]["lr"]}
        errors.plot(iterations, [record["train_error"] for record in run["log"]], **about)
        norms.plot(iterations, [record["gradient_norm"] for record in run["log"]], **about)
        last = run["log"][-1]
        print(f"{about['label']}: training error {run['train_error']:.2f} %, norm of the gradient {last['gradient_norm']:.3g}")
    errors.set(xlabel="iterations", ylabel="training error (%)", ylim=(0, 100))
    norms.set(xlabel="iterations", ylabel="norm of the gradient", yscale="log")
    figure.legend(*errors.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
