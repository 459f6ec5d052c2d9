"""Figures of single experiments: long trainings, copies trained on, learning rates, a network deeper than its task needs."""

from math import log
from typing import Any

from matplotlib.figure import Figure

from lecture_figures import FOUR, Results, band, legend_above, line, read
from resnetlib.analysis.style import GRAY, label_of, new_figure, style_of


def long_trainings(results: Results) -> Figure:
    figure, (left, middle, right) = new_figure(3, width=3.1, height=3.5)
    for name in FOUR:
        log, look = read(results, "long_trainings")["runs"][f"cifar_{name}-seed=0"]["log"], style_of(name) | {"markersize": 3}
        curves = {key: [record[key] for record in log] for key in ("epoch", "error", "train_error", "test_error", "gradient_norm")}
        left.plot(curves["epoch"], curves["error"], label=label_of(name), **look)
        middle.plot(curves["epoch"], curves["train_error"], **look | {"linewidth": 0.9})
        middle.plot(curves["epoch"], curves["test_error"], **look | {"marker": "", "linewidth": 2.6, "alpha": 0.55})
        right.plot(curves["epoch"], curves["gradient_norm"], **look)
    left.set(xlabel="epochs", ylabel="error (%)", title="training mode", ylim=(0, 85))
    middle.set(xlabel="epochs", title="evaluation mode\n(training thin, test bold)", ylim=(0, 85))
    right.set(xlabel="epochs", title="norm of the whole gradient", yscale="log", ylim=(0.5, 40), yticks=(1, 3, 10, 30))
    right.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    right.minorticks_off()
    legend_above(left, 4)
    return figure


def copies(results: Results) -> Figure:
    found = read(results, "copies")["results"]
    figure, panels = new_figure(3, rows=2, width=3.1, height=5.4, sharey=True)
    places = [(kind, rate) for kind in ("plain", "resnet") for rate in (0.001, 0.01, 0.05)]
    for axes, (kind, rate) in zip(panels, places, strict=True):
        for layers, label in ((56, "copy of 56 layers"), (20, "20 layers")):
            runs = found[f"{kind}, {layers} layers, rate {rate:g}"]
            columns = zip(*([errors["batch"] for _, errors in run] for run in runs), strict=True)
            band(axes, [step for step, _ in runs[0]], columns, f"{kind}{layers}", label)
        axes.set_xscale("symlog", base=2, linthresh=1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set(title=f"{label_of(f'{kind}20').split(',')[0]}, rate {rate:g}", ylim=(0, 100), yticks=range(0, 101, 20))
    for axes in panels[3:]:
        axes.set_xlabel("iterations (0: before)")
    for axes in panels[::3]:
        axes.set_ylabel("error on test images (%),\nstatistics of the batch")
        axes.legend(loc="upper left")
    return figure


def rates(results: Results) -> Figure:
    found = read(results, "largest_rate")["results"]
    figure, panels = new_figure(2, sharey=True)
    for axes, depth in zip(panels, (20, 56), strict=True):
        for name in (f"plain{depth}", f"resnet{depth}"):
            losses = {float(key.split("rate ")[1]): each for key, each in found.items() if key.startswith(f"{name},")}
            rates = sorted(losses)
            band(axes, rates, [losses[rate] for rate in rates], name)
        line(axes, log(10), "guessing")
        axes.set(title=f"{depth} layers", xlabel="learning rate", xscale="log", xticks=(0.00625, 0.025, 0.1, 0.4), ylim=(1.5, 2.5))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.legend(loc="lower right")
    panels[0].set_ylabel("loss on test images (nats)")
    return figure


def lost_without(found: dict[str, Any]) -> list[float]:
    """Return the percentage of the accuracy above guessing that is lost without each block."""
    return [100 * (error - found["clean_error"]) / (found["chance_error"] - found["clean_error"]) for error in found["error"]]


def unneeded(results: Results) -> Figure:
    found = read(results, "unneeded_layers")["results"]
    figure, panels = new_figure(2)
    for task, fill in (("ten classes", None), ("two classes", "white")):
        trained = found[f"resnet32, {task}"]["trained"]
        for axes, columns in zip(panels, ([one["ratio"] for one in trained], [*map(lost_without, trained)]), strict=True):
            look = {"linestyle": "--", "color": "#9a7d0a", "markerfacecolor": fill} if fill else {}
            band(axes, range(15), zip(*columns, strict=True), "resnet32", task, **look)
    untrained = zip(*(one["ratio"] for each in found.values() for one in each["untrained"]), strict=True)
    band(panels[0], range(15), untrained, "resnet32", "both, untrained", linestyle=":", color=GRAY, marker="")
    line(panels[1], 0)
    panels[0].set(xlabel="block", ylabel=r"$||F(x)|| \; / \; ||x||$", ylim=(0, None))
    panels[1].set(xlabel="block", ylabel="accuracy above guessing\nthat is lost without it (%)")
    panels[0].legend()
    return figure


FIGURES = {each.__name__: each for each in (long_trainings, copies, rates, unneeded)}
