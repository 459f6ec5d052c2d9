"""Figures of loss surfaces."""

from collections.abc import Sequence
from statistics import mean

from matplotlib.figure import Figure

from lecture_figures import TWO, Results, band, read, tensor
from resnetlib.analysis.style import label_of, new_figure, style_of

Rings = dict[float, list[float]]


def rings(x: Sequence[float], y: Sequence[float], loss: Sequence[Sequence[float]], per_unit: int) -> Rings:
    """Return the losses in a plane by their distance from its center, up to 1, in rings of equal width."""
    found: Rings = {}
    for down, row in zip(y, loss, strict=True):
        for across, value in zip(x, row, strict=True):
            found.setdefault(round((across**2 + down**2) ** 0.5 * per_unit) / per_unit, []).append(value)
    return {radius: found[radius] for radius in sorted(found) if radius <= 1}


def surface(results: Results) -> Figure:
    figure, panels = new_figure(2, sharey=True)
    for axes, mode in zip(panels, ("landscape", "landscape_recalibrated"), strict=True):
        for name in ("plain56", "resnet56", "trained56"):
            found = read(results, f"why/{name}/{mode}")
            x, y, loss = (tensor(found, key) for key in ("x", "y", "loss"))
            by_radius = rings(x, y, loss, per_unit=12)
            low, high = ([side(values) for values in by_radius.values()] for side in (min, max))
            axes.fill_between([*by_radius], low, high, color=style_of(name)["color"], alpha=0.15)
            look = style_of(name) | {"markersize": 2}
            axes.plot([*by_radius], [mean(values) for values in by_radius.values()], label=label_of(name), **look)
        axes.set(
            xlabel="distance from the weights", yscale="log", title=f"{'recalibrated' if 'recal' in mode else 'running'} statistics"
        )
    panels[0].set_ylabel("training loss (nats)")
    panels[0].legend()
    return figure


def planes(results: Results) -> Figure:
    figure, panels = new_figure(3, width=3.5)
    for name in TWO:
        found = read(results, "surfaces")["results"][name]
        by_radius = [rings(found["x"], found["x"], plane, per_unit=10) for plane in found["planes"]]
        rises = [[mean(values) - found["loss"] for values in each.values()] for each in by_radius]
        band(panels[0], [*by_radius[0]], rises, name)
        iterations = [each["iteration"] for each in found["curvature"]]
        panels[1].plot(
            iterations, [each["largest"] for each in found["curvature"]], label=f"{label_of(name)}: largest", **style_of(name)
        )
        look = style_of(name) | {"linestyle": ":", "marker": ""}
        panels[1].plot(iterations, [-each["smallest"] for each in found["curvature"]], label="smallest, times -1", **look)
        across, down = zip(*found["path"]["coordinates"], (0, 0), strict=True)
        panels[2].plot(across, down, **style_of(name))
    panels[0].set(xlabel="distance from the weights", ylabel="rise of the training loss (nats)", title="three planes")
    panels[1].set(xlabel="iterations", ylabel="eigenvalue of the Hessian", yscale="log", title="curvature")
    panels[2].set(xlabel="first principal component", ylabel="second", title="path of the training")
    panels[0].legend(fontsize=8)
    panels[1].legend(fontsize=7)
    return figure


FIGURES = {each.__name__: each for each in (surface, planes)}
