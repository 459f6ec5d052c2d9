"""Figures of signals and gradients: sums, terms of the gradient, shattering."""

from matplotlib.figure import Figure

from lecture_figures import FOUR, Results, line, places, read, tensor
from resnetlib.analysis.style import GRAY, label_of, new_figure, style_of

NETWORKS = ("plain20", "plain56", "resnet20", "resnet56", "resnet110", "preact110", "densenet40")


def forward(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    for i, name in enumerate(NETWORKS):
        found = read(results, f"why/{name}/residual_decomposition")
        sizes = [max(max(found[key]), 1e-9) for key in ("deviation", "deviation_with_out")]
        color = style_of(name)["color"]
        for size, shift, fill in zip(sizes, (-0.13, 0.13), ("white", color), strict=True):
            axes.plot([i + shift], [size], "s", color=color, markerfacecolor=fill, markersize=6)
        if max(sizes) == 1e-9:
            axes.annotate("both 0", (i, 1e-9), (0, 7), textcoords="offset points", ha="center", fontsize=8)
    axes.plot([], [], "s", color=GRAY, markerfacecolor="white", label="without the changes by ReLUs after the additions")
    axes.plot([], [], "s", color=GRAY, label="with them as a term")
    axes.set_xticks(range(len(NETWORKS)), [label_of(name).replace(", ", "\n") for name in NETWORKS], fontsize=8)
    axes.set(ylabel="deviation of the sum / largest |feature|", yscale="log", ylim=(3e-10, 50))
    axes.legend(loc="center left", bbox_to_anchor=(0, 0.62))
    return figure


def backward(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    for name in ("plain56", "resnet56", "preact110", "densenet40"):
        survival = tensor(read(results, f"why/{name}/gradient_decomposition"), "survival")
        axes.plot(places(len(survival)), survival, label=label_of(name), **style_of(name) | {"markersize": 3})
    axes.set(
        xlabel="relative depth of the block", ylabel="share of the gradient at the stage's end\nthat arrives through skips alone"
    )
    axes.set_ylim(-0.05, 1.3)
    axes.legend(ncols=2)
    return figure


def stability(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    found = read(results, "beginnings")["results"]
    names = [*FOUR, "preact_resnet56", "densenet40_k12"]
    for i, name in enumerate(names):
        for norm, shift, fill in (("batch", -0.12, None), ("none", 0.12, "white")):
            values = [each["autocorrelation_at_lag_1"] for each in found[f"{name}, norm {norm}"]]
            look = style_of(name) | {"linestyle": "", "markersize": 6}
            axes.plot([i + shift] * len(values), values, **look, markerfacecolor=fill or look["color"])
    axes.plot([], [], "s", color=GRAY, label="batch norm")
    axes.plot([], [], "s", color=GRAY, markerfacecolor="white", label="no norm")
    line(axes, 0, "white noise")
    labels = [label_of(name.replace("_k12", "").replace("preact_resnet", "preact")).replace(", ", "\n") for name in names]
    axes.set_xticks(range(len(names)), labels, fontsize=8)
    axes.set(ylabel="autocorrelation of gradients between\nimages, at lag 1; a point for each seed", ylim=(-0.2, 1.05))
    axes.legend(loc="lower right")
    return figure


FIGURES = {each.__name__: each for each in (forward, backward, stability)}
