"""Figures of noise, of several blocks deleted or swapped, and of probes."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lecture_figures import FOUR, Results, band, line, places, points, read, tensor
from resnetlib.analysis.style import label_of, new_figure

KINDS = {"input_noise": "std of noise on the input", "weight_noise": "noise on the weights, relative to them"}


def lost(found: dict[str, object], errors: list[float]) -> float:
    """Return the share of the accuracy above guessing that is lost, so that networks of different accuracy can be compared."""
    clean, chance = float(str(found["clean_error"])), float(str(found["chance_error"]))
    return 100 * (sum(errors) / len(errors) - clean) / (chance - clean)


def noise(results: Results) -> Figure:
    figure, panels = new_figure(3, width=3.5, sharey=True)
    for axes, (kind, label) in zip(panels, KINDS.items(), strict=False):
        for name in FOUR:
            found = [read(results, f"seeds/{name}-{seed}/{kind}") for seed in range(3)]
            curves = [[0.0, *(lost(each, errors) for errors in tensor(each, "error"))] for each in found]
            band(axes, [0, *found[0]["values"]], curves, name)
        axes.set(xlabel=label, ylim=(-10, 110))
    for name in FOUR:
        found = [read(results, f"seeds/{name}-{seed}/branch_noise") for seed in range(3)]
        curves = [[lost(each, draws[0]) for draws in tensor(each, "error")] for each in found]
        band(panels[2], places(len(curves[0])), curves, name)
    panels[2].set(xlabel="relative depth of the noisy block")
    for axes, title in zip(panels, ("input", "weights", "one branch"), strict=True):
        line(axes, 0)
        axes.set_title(title)
    panels[0].set_ylabel("accuracy above chance\nthat is lost (%)")
    panels[1].legend(fontsize=8)
    return figure


def several(results: Results) -> Figure:
    figure, (left, right) = new_figure(2, sharey=True)
    for axes, kind in ((left, "lesion_many"), (right, "reorder")):
        for name in FOUR:
            found = read(results, f"why/{name}/{kind}")
            rows = tensor(found, "error")
            band(axes, [0, *found["values"]], [(found["clean_error"], *draw) for draw in zip(*rows, strict=True)], name)
        line(axes, found["chance_error"], "guessing")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set(xlabel="deleted blocks", ylabel="error (%)", ylim=(0, 100))
    right.set(xlabel="swapped pairs of blocks")
    right.legend(loc="lower right")
    return figure


def features(results: Results) -> Figure:
    figure, panels = new_figure(2)
    found = read(results, "probes")["results"]
    for axes, (key, label) in zip(
        panels, {"accuracy": "class, linear probe (%)", "r2": r"low-level properties, $R^2$"}.items(), strict=True
    ):
        for name, each in found.items():
            x = places(len(each["trained"][key]))
            points(axes, x, each["trained"][key], each["trained"][f"{key}_interval"], name, label=f"{label_of(name)}, trained")
            untrained = [start[key] for start in each["untrained"]]
            band(axes, x, untrained, name, f"{label_of(name)}, untrained", linestyle=":", marker="")
        axes.set(xlabel="relative depth (0: stem, 1: last block)", ylabel=label)
    panels[1].legend(fontsize=8, loc="lower left")
    return figure


FIGURES = {each.__name__: each for each in (noise, several, features)}
