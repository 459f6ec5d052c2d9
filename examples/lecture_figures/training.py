"""Figures of trainings: degradation, gradients along the training, copies, few images."""

from matplotlib.figure import Figure

from lecture_figures import FOUR, Results, band, by_epoch, line, read, seeds_of, spread
from resnetlib.analysis.style import GRAY, label_of, new_figure, style_of


def paradox(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    for name in FOUR:
        by_epoch(axes, results, name, "train_error")
    axes.set(xlabel="epochs of 10,000 images", ylabel="training error (%)", ylim=(0, 90))
    axes.legend(ncols=2)
    return figure


def degradation(results: Results) -> Figure:
    figure, panels = new_figure(2, sharey=True)
    for axes, key in zip(panels, ("train_error", "test_error"), strict=True):
        for family, label in (("plain", "plain"), ("resnet", "residual")):
            errors = [(depth, [run[key] for run in seeds_of(results, f"{family}{depth}")]) for depth in (20, 32, 44, 56)]
            measured = {depth: each for depth, each in errors if each}
            spread(axes, [*measured], measured.values(), f"{family}44", label=label)
        axes.set(xlabel="layers", title=key.replace("train", "training").replace("_", " "), xticks=list(measured), ylim=(0, 70))
    panels[0].set_ylabel("error (%)")
    panels[0].legend()
    return figure


def settling(results: Results) -> Figure:
    figure, (left, right) = new_figure(2)
    for name in FOUR:
        logs = read(results, "first_steps")["results"].get(f"scratch, {name}")
        if logs:
            band(left, [step for step, _ in logs[0]], [[ratio for _, ratio in runs] for runs in zip(*logs, strict=True)], name)
        by_epoch(right, results, name, "gradient_norm")
    line(left, 1)
    left.set_xscale("symlog", base=2, linthresh=1)
    left.set(xlabel="iterations, rate 0.1", ylabel="gradient, first block / last output", yscale="log", xlim=(-0.2, 80))
    right.set(xlabel="epochs, one-cycle schedule", ylabel="norm of the whole gradient", xscale="log", yscale="log")
    right.set(xticks=(1, 2, 4, 8, 15), yticks=(0.5, 1, 2, 5, 10, 20, 50))
    for axis in (left.xaxis, right.xaxis, right.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    right.minorticks_off()
    left.legend()
    return figure


def mimic(results: Results) -> Figure:
    figure, panels = new_figure(2, sharey=True)
    for axes, (kind, title) in zip(panels, {"plain": "plain", "resnet": "residual"}.items(), strict=True):
        found = read(results, "deepening")["results"][f"cifar_{kind}20.resnetlib_c10"]
        for way, label, layers, line_style in (
            ("deep, from scratch", "56 layers from scratch", 56, "-."),
            ("deepened", "deepened to 56 layers", 56, "-"),
            ("shallow", "20 layers", 20, ":"),
        ):
            before = [] if "scratch" in way else [(0, found["copy"]["test_error"])]
            curve = [*before, *((record["iteration"], record["test_error"]) for record in found["logs"][way])]
            axes.plot(*zip(*curve, strict=True), label=label, **style_of(f"{kind}{layers}") | {"linestyle": line_style})
        axes.set(title=title, xlabel="iterations (0: before training on)", ylim=(0, 100))
        axes.legend()
    panels[0].set_ylabel("test error (%)")
    return figure


def dropout(results: Results) -> Figure:
    found = read(results, "regularization")["results"]
    figure, (axes,) = new_figure()
    for key, shift, fill in (("train_error", -0.12, "white"), ("test_error", 0.12, None)):
        for i, (name, errors) in enumerate(found.items()):
            look = {"linestyle": "", "markersize": 6, "markerfacecolor": fill or style_of(name)["color"]}
            spread(axes, [i + shift], [errors[key]], name.split(",")[0], **look)
    axes.plot([], [], "s", color=GRAY, markerfacecolor="white", label="training error")
    axes.plot([], [], "s", color=GRAY, label="test error")
    ways = [(label_of(name).split(",")[0], name.split(", ")[1].replace(" ", "\n")) for name in found]
    axes.set_xticks(range(len(found)), [f"{kind}\n{way}" for kind, way in ways], fontsize=8)
    axes.set(ylabel="error (%); mean and range of 3 seeds", ylim=(0, 60))
    axes.legend(handles=axes.lines[-2:])
    return figure


FIGURES = {each.__name__: each for each in (paradox, degradation, settling, mimic, dropout)}
