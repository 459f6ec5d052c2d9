"""A number for each layer, drawn as a curve, so that several networks can share axes."""

from typing import TYPE_CHECKING

from torch import Tensor

from resnetlib.analysis.result import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_curve(ax: "Axes | None", values: Tensor, *, label: str | None, name: str, of: str, descending: bool = False) -> "Axes":
    """Draw numbers by the layer's index, or sorted.

    Args:
        ax: axes to draw on; None for new ones.
        values: a number for each layer.
        label: what the legend calls the curve; None for no legend.
        name: what the numbers are, with their unit.
        of: what the layers are.
        descending: sort them, the largest first; NaN are left out.

    Returns:
        The axes.
    """
    ax = new_axes(ax)
    if descending:
        values = values[~values.isnan()].sort(descending=True).values
    ax.plot(range(len(values)), values.tolist(), marker=".", label=label)
    ax.set(xlabel=f"{of}, sorted" if descending else of, ylabel=name)
    if label is not None:
        ax.legend()
    return ax
