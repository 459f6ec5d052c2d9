"""Figures of trainings: degradation, speed, gradients along the training, copies, few images."""

from statistics import median

from matplotlib.figure import Figure

from lecture_figures import FOUR, Results, band, line, read, seeds_of
from resnetlib.analysis.style import GRAY, new_figure, style_of


def paradox(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    for name in FOUR:
        runs = seeds_of(results, name)
        band(axes, [record["epoch"] for record in runs[0]["log"]], [[r["train_error"] for r in run["log"]] for run in runs], name)
    axes.set(xlabel="epochs of 10,000 images", ylabel="training error (%)", ylim=(0, 90))
    axes.legend(ncols=2)
    return figure


def degradation(results: Results) -> Figure:
    figure, panels = new_figure(2, sharey=True)
    for axes, key in zip(panels, ("train_error", "test_error"), strict=True):
        for family, label in (("plain", "plain"), ("resnet", "residual")):
            errors = [(depth, [run[key] for run in seeds_of(results, f"{family}{depth}")]) for depth in (20, 32, 44, 56)]
            measured = {depth: (min(each), median(each), max(each)) for depth, each in errors if each}
            band(axes, list(measured), list(zip(*measured.values(), strict=True)), f"{family}44", label)
        axes.set(xlabel="layers", title=key.replace("train", "training").replace("_", " "), xticks=list(measured), ylim=(0, 70))
    panels[0].set_ylabel("error (%)")
    panels[0].legend()
    return figure


def convergence(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    levels = range(80, 5, -5)
    for name in FOUR:
        runs = seeds_of(results, name)
        per_epoch = runs[0]["images"] / 1000
        reached = [[[r["epoch"] * per_epoch for r in run["log"] if r["train_error"] <= level] for run in runs] for level in levels]
        kept = [(level, [min(epochs) for epochs in found]) for level, found in zip(levels, reached, strict=True) if all(found)]
        band(axes, [level for level, _ in kept], list(zip(*(images for _, images in kept), strict=True)), name)
    axes.set(xlabel="training error (%)", ylabel="thousand images until it is reached", ylim=(0, None))
    axes.invert_xaxis()
    axes.legend()
    return figure


def settling(results: Results) -> Figure:
    figure, (left, right) = new_figure(2)
    for name in FOUR:
        logs = read(results, "first_steps")["results"].get(f"scratch, {name}")
        if logs:
            band(left, [step for step, _ in logs[0]], [[ratio for _, ratio in log] for log in logs], name)
        runs = seeds_of(results, name)
        band(right, [r["epoch"] for r in runs[0]["log"]], [[r["gradient_norm"] for r in run["log"]] for run in runs], name)
    line(left, 1)
    left.set_xscale("symlog", base=2, linthresh=1)
    left.set(xlabel="iterations, rate 0.1", ylabel="gradient, first block / last output", yscale="log", xlim=(-0.2, 80))
    right.set(xlabel="epochs, one-cycle schedule", ylabel="norm of the whole gradient", ylim=(0, None))
    left.legend()
    return figure


def mimic(results: Results) -> Figure:
    figure, (axes,) = new_figure(height=3.9)
    ways = {"deepened": "-", "shallow": ":", "deep, from scratch": "-."}
    for kind, label in (("plain", "plain"), ("resnet", "residual")):
        found = read(results, "deepening")["results"][f"cifar_{kind}20.resnetlib_c10"]
        for way, look in ways.items():
            log = found["logs"][way]
            before = [] if "scratch" in way else [(0, found["copy"]["test_error"])]
            curve = [*before, *((record["iteration"], record["test_error"]) for record in log)]
            name = {"shallow": "20 layers", "deepened": "deepened to 56"}.get(way, "56 from scratch")
            style = style_of(f"{kind}{20 if way == 'shallow' else 56}") | {"linestyle": look}
            axes.plot([i for i, _ in curve], [e for _, e in curve], label=f"{label}, {name}", **style)
    axes.set(xlabel="iterations (0: before training on)", ylabel="test error (%)", ylim=(0, 100))
    axes.legend(ncols=2, fontsize=8, loc="upper right")
    return figure


def dropout(results: Results) -> Figure:
    found = read(results, "regularization")["results"]
    figure, (axes,) = new_figure()
    for i, (name, errors) in enumerate(found.items()):
        family = name.split(",")[0]
        for key, shift, fill in (("train_error", -0.12, "white"), ("test_error", 0.12, None)):
            values, look = errors[key], style_of(family) | {"linestyle": "", "markersize": 6}
            ends = [[median(values) - min(values)], [max(values) - median(values)]]
            axes.errorbar([i + shift], [median(values)], ends, capsize=3, markerfacecolor=fill or look["color"], **look)
    axes.plot([], [], "s", color=GRAY, markerfacecolor="white", label="training error")
    axes.plot([], [], "s", color=GRAY, label="test error")
    names = [name.replace(", ", "\n").replace("stochastic ", "stochastic\n") for name in found]
    axes.set_xticks(range(len(found)), names, fontsize=8)
    axes.set(ylabel="error (%); median and range of 3 seeds", ylim=(0, 60))
    axes.legend()
    return figure


FIGURES = {each.__name__: each for each in (paradox, degradation, convergence, settling, mimic, dropout)}
