"""Figures of what the layers of a dense network read."""

from statistics import mean

from matplotlib.figure import Figure

from lecture_figures import Results, read
from resnetlib.analysis.style import new_figure


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


FIGURES = {each.__name__: each for each in (dense_reuse,)}
