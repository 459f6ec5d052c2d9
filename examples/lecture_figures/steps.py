"""Figures of single experiments: copies trained on, learning rates, penalties, and a network deeper than its task needs."""

from math import log
from statistics import median

from matplotlib.figure import Figure

from lecture_figures import Results, band, line, points, read
from resnetlib.analysis.style import FIRST, GRAY, SECOND, new_figure, style_of


def copies(results: Results) -> Figure:
    found = read(results, "copies")["results"]
    figure, panels = new_figure(2, sharey=True)
    for axes, (kind, title) in zip(panels, {"plain": "plain", "resnet": "residual"}.items(), strict=True):
        for rate, look in ((0.001, "-"), (0.01, "--"), (0.05, ":")):
            for layers, color, what in ((56, style_of(f"{kind}56")["color"], "copy of 56 layers"), (20, GRAY, "20 layers")):
                runs = found[f"{kind}, {layers} layers, rate {rate:g}"]
                curves = [[errors["batch"] for _, errors in run] for run in runs]
                label = f"{what}, rate {rate:g}"
                band(axes, [step for step, _ in runs[0]], curves, kind, label, color=color, linestyle=look, marker="")
        axes.set_xscale("symlog", base=2, linthresh=1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set(title=title, xlabel="iterations (0: before training on)")
        axes.legend(fontsize=7, ncols=2, loc="upper left")
    panels[0].set(ylabel="error on test images (%),\nwith the statistics of the batch", ylim=(0, 130), yticks=range(0, 101, 20))
    return figure


def rates(results: Results) -> Figure:
    found = read(results, "largest_rate")["results"]
    figure, panels = new_figure(2, sharey=True)
    for axes, depth in zip(panels, (20, 56), strict=True):
        for name in (f"plain{depth}", f"resnet{depth}"):
            losses = {float(key.split("rate ")[1]): each for key, each in found.items() if key.startswith(f"{name},")}
            rates = sorted(losses)
            band(axes, rates, list(zip(*(losses[rate] for rate in rates), strict=True)), name)
        line(axes, log(10), "guessing")
        axes.set(title=f"{depth} layers", xlabel="learning rate", xscale="log", xticks=rates, ylim=(1.5, 2.5))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.legend(loc="lower right")
    panels[0].set_ylabel("loss on test images (nats)")
    return figure


def penalties(results: Results) -> Figure:
    found = read(results, "penalties")["results"]
    figure, panels = new_figure(2)
    ways = ("neither", "L2", "L1")
    labels = {"weight_rms": "root mean square of the weights", "small_weights": "near-zero branch weights (%)"}
    for axes, (key, label) in zip(panels, labels.items(), strict=True):
        for name, shift in (("plain20", -0.1), ("resnet20", 0.1)):
            values = [found[f"{name}, {way}"][key] for way in ways]
            ends = [(min(each), max(each)) for each in values]
            points(axes, [i + shift for i in range(3)], [*map(median, values)], ends, name, linestyle="", markersize=6)
        axes.set_xticks(range(3), ["no penalty", "L2", "L1"])
        axes.set(ylabel=label, ylim=(0, 1.1 * max(map(max, values))), xlim=(-0.5, 2.5))
    panels[1].legend()
    return figure


def unneeded(results: Results) -> Figure:
    found = read(results, "unneeded_layers")["results"]
    figure, panels = new_figure(2)
    for axes, key in zip(panels, ("ratio", "changed"), strict=True):
        for task, look in (("ten classes", "-"), ("two classes", "--")):
            curves = [one[key] for one in found[f"resnet32, {task}"]["trained"]]
            band(axes, range(len(curves[0])), curves, "resnet32", task, linestyle=look, color=FIRST if look == "-" else SECOND)
    for task, dots in (("ten classes", ":"), ("two classes", (0, (1, 4)))):
        curves = [one["ratio"] for one in found[f"resnet32, {task}"]["untrained"]]
        band(panels[0], range(len(curves[0])), curves, "resnet32", f"{task}, untrained", linestyle=dots, color=GRAY, marker="")
    for axes in panels:
        axes.set(xlabel="block", ylim=(0, None))
    panels[0].set_ylabel(r"$||F(x)|| \; / \; ||x||$")
    panels[1].set_ylabel("predictions that change without it (%)")
    panels[0].legend()
    return figure


FIGURES = {each.__name__: each for each in (copies, rates, penalties, unneeded)}
