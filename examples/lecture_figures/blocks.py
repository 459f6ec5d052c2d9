"""Figures of blocks: small residuals, sparsity, deletions, paths."""

from statistics import median
from typing import Any

from matplotlib.figure import Figure

from lecture_figures import FOUR, TWO, Results, band, line, places, points, read, tensor
from resnetlib.analysis.style import GRAY, label_of, new_figure, style_of


def residual_mapping(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    for name in FOUR:
        found = [tensor(read(results, f"seeds/{name}-{seed}/branch_ratio"), "ratio") for seed in range(3)]
        numbers = [[float(each) for each in curve] for curve in found]
        kept = [i for i, column in enumerate(zip(*numbers, strict=True)) if all(each == each for each in column)]  # no NaN
        x = places(len(numbers[0]))
        band(axes, [x[i] for i in kept], [[curve[i] for i in kept] for curve in numbers], name)
    axes.set(xlabel="relative depth of the block", ylabel=r"$||F(x)|| \; / \; ||x||$", ylim=(0, 2))
    axes.legend(ncols=2)
    return figure


def bypass(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    for name in FOUR:
        found = read(results, f"why/{name}/survival")
        columns = list(zip(*tensor(found, "changed"), strict=True))
        band(axes, found["values"], [[median(column) for column in columns]], name)
        sorted_columns = [sorted(column) for column in columns]
        low, high = [c[len(c) // 4] for c in sorted_columns], [c[-1 - len(c) // 4] for c in sorted_columns]
        axes.fill_between(found["values"], low, high, color=style_of(name)["color"], alpha=0.18, linewidth=0)
    axes.set(xlabel="factor of one block's branch (0: bypassed)", ylabel="predictions that change (%)", ylim=(0, 100))
    axes.invert_xaxis()
    axes.legend()
    return figure


def sparsity(results: Results) -> Figure:
    figure, panels = new_figure(3, width=3.4)
    found = read(results, "sparsity")["results"]
    measures = {
        "zeros": "zeros after the block's ReLU (%)",
        "small": "near-zero branch outputs (%)",
        "small_weights": "near-zero branch weights (%)",
    }
    for axes, (key, label) in zip(panels, measures.items(), strict=True):
        for name in TWO:
            values, untrained = found[name]["trained"][key], [each[key] for each in found[name]["untrained"]]
            x = range(9) if len(values) == 9 else (0, 1, 2, 4, 5, 7, 8)  # plain blocks that change the shape have no share
            axes.plot(x, values, label=f"{label_of(name)}, trained", **style_of(name) | {"linestyle": "-"})
            band(axes, x, untrained, name, f"{label_of(name)}, untrained", linestyle=":", marker="")
        axes.set(xlabel="block", ylabel=label, ylim=(0, None))
    panels[1].legend(fontsize=7)
    return figure


def ensemble(results: Results) -> Figure:
    figure, panels = new_figure(2, sharey=True)
    found = read(results, "lesions")["results"]
    titles = {"running": "statistics of the whole network", "recalibrated": "statistics recalibrated after the deletion"}
    for axes, (key, title) in zip(panels, titles.items(), strict=True):
        for shift, name in zip((-0.1, 0.1), TWO, strict=True):
            each = found[name]["trained"][key]
            points(axes, [i + shift for i in range(len(each["cost"]))], each["cost"], each["interval"], name, linestyle="")
        line(axes, 0)
        axes.set(xlabel="deleted block", title=title, ylim=(-5, 110))
    panels[0].set_ylabel("points of error that it costs")
    panels[0].legend(ncols=2, loc="upper center")
    return figure


def paths(results: Results) -> Figure:
    figure, (left, right) = new_figure(2)
    found = read(results, "path_lengths")["results"]
    for name, each in found.items():
        trained: dict[str, Any] = each["trained"]
        points(left, trained["lengths"], trained["share"], trained["share_interval"], name)
        left.plot(trained["lengths"], trained["paths"], ":", color=GRAY, label="share of all paths")
        points(right, trained["lengths"], trained["norm"], trained["norm_interval"], name, label="trained")
        band(right, trained["lengths"], [start["norm"] for start in each["untrained"]], name, "untrained", linestyle=":", marker="")
    left.set(xlabel="branches on the path", ylabel="share of the gradient", ylim=(0, None))
    right.set(xlabel="branches on the path", ylabel="norm of the gradient through one path", yscale="log")
    left.legend()
    right.legend()
    return figure


FIGURES = {each.__name__: each for each in (residual_mapping, bypass, sparsity, ensemble, paths)}
