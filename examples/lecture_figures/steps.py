"""Figures of the first steps of training: copies of shallow networks."""

from matplotlib.figure import Figure

from lecture_figures import Results, band, read
from resnetlib.analysis.style import GREY, new_figure, style_of


def copies(results: Results) -> Figure:
    found = read(results, "copies")["results"]
    figure, panels = new_figure(2, sharey=True)
    for axes, (kind, title) in zip(panels, {"plain": "plain", "resnet": "residual"}.items(), strict=True):
        for rate, look in ((0.001, "-"), (0.01, "--"), (0.05, ":")):
            for layers, colour, what in ((56, style_of(f"{kind}56")["color"], "copy of 56"), (20, GREY, "20")):
                runs = found[f"{kind}, {layers} layers, rate {rate:g}"]
                curves = [[errors["batch"] for _, errors in run] for run in runs]
                label = f"{what} layers, rate {rate:g}"
                band(axes, [step for step, _ in runs[0]], curves, kind, label, color=colour, linestyle=look, marker="")
        axes.set_xscale("symlog", base=2, linthresh=1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set(title=title, xlabel="iterations (0: before training on)")
        axes.legend(fontsize=8, ncols=2, loc="upper left")
    panels[0].set(ylabel="error on test images (%),\nwith the statistics of the batch", ylim=(0, 130), yticks=range(0, 101, 20))
    return figure


FIGURES = {each.__name__: each for each in (copies,)}
