"""Surfaces as pictures: profiles, contours, and three dimensions."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from resnetlib.analysis.result import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d import Axes3D


def contour_levels(loss: Tensor) -> list[float]:
    """Choose the losses at which contours are drawn: 0.1, 0.6 to 9.6, then powers of ten, as published.

    Args:
        loss: the surface.

    Returns:
        Those levels that the surface reaches; where they are fewer than three, eight at equal distances between its ends. None for
        a surface that is flat or nowhere finite.
    """
    finite = loss[loss.isfinite()]
    if not len(finite) or finite.min() == finite.max():
        return []
    low, high = float(finite.min()), float(finite.max())
    published = [*np.arange(0.1, 10, 0.5), *np.logspace(1, 8, num=8)]
    reached = [float(level) for level in published if low < level < high]
    return reached if len(reached) >= 3 else np.linspace(low, high, 10)[1:-1].tolist()


def draw_line(ax: "Axes", x: Tensor, loss: Tensor, accuracy: Tensor) -> "Axes":
    """Draw the profile of a line: the loss, and the accuracy on a second axis.

    Args:
        ax: axes.
        x: the coordinates.
        loss: at each.
        accuracy: at each.

    Returns:
        The axes.
    """
    ax.plot(x.numpy(), _finite(loss), color="tab:blue")
    ax.set_yscale("log" if _is_wide(loss) else "linear")
    ax.set_xlabel("x")
    ax.set_ylabel("loss", color="tab:blue")
    other = ax.twinx()
    other.plot(x.numpy(), accuracy.numpy(), color="tab:red")
    other.set_ylabel("accuracy, %", color="tab:red")
    other.set_ylim(0, 100)
    return ax


def draw_contours(ax: "Axes", x: Tensor, y: Tensor, loss: Tensor) -> "Axes":
    """Draw the contours of a plane, and mark the network.

    Args:
        ax: axes.
        x: the first coordinates.
        y: the second ones.
        loss: `(len(y), len(x))`; what is not finite is left white.

    Returns:
        The axes.
    """
    from matplotlib.colors import LogNorm, Normalize

    levels = contour_levels(loss)
    if min(loss.shape) > 1:
        ax.set(xlim=(float(x[0]), float(x[-1])), ylim=(float(y[0]), float(y[-1])))
    if levels and min(loss.shape) > 1:
        norm = (LogNorm if levels[0] > 0 and _is_wide(loss) else Normalize)(levels[0], levels[-1])
        lines = ax.contour(x.numpy(), y.numpy(), _finite(loss), levels=levels, norm=norm, cmap="viridis", linewidths=1)
        ax.clabel(lines, fontsize=7)
    ax.plot(0, 0, "+", color="black")
    ax.set(xlabel="x", ylabel="y")
    return ax


def draw_surface(x: Tensor, y: Tensor, loss: Tensor, *, highest: float) -> "Axes3D":
    """Draw the surface of a plane over its coordinates, the loss in logarithmic scale.

    Args:
        x: the first coordinates.
        y: the second ones.
        loss: `(len(y), len(x))`.
        highest: where the surface is cut off.

    Returns:
        The axes.
    """
    from matplotlib.figure import Figure

    ax: Axes3D = Figure(figsize=(7, 6), layout="constrained").add_subplot(projection="3d")
    columns, rows = np.meshgrid(x.numpy(), y.numpy())
    height = heights(loss, highest=highest)
    ax.plot_surface(columns, rows, height, cmap="coolwarm", rstride=1, cstride=1, linewidth=0, antialiased=True)
    decades = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]
    known = height[np.isfinite(height)]
    marks = [mark for mark in decades if len(known) and known.min() <= np.log10(mark) <= known.max()]
    marks = marks if len(marks) < 8 else marks[::3]
    ax.set_zticks(np.log10(marks), [f"{mark:g}" for mark in marks])
    ax.set(xlabel="x", ylabel="y", zlabel="loss")
    return ax


def heights(loss: Tensor, *, highest: float) -> np.ndarray:
    """log10 of the loss, cut off; NaN stays, and what is infinite is as high as is drawn.

    Args:
        loss: the loss.
        highest: where it is cut off.

    Returns:
        The heights.
    """
    smallest = torch.finfo(torch.float32).tiny  # a loss of zero has a logarithm too, then
    return loss.double().clamp(smallest, highest).log10().numpy()


def draw_map(ax: "Axes | None", x: Tensor, y: Tensor, values: Tensor, *, highest: float, label: str) -> "Axes":
    """Draw numbers in a plane as colours, from zero on.

    Args:
        ax: axes; None for new ones.
        x: the first coordinates.
        y: the second ones.
        values: `(len(y), len(x))`.
        highest: the number of the last colour, and of all above.
        label: what they are.

    Returns:
        The axes.
    """
    ax = new_axes(ax, width=5.5, height=4.5)
    mesh = ax.pcolormesh(x.numpy(), y.numpy(), values.numpy(), vmin=0, vmax=highest, cmap="viridis", shading="nearest")
    ax.get_figure(root=True).colorbar(mesh, ax=ax, label=label)  # type: ignore[union-attr]
    ax.set(xlabel="x", ylabel="y")
    return ax


def _finite(values: Tensor) -> np.ndarray:
    return np.ma.masked_invalid(values.numpy())


def _is_wide(loss: Tensor) -> bool:
    """Tell whether a surface is positive and reaches over more than two powers of ten."""
    finite = loss[loss.isfinite()]
    return bool(len(finite) and finite.min() > 0 and finite.max() > 100 * finite.min())
