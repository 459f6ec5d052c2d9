"""Figures of signals and gradients: beginnings before 2015, sums, terms of the gradient, shattering."""

from matplotlib.figure import Figure

from lecture_figures import FOUR, Results, band, line, places, read, tensor
from resnetlib.analysis.style import FIRST, GRAY, SECOND, label_of, new_figure, style_of

STARTS = [
    ("plain", "sigmoid", "Gaussian of 0.01", "none", "sigmoid, Gaussian of 0.01", "#b0b0b0", ":"),
    ("plain", "sigmoid", "Xavier", "none", "sigmoid, Xavier", "#767676", ":"),
    ("plain", "tanh", "Xavier", "none", "tanh, Xavier", "#cc79a7", "--"),
    ("plain", "tanh", "He", "none", "tanh, He", "#cc79a7", ":"),
    ("plain", "relu", "Xavier", "none", "ReLU, Xavier", "#f2a35e", "--"),
    ("plain", "relu", "He", "none", "ReLU, He", "#d55e00", "--"),
    ("plain", "relu", "He", "batch", "ReLU, He, batch norm", "#933a00", "--"),
    ("resnet", "relu", "He", "batch", "the same with skips", "#0072b2", "-"),
]


def before_2015(results: Results) -> Figure:
    figure, (axes,) = new_figure(height=4)
    found = read(results, "activations")["results"]
    for *chosen, label, color, style in STARTS:
        rows = [row for row in found if [row["family"], row["activation"], row["start"], row["norm"]] == chosen]
        curves = list(zip(*(row["gradient_first_to_last"] for row in rows), strict=True))
        if rows:
            band(axes, [row["depth"] for row in rows], curves, "plain44", label, color=color, linestyle=style)
    line(axes, 1)
    axes.set(xlabel="layers", ylabel="gradient, first block / last output", yscale="log", ylim=(1e-22, 1e6))
    axes.legend(fontsize=8, loc="lower right")
    return figure


NETWORKS = ("plain20", "plain56", "resnet20", "resnet56", "resnet110", "preact110", "densenet40")


def forward(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    for i, name in enumerate(NETWORKS):
        found = read(results, f"why/{name}/residual_decomposition")
        sizes = [max(max(found[key]), 1e-9) for key in ("deviation", "deviation_with_out")]
        for size, color, marker in zip(sizes, (SECOND, FIRST), ("o", "s"), strict=True):
            axes.plot([i], [size], marker, color=color, markersize=7)
            if size == 1e-9:
                axes.annotate("0", (i, size), (6, -3), textcoords="offset points")
    axes.plot([], [], "o", color=SECOND, label="without the changes by ReLUs after the additions")
    axes.plot([], [], "s", color=FIRST, label="with them as a term")
    axes.set_xticks(range(len(NETWORKS)), [label_of(name).replace(", ", "\n") for name in NETWORKS], fontsize=8)
    axes.set(ylabel="deviation of the sum / largest |feature|", yscale="log", ylim=(3e-10, 1e6))
    axes.legend(loc="upper center", ncols=1)
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


FIGURES = {each.__name__: each for each in (before_2015, forward, backward, stability)}
