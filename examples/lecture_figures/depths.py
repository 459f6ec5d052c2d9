"""Figures of how deep or wide a network may be, and of what the layers of a dense network read."""

from math import log
from statistics import mean

from matplotlib.figure import Figure

from lecture_figures import Results, band, by_epoch, legend_above, line, read, shifts, spread
from resnetlib.analysis.style import GRAY, new_figure

STARTS = {  # as in examples/before_2015.py: color by activation, line by initialization
    "sigmoid, Gaussian of 0.01": ("#767676", ":", "v"),
    "sigmoid, Xavier": ("#767676", "--", "v"),
    "sigmoid, He": ("#767676", "-", "v"),
    "tanh, Xavier": ("#cc79a7", "--", "^"),
    "tanh, He": ("#cc79a7", "-", "^"),
    "relu, Gaussian of 0.01": ("#f2a35e", ":", "o"),
    "relu, Xavier": ("#f2a35e", "--", "o"),
    "relu, He": ("#d55e00", "-", "o"),
    "relu, He, batch norm": ("#933a00", "-", "D"),
    "relu, He, batch norm, skips": ("#0072b2", "-", "s"),
}


def words(start: str) -> str:
    """Return the name of a start as in the tables."""
    return "the same with skips" if start.endswith("skips") else start.replace("relu", "ReLU")


def before_2015(results: Results) -> Figure:
    found: dict[str, dict[int, list[float]]] = {}
    for row in read(results, "activations")["results"]:
        norm = [", batch norm"] * (row["norm"] == "batch") + [", skips"] * (row["family"] == "resnet")
        found.setdefault("".join([row["activation"], ", ", row["start"], *norm]), {})[row["depth"]] = row["gradient_first_to_last"]
    figure, (left, right) = new_figure(2, height=4.2)
    for start, (color, style, marker) in STARTS.items():
        by_depth = found[start]
        vanishes = max(by_depth[56]) < 1e-3
        axes = left if vanishes else right
        band(axes, [*by_depth], by_depth.values(), "", words(start), color=color, linestyle=style, marker=marker)
        axes.annotate(words(start), (56, mean(by_depth[56])), (5, -3), textcoords="offset points", fontsize=8)
    for axes, title, low, high in ((left, "gradients that vanish", 1e-80, 1e5), (right, "the others, enlarged", 1e-2, 1e5)):
        axes.set(title=title, xlabel="layers", xticks=[*by_depth], yscale="log", ylim=(low, high))
    line(right, 1)
    left.axhspan(1e-2, 1e5, color=GRAY, alpha=0.15, linewidth=0)
    left.annotate("range on the right", (0.98, 30), xycoords=("axes fraction", "data"), fontsize=8, ha="right", va="center")
    left.set_ylabel("gradient, first block / last output")
    return figure


def beginnings(results: Results) -> Figure:
    found = read(results, "before_2015")["results"]
    figure, (axes,) = new_figure(height=4.2)
    starts = [start for start in STARTS if any(name.startswith(f"{start}, 8 layers") for name in found)]
    for start, shift in zip(starts, shifts(len(starts), 0.9), strict=True):
        best: dict[int, list[float]] = {}
        for name, losses in found.items():
            if name.startswith(f"{start}, ") and name.removeprefix(f"{start}, ")[0].isdigit():
                depth = int(name.removeprefix(f"{start}, ").split()[0])
                finite = [log(10) if loss is None else loss for loss in losses]
                best[depth] = min(finite, best.get(depth, finite), key=mean)
        color, _, marker = STARTS[start]
        look = {"label": words(start), "color": color, "marker": marker, "linewidth": 0.8}
        spread(axes, [depth + shift for depth in best], best.values(), "", **look)
    line(axes, log(10), "guessing", (0.6, -11))
    axes.set(xlabel="layers", ylabel="loss on test images, better of two rates (nats)", ylim=(1.55, 2.4), xticks=[*best])
    legend_above(axes, 3)
    return figure


def dense_reuse(results: Results) -> Figure:
    found = read(results, "dense_reuse")["trained"]
    figure, panels = new_figure(3, width=3.1, height=3.3, sharey=True)
    for i, (axes, rows) in enumerate(zip(panels, found, strict=True), 1):
        size = len(rows)
        grid = [[row[k] / mean(row) if k < len(row) else float("nan") for row in rows] for k in range(size)]
        image = axes.imshow(grid, vmin=0.5, vmax=1.5, cmap="PuOr_r")
        axes.grid(visible=False)
        axes.set_facecolor("#c8c8c8")  # what cannot be read
        axes.set(title=f"dense block {i}", xlabel="reader (next: what follows)")
        axes.set_xticks([0, 3, 6, 9, size - 1], ["1", "4", "7", "10", "next"])
        axes.set_yticks([0, 3, 6, 9, 12], ["block's input", "layer 3", "layer 6", "layer 9", "layer 12"])
    panels[0].set_ylabel("source")
    figure.colorbar(image, ax=panels, label="mean |w| / the reader's mean", shrink=0.8, ticks=[0.5, 0.75, 1, 1.25, 1.5])
    return figure


def article(results: Results) -> Figure:
    figure, (axes,) = new_figure()
    for name in ("plain20", "plain56", "resnet56"):
        by_epoch(axes, results, name, "train_error")
    wide = {"label": "plain, 20 layers, wide", "color": "#9a7d0a", "linestyle": ":", "marker": "v"}
    by_epoch(axes, results, "plain20-widths=[29,58,116]", "train_error", **wide)
    axes.set(xlabel="epochs of 10,000 images", ylabel="training error (%)", ylim=(0, 90))
    axes.legend(ncols=2)
    return figure


FIGURES = {each.__name__: each for each in (before_2015, beginnings, dense_reuse, article)}
