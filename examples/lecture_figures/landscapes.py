"""Figures of loss surfaces."""

from collections.abc import Sequence
from math import ceil, floor, hypot, log10
from statistics import mean

from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from lecture_figures import FOUR, Results, band, legend_above, read
from resnetlib.analysis.style import label_of, new_figure, style_of

Rings = dict[float, list[float]]


def rings(x: Sequence[float], loss: Sequence[Sequence[float]]) -> Rings:
    """Return the losses in rings around the center of a plane, up to a distance of 1, by their mean distance."""
    found: dict[int, list[tuple[float, float]]] = {}
    for down, row in zip(x, loss, strict=True):
        for across, value in zip(x, row, strict=True):
            radius = hypot(across, down)
            found.setdefault(round(10 * radius), []).append((radius, value))
    ordered = [found[ring] for ring in sorted(found) if ring <= 10]
    return {mean(radius for radius, _ in ring): [value for _, value in ring] for ring in ordered}


def planes(results: Results) -> Figure:
    figure, panels = new_figure(2, sharey=True)
    for axes, depth in zip(panels, (20, 56), strict=True):
        for name in (f"plain{depth}", f"resnet{depth}"):
            found = read(results, "surfaces")["results"][name]
            by_radius = [rings(found["x"], plane) for plane in found["planes"]]
            rises = [[mean(each[radius]) - found["loss"] for each in by_radius] for radius in by_radius[0]]
            band(axes, [*by_radius[0]], rises, name)
        axes.set(xlabel="distance from the weights", title=f"{depth} layers")
        axes.legend(loc="upper left")
    panels[0].set_ylabel("rise of the training loss (nats)")
    return figure


def surface(results: Results) -> Figure:
    figure, panels = new_figure(2, rows=2, height=7.6, sharey=True)
    found = {name: read(results, "surfaces")["results"][name] for name in ("plain56", "resnet56")}
    surfaces = [each["running"] for each in found.values()] + [each["planes"][0] for each in found.values()]
    every = [loss for losses in surfaces for row in losses for loss in row]
    low, high = 0.99 * min(every), 1.01 * max(every)
    levels = [low * (high / low) ** (i / 24) for i in range(25)]
    for i, (axes, losses) in enumerate(zip(panels, surfaces, strict=True)):
        name, statistics = [*found][i % 2], ("running", "recalibrated")[i // 2]
        filled = axes.contourf(found[name]["x"], found[name]["x"], losses, levels, norm=LogNorm(low, high), cmap="viridis")
        axes.plot(0, 0, "+", color="white", markersize=8)
        axes.set(
            title=f"{label_of(name)}, {statistics} statistics", aspect="equal", xlabel="x" * (i // 2), ylabel="y" * (1 - i % 2)
        )
        axes.grid(visible=False)
    ticks = [10.0**power for power in range(floor(log10(low)), ceil(log10(high)) + 1)]
    bar = figure.colorbar(filled, ax=panels, label="training loss (nats)", shrink=0.6)
    bar.set_ticks([tick for tick in ticks if low <= tick <= high], labels=[f"{tick:g}" for tick in ticks if low <= tick <= high])
    return figure


def curvature(results: Results) -> Figure:
    figure, panels = new_figure(2, sharey=True)
    for axes, depth in zip(panels, (20, 56), strict=True):
        for name in (f"plain{depth}", f"resnet{depth}"):
            found = read(results, "surfaces")["results"][name]["curvature"]
            kind = label_of(name).split(",")[0]
            for key, sign, what, filled in (("largest", 1, "largest", True), ("smallest", -1, "most negative, times -1", False)):
                look = style_of(name) if filled else style_of(name) | {"markerfacecolor": "white"}
                values = [sign * each[key] for each in found]
                axes.plot([each["iteration"] for each in found], values, label=f"{kind}, {what}", **look)
        axes.set(xlabel="iterations", yscale="log", title=f"{depth} layers")
    panels[0].set_ylabel("eigenvalue of the Hessian")
    legend_above(panels[0], 2)
    return figure


def trajectory(results: Results) -> Figure:
    figure, panels = new_figure(2, rows=2, height=6.5)
    for axes, name in zip(panels, FOUR, strict=True):
        path = read(results, "surfaces")["results"][name]["path"]
        first, second = zip(*path["coordinates"], strict=True)
        axes.plot(first, second, **style_of(name))
        for i, what in ((0, "first checkpoint"), (-1, "last")):
            axes.annotate(what, (first[i], second[i]), (8, 0), textcoords="offset points", fontsize=8)
        shares = [f"{100 * share:.0f} %" for share in path["explained"]]
        axes.set(title=label_of(name), xlabel=f"first principal component ({shares[0]})", ylabel=f"second ({shares[1]})")
    return figure


FIGURES = {each.__name__: each for each in (planes, surface, curvature, trajectory)}
