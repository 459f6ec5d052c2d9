"""Colors, lines and markers for figures. Each network looks the same everywhere, and color-blind readers can tell them apart.

A family has a hue, a line and a marker, so that figures can be read without colors too; more layers make the color darker. The
hues are those of Okabe and Ito, "Color Universal Design", 2008.
"""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIRST, SECOND, GRAY = "#0072b2", "#d55e00", "#767676"
"""Colors of curves and bars that belong to no family, and of what they are compared with."""

FAMILIES = {  # a word in the name: light, middle and dark color, line, marker, name in legends
    "densenet": ("#dba3c5", "#b35a90", "#7a2f5f", "-.", "D", "dense"),
    "preact": ("#7fcdb5", "#009e73", "#00614a", "-.", "^", "pre-activation"),
    "plain": ("#f2a35e", "#d55e00", "#933a00", "--", "o", "plain"),
    "resnet": ("#6cb8e6", "#0072b2", "#003f6b", "-", "s", "residual"),
    "trained": ("#6cb8e6", "#0072b2", "#003f6b", ":", "s", "residual, 200 epochs"),
}

RC: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
}
"""Settings of matplotlib for figures of the manual."""


def style_of(name: str) -> dict[str, Any]:
    """Return the color, line and marker of a network; an empty dict if the name is of no known family.

    >>> style_of("cifar_plain56")
    {'color': '#933a00', 'linestyle': '--', 'marker': 'o'}
    """
    for word, (light, middle, dark, line, marker, _) in FAMILIES.items():
        if found := re.search(rf"{word}[a-z_]*(\d+)", name):
            depth = int(found[1])
            return {"color": light if depth < 30 else middle if depth < 50 else dark, "linestyle": line, "marker": marker}
    return {}


def label_of(name: str) -> str:
    """Return a network's name in words, for a legend.

    >>> label_of("cifar_plain56"), label_of("preact_resnet110")
    ('plain, 56 layers', 'pre-activation, 110 layers')
    """
    for word, (*_, label) in FAMILIES.items():
        if found := re.search(rf"{word}[a-z_]*(\d+)", name):
            return f"{label}, {found[1]} layers"
    return name


def new_figure(
    panels: int = 1, *, rows: int = 1, width: float = 4.6, height: float = 3.5, sharey: bool = False
) -> "tuple[Figure, list[Axes]]":
    """Return a figure in this style and its panels, side by side, in one or more rows."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(RC):
        figure = Figure(figsize=(max(6.2, width * panels), height), layout="constrained")
        return figure, [*figure.subplots(rows, panels, sharey=sharey, squeeze=False).flat]
