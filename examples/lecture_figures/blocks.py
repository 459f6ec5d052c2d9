"""Figures of blocks: small residuals, sparsity, deletions, paths."""

from itertools import product
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from lecture_figures import FOUR, Results, band, legend_above, line, places, points, read, shifts, tensor
from resnetlib.analysis.style import label_of, new_figure, style_of


def residual_mapping(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    for name in FOUR:
        found = [tensor(read(results, f"seeds/{name}-{seed}/branch_ratio"), "ratio") for seed in range(3)]
        columns = [[*map(float, column)] for column in zip(*found, strict=True)]  # NaN: a plain block that changes the shape
        band(axes, places(len(columns)), columns, name)
    axes.set(xlabel="relative depth of the block", ylabel=r"$||F(x)|| \; / \; ||x||$", ylim=(0, 2))
    axes.legend(ncols=2)
    return figure


def bypass(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    for shift, name in zip(shifts(4, 0.09), FOUR, strict=True):
        found = read(results, f"why/{name}/survival")
        columns = [sorted(column) for column in zip(*tensor(found, "changed"), strict=True)]
        quartiles = [(each[len(each) // 4], each[-1 - len(each) // 4]) for each in columns]
        points(axes, [i + shift for i in range(3)], [*map(median, columns)], quartiles, name, linestyle="", markersize=6)
    axes.set_xticks(range(3), ["1 (whole)", "0.5", "0 (bypassed)"])
    axes.set(xlabel="factor of one block's branch", ylabel="predictions that change (%)", ylim=(-3, 100), xlim=(-0.4, 2.4))
    axes.legend()
    return figure


def sparsity(results: Results) -> Figure:
    figure, panels = new_figure(3, rows=2, width=3.1, height=6.4)
    found = read(results, "sparsity")["results"]
    measures = {
        "zeros": ("zeros after the block's ReLU (%)", 80),
        "small": ("near-zero branch outputs (%)", 65),
        "small_weights": ("near-zero branch weights (%)", 55),
    }
    for axes, (depth, (key, (label, most))) in zip(panels, product((20, 56), measures.items()), strict=True):
        blocks = (depth - 2) // 2
        for name in (f"plain{depth}", f"resnet{depth}"):
            trained, *untrained = ([*each[key]] for each in (found[name]["trained"], *found[name]["untrained"]))
            for values in (trained, *untrained):
                for i in (blocks // 3, 2 * blocks // 3) if len(values) < blocks else ():
                    values.insert(i, float("nan"))  # plain blocks that change the shape have no value
            kind = label_of(name).split(",")[0]
            axes.plot(range(blocks), trained, label=f"{kind}, trained", **style_of(name) | {"linestyle": "-"})
            columns = zip(*untrained, strict=True)
            band(axes, range(blocks), columns, name, f"{kind}, untrained", linestyle=":", marker="")
        axes.set(xlabel="block", title=label if depth == 20 else "", ylabel=f"{depth} layers" * (key == "zeros"), ylim=(0, most))
    legend_above(panels[0], 4)
    return figure


def ensemble(results: Results) -> Figure:
    figure, panels = new_figure(2, rows=2, height=6.8, sharey=True)
    found = read(results, "lesions")["results"]
    titles = {"running": "statistics of the whole network", "recalibrated": "statistics recalibrated after the deletion"}
    for axes, (depth, (key, title)) in zip(panels, product((20, 56), titles.items()), strict=True):
        for shift, name in zip(shifts(2, 0.2), (f"plain{depth}", f"resnet{depth}"), strict=True):
            trained = found[name]["trained"]
            each, x = trained[key], [i + shift for i in range(len(trained["blocks"]))]
            points(axes, x, each["cost"], each["interval"], name, linestyle="", markersize=3)
        line(axes, 0)
        axes.set(xlabel="deleted block", title=title if depth == 20 else "", ylim=(-5, 110), xticks=range(0, len(x), len(x) // 9))
        axes.set_ylabel("points of error that it costs" if key == "running" else "")
    for axes in panels[::2]:
        axes.legend(ncols=2, loc="upper center")
    return figure


def paths(results: Results) -> Figure:
    figure, (left, right) = new_figure(2)
    found = read(results, "path_lengths")["results"]
    for name, each in found.items():
        trained: dict[str, Any] = each["trained"]
        points(left, trained["lengths"], trained["share"], trained["share_interval"], name, label=f"{label_of(name)}: gradient")
        left.plot(trained["lengths"], trained["paths"], ":", color=style_of(name)["color"], label=f"{label_of(name)}: all paths")
        points(right, trained["lengths"], trained["norm"], trained["norm_interval"], name, label=f"{label_of(name)}, trained")
        columns = zip(*(start["norm"] for start in each["untrained"]), strict=True)
        band(right, trained["lengths"], columns, name, f"{label_of(name)}, untrained", linestyle=":", marker="")
    left.set(xlabel="branches on the path", ylabel="share of the gradient, and of all paths", ylim=(0, None))
    right.set(xlabel="branches on the path", ylabel="norm of the gradient through one path", yscale="log")
    left.legend()
    right.legend()
    return figure


FIGURES = {each.__name__: each for each in (residual_mapping, bypass, sparsity, ensemble, paths)}
