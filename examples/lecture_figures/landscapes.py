"""Figures of loss surfaces."""

from collections.abc import Sequence
from statistics import mean

from matplotlib.figure import Figure

from lecture_figures import TWO, Results, band, read, tensor
from resnetlib.analysis.style import label_of, new_figure, style_of

Rings = dict[float, list[float]]


def rings(x: Sequence[float], y: Sequence[float], loss: Sequence[Sequence[float]], per_unit: int) -> Rings:
    """Return the losses in a plane by their distance from its center, in rings of equal width."""
    found: Rings = {}
    for down, row in zip(y, loss, strict=True):
        for across, value in zip(x, row, strict=True):
            found.setdefault(round((across**2 + down**2) ** 0.5 * per_unit) / per_unit, []).append(value)
    return {radius: found[radius] for radius in sorted(found)}


def surface(results: Results) -> Figure:
    figure, panels = new_figure(2, height=4.2, sharey=True)
    for axes, mode in zip(panels, ("landscape", "landscape_recalibrated"), strict=True):
        for name in ("plain56", "resnet56", "trained56"):
            found = read(results, f"why/{name}/{mode}")
            by_radius = rings(tensor(found, "x"), tensor(found, "y"), tensor(found, "loss"), per_unit=12)
            band(axes, [*by_radius], by_radius.values(), name, markersize=2)
        axes.axvspan(1, 1.42, color="#767676", alpha=0.1, linewidth=0)
        axes.set(
            xlabel="distance from the weights", yscale="log", title=f"{'recalibrated' if 'recal' in mode else 'running'} statistics"
        )
        axes.annotate("corners", (1.21, 0.02), xycoords=("data", "axes fraction"), ha="center", fontsize=8)
    panels[0].set_ylabel("training loss (nats)")
    panels[0].legend(loc="upper left")
    return figure


def planes(results: Results) -> Figure:
    figure, (left, right) = new_figure(2)
    for name in TWO:
        found = read(results, "surfaces")["results"][name]
        by_radius = [rings(found["x"], found["x"], plane, per_unit=10) for plane in found["planes"]]
        radii = [radius for radius in by_radius[0] if radius <= 1]
        band(left, radii, [[mean(each[radius]) - found["loss"] for each in by_radius] for radius in radii], name)
        iterations = [each["iteration"] for each in found["curvature"]]
        end, side, above = (0, "left", 7) if name.startswith("plain") else (-1, "right", -14)
        for key, sign, what in (("largest", 1, "largest"), ("smallest", -1, "most negative, times -1")):
            values = [sign * each[key] for each in found["curvature"]]
            right.plot(iterations, values, **style_of(name))
            text, place = f"{label_of(name).split(',')[0]}, {what}", (iterations[end], values[end])
            right.annotate(text, place, (0, above), textcoords="offset points", fontsize=8, ha=side)
    left.set(xlabel="distance from the weights", ylabel="rise of the training loss (nats)", title="three planes")
    right.set(xlabel="iterations", ylabel="eigenvalue of the Hessian", yscale="log", title="curvature", ylim=(1, 1000))
    left.legend()
    return figure


def trajectory(results: Results) -> Figure:
    figure, panels = new_figure(2, sharey=True)
    for axes, name in zip(panels, TWO, strict=True):
        path = read(results, "surfaces")["results"][name]["path"]
        first, second = zip(*path["coordinates"], strict=True)
        axes.plot(first, second, **style_of(name))
        for i, what in ((0, "first checkpoint"), (-1, "last")):
            axes.annotate(what, (first[i], second[i]), (8, 0), textcoords="offset points", fontsize=8)
        shares = [f"{100 * share:.0f} %" for share in path["explained"]]
        axes.set(title=label_of(name), xlabel=f"first principal component ({shares[0]})", ylabel=f"second ({shares[1]})")
    return figure


FIGURES = {each.__name__: each for each in (surface, planes, trajectory)}
