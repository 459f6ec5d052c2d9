"""Figures of how many images a training error takes, with one learning rate and with several."""

from typing import Any

from matplotlib.figure import Figure

from lecture_figures import FOUR, Results, band, seeds_of, spread
from resnetlib.analysis.style import label_of, new_figure

LEVELS = range(80, 5, -5)
RATES = {20: ("0.05", "0.1", "0.2"), 56: ("0.05", "0.1")}


def images_until(level: int, runs: list[dict[str, Any]]) -> list[float]:
    """Return the thousands of images until each training reaches an error, or nothing if one never does."""
    reached = [[r["epoch"] * run["images"] / 1000 for r in run["log"] if r["train_error"] <= level] for run in runs]
    return [min(images) for images in reached] if all(reached) else []


def convergence(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    for name in FOUR:
        reached = {level: images for level in LEVELS if (images := images_until(level, seeds_of(results, name)))}
        band(axes, [*reached], reached.values(), name)
    axes.set(xlabel="training error (%)", ylabel="thousand images until it is reached", ylim=(0, None))
    axes.invert_xaxis()
    axes.legend()
    return figure


def convergence_rates(results: Results) -> Figure:
    figure, panels = new_figure(2, sharey=True)
    for axes, (depth, rates) in zip(panels, RATES.items(), strict=True):
        runs = {
            name: [seeds_of(results, name if rate == "0.1" else f"{name}-lr={rate}") for rate in rates]
            for name in (f"plain{depth}", f"resnet{depth}")
        }
        level = min(level for level in LEVELS if all(images_until(level, seeds) for each in runs.values() for seeds in each))
        for name, each in runs.items():
            spread(axes, range(len(rates)), [images_until(level, seeds) for seeds in each], name, label=label_of(name))
        axes.set_xticks(range(len(rates)), rates)
        axes.set(
            xlabel="peak learning rate",
            title=f"{depth} layers, to {level} % training error",
            xlim=(-0.5, len(rates) - 0.5),
            ylim=(0, None),
        )
        axes.legend()
    panels[0].set_ylabel("thousand images until it is reached")
    return figure


FIGURES = {each.__name__: each for each in (convergence, convergence_rates)}
