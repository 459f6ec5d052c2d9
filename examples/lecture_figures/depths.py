"""Figures of how deep a network may be, and of what the layers of a dense network read."""

from math import log
from statistics import mean

from matplotlib.figure import Figure

from lecture_figures import Results, band, line, read
from resnetlib.analysis.style import new_figure

STARTS = {  # as in examples/before_2015.py: label, color, line
    "sigmoid, Xavier": ("sigmoid, Xavier", "#767676", ":"),
    "tanh, Xavier": ("tanh, Xavier", "#cc79a7", "--"),
    "relu, Gaussian of 0.01": ("ReLU, Gaussian of 0.01", "#f2a35e", ":"),
    "relu, He": ("ReLU, He", "#d55e00", "--"),
    "relu, He, batch norm": ("ReLU, He, batch norm", "#933a00", "--"),
    "relu, He, batch norm, skips": ("the same with skips", "#0072b2", "-"),
}


def beginnings(results: Results) -> Figure:
    found = read(results, "before_2015")["results"]
    figure, (axes,) = new_figure(height=4)
    for start, (label, color, style) in STARTS.items():
        best: dict[int, list[float]] = {}
        for name, losses in found.items():
            if name.startswith(f"{start}, ") and name.removeprefix(f"{start}, ")[0].isdigit():
                depth = int(name.removeprefix(f"{start}, ").split()[0])
                finite = [log(10) if loss is None else loss for loss in losses]
                best[depth] = min(finite, best.get(depth, finite), key=mean)
        band(axes, [*best], list(zip(*best.values(), strict=True)), "plain44", label, color=color, linestyle=style)
    line(axes, log(10), "guessing")
    axes.set(xlabel="layers", ylabel="loss on test images, better of two rates (nats)", ylim=(1.4, 2.6), xticks=[*best])
    axes.legend(fontsize=8, ncols=2, loc="upper left")
    return figure


def dense_reuse(results: Results) -> Figure:
    found = read(results, "dense_reuse")["trained"]["weights"]
    figure, panels = new_figure(3, width=3.6, sharey=True)
    for i, (axes, rows) in enumerate(zip(panels, found, strict=True), 1):
        size = len(rows)
        grid = [[row[k] / mean(row) if k < len(row) else float("nan") for row in rows] for k in range(size)]
        image = axes.imshow(grid, vmin=0.4, vmax=1.6, cmap="viridis")
        axes.grid(visible=False)
        axes.set(title=f"dense block {i}", xlabel="reader (last: what follows the block)")
        axes.set_xticks([0, size - 1], ["1", "next"])
        axes.set_yticks([0, size - 1], ["block's input", f"layer {size - 1}"])
    panels[0].set_ylabel("source")
    figure.colorbar(image, ax=panels, label="mean |w| / the reader's mean", shrink=0.8)
    return figure


FIGURES = {each.__name__: each for each in (beginnings, dense_reuse)}
