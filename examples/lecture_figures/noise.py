"""Figures of noise, of several blocks deleted or swapped, and of probes."""

from collections.abc import Sequence
from statistics import mean

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lecture_figures import FOUR, Results, band, legend_above, line, places, points, read, shifts, spread, tensor
from resnetlib.analysis.style import label_of, new_figure, style_of

KINDS = {"input_noise": "std of noise on the input", "weight_noise": "noise on the weights, relative to them"}


def lost(found: dict[str, object], errors: list[float]) -> float:
    """Return the share of the accuracy above guessing that is lost, so that networks of different accuracy can be compared."""
    clean, chance = float(str(found["clean_error"])), float(str(found["chance_error"]))
    return 100 * (mean(errors) - clean) / (chance - clean)


def noise(results: Results) -> Figure:
    figure, panels = new_figure(3, width=3.1, height=3.7, sharey=True)
    for axes, (kind, label) in zip(panels, KINDS.items(), strict=False):
        for name, shift in zip(FOUR, shifts(4, 0.02), strict=True):
            found = [read(results, f"seeds/{name}-{seed}/{kind}") for seed in range(3)]
            values = [0, *found[0]["values"]]
            curves = [[0.0, *(lost(each, errors) for errors in tensor(each, "error"))] for each in found]
            spread(axes, [value + shift * values[-1] for value in values], zip(*curves, strict=True), name)
        axes.set(xlabel=label, ylim=(-10, 110))
    for name, shift in zip(FOUR[:2], shifts(2, 0.3), strict=True):
        found = [read(results, f"seeds/{name}-{seed}/branch_noise") for seed in range(3)]
        curves = [[lost(each, draws[0]) for draws in tensor(each, "error")] for each in found]
        spread(panels[2], [i + shift for i in range(len(curves[0]))], zip(*curves, strict=True), name, linestyle="")
    panels[2].set(xlabel="noisy block", xticks=range(9))
    for axes, title in zip(panels, ("input", "weights", "one branch, 20 layers"), strict=True):
        line(axes, 0)
        axes.set_title(title)
    panels[0].set_ylabel("accuracy above chance\nthat is lost (%)")
    legend_above(panels[0], 4)
    return figure


def several(results: Results) -> Figure:
    figure, (left, right) = new_figure(2, height=3.8, sharey=True)
    for axes, kind in ((left, "lesion_many"), (right, "reorder")):
        for name, shift in zip(FOUR, shifts(4, 0.15), strict=True):
            found = read(results, f"why/{name}/{kind}")
            columns = [[found["clean_error"]], *tensor(found, "error")]
            x, look = [value + shift for value in [0, *found["values"]]], style_of(name)
            axes.plot(x, [*map(mean, columns)], label=label_of(name), **look | {"marker": ""})
            drawn = [(each, error) for each, column in zip(x, columns, strict=True) for error in column]
            axes.plot(*zip(*drawn, strict=True), **look | {"linestyle": "", "markersize": 3.5, "alpha": 0.7})
        line(axes, found["chance_error"], "guessing", (0.45, 9))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set(xlabel="deleted blocks", ylabel="error (%)", ylim=(0, 100))
    right.set(xlabel="swapped pairs of blocks")
    legend_above(left, 4)
    return figure


def features(results: Results, names: Sequence[str] = ("plain20", "resnet20", "densenet40")) -> Figure:
    figure, panels = new_figure(2, height=3.9)
    found = read(results, "probes")["results"]
    for axes, (key, label) in zip(
        panels, {"accuracy": "class, linear probe (%)", "r2": r"low-level properties, $R^2$"}.items(), strict=True
    ):
        for name in names:
            each = found[name]
            x = places(len(each["trained"][key]))
            points(axes, x, each["trained"][key], each["trained"][f"{key}_interval"], name, label=f"{label_of(name)}, trained")
            untrained = zip(*(start[key] for start in each["untrained"]), strict=True)
            band(axes, x, untrained, name, f"{label_of(name)}, untrained", linestyle=":", marker="")
        axes.set(xlabel="relative depth (0: stem, 1: last block)", ylabel=label)
    legend_above(panels[0], 3)
    return figure


def features_deep(results: Results) -> Figure:
    return features(results, ("plain56", "resnet56"))


FIGURES = {each.__name__: each for each in (noise, several, features, features_deep)}
