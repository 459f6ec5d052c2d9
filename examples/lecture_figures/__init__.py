"""The figures of the lecture's pages, drawn from saved results alone, in the style of `resnetlib.analysis.style`."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from resnetlib.analysis.style import GRAY, label_of, style_of

FOUR = ("plain20", "resnet20", "plain56", "resnet56")
TWO = ("plain20", "resnet20")
Results = Path


def read(results: Results, name: str) -> Any:
    """Return what a script of the examples wrote."""
    return json.loads((results / f"{name}.json").read_text())


def seeds_of(results: Results, name: str) -> list[dict[str, Any]]:
    """Return the trainings of a network, one for each seed."""
    runs = read(results, "degradation")["runs"]
    return [run for key, run in sorted(runs.items()) if key.startswith(f"cifar_{name}-seed=")]


def tensor(found: dict[str, Any], name: str) -> Any:
    """Return the numbers of a tensor in a saved result."""
    return found[name]["data"]


def places(count: int) -> list[float]:
    """Return relative depths, from 0 for the first block to 1 for the last, so that networks of all depths share an axis."""
    return [i / max(1, count - 1) for i in range(count)]


def band(
    axes: Axes, x: Sequence[float], curves: Sequence[Sequence[float]], name: str, label: str | None = None, **look: Any
) -> None:
    """Plot the median of several curves, and a band from the least to the largest."""
    columns = list(zip(*curves, strict=True))
    look = style_of(name) | look
    axes.plot(x, [statistics.median(column) for column in columns], label=label or label_of(name), **look)
    low, high = [min(column) for column in columns], [max(column) for column in columns]
    axes.fill_between(x, low, high, color=look["color"], alpha=0.18, linewidth=0)


def points(
    axes: Axes, x: Sequence[float], middle: Sequence[float], ends: Sequence[Sequence[float]], name: str, **look: Any
) -> None:
    """Plot values with intervals."""
    bars = [
        [m - low for m, (low, _) in zip(middle, ends, strict=True)],
        [high - m for m, (_, high) in zip(middle, ends, strict=True)],
    ]
    about: dict[str, Any] = {"label": label_of(name), "capsize": 2} | style_of(name) | look
    axes.errorbar(x, middle, [[max(0.0, each) for each in side] for side in bars], **about)


def line(axes: Axes, y: float, label: str | None = None) -> None:
    """Draw a level to compare with."""
    axes.axhline(y, color=GRAY, linewidth=0.9, linestyle=(0, (1, 1)), label=label)
