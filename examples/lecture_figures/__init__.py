"""The figures of the lecture's pages, drawn from saved results alone, in the style of `resnetlib.analysis.style`."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from resnetlib.analysis.style import GRAY, label_of, style_of

FOUR = ("plain20", "resnet20", "plain56", "resnet56")
Results = Path


def read(results: Results, name: str) -> Any:
    """Return what a script of the examples wrote."""
    return json.loads((results / f"{name}.json").read_text())


def seeds_of(results: Results, name: str) -> list[dict[str, Any]]:
    """Return the trainings of a network, one for each seed."""
    runs = read(results, "degradation")["runs"]
    return [run for key, run in sorted(runs.items()) if key.startswith(f"cifar_{name}-seed=")]


def by_epoch(axes: Axes, results: Results, name: str, key: str, **look: Any) -> None:
    """Plot what the trainings of a network logged, epoch by epoch."""
    records = [*zip(*(run["log"] for run in seeds_of(results, name)), strict=True)]
    band(axes, [same[0]["epoch"] for same in records], [[one[key] for one in same] for same in records], name, **look)


def tensor(found: dict[str, Any], name: str) -> Any:
    """Return the numbers of a tensor in a saved result."""
    return found[name]["data"]


def places(count: int) -> list[float]:
    """Return relative depths, from 0 for the first block to 1 for the last, so that networks of all depths share an axis."""
    return [i / max(1, count - 1) for i in range(count)]


def band(
    axes: Axes, x: Sequence[float], columns: Iterable[Sequence[float]], name: str, label: str | None = None, **look: Any
) -> None:
    """Plot the mean of the values at each x, and a band from the least to the largest."""
    columns, look = [*columns], style_of(name) | look
    axes.plot(x, [*map(statistics.mean, columns)], label=label or label_of(name), **look)
    axes.fill_between(x, [*map(min, columns)], [*map(max, columns)], color=look["color"], alpha=0.18, linewidth=0)


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


def spread(axes: Axes, x: Sequence[float], columns: Iterable[Sequence[float]], name: str, **look: Any) -> None:
    """Plot the mean of the values at each x, with a bar from the least to the largest."""
    columns = [*columns]
    points(axes, x, [*map(statistics.mean, columns)], [(min(each), max(each)) for each in columns], name, **look)


def shifts(count: int, step: float) -> list[float]:
    """Return offsets along x that keep the points of several networks apart."""
    return [step * (i - (count - 1) / 2) for i in range(count)]


def line(axes: Axes, y: float, label: str = "", place: tuple[float, float] = (0.01, 3)) -> None:
    """Draw a level to compare with, and write what it is: at this share of the width, so many points above it."""
    axes.axhline(y, color=GRAY, linewidth=0.9, linestyle=(0, (1, 1)))
    at, above = place
    axes.annotate(label, (at, y), (0, above), ("axes fraction", "data"), textcoords="offset points", fontsize=8)


def legend_above(axes: Axes, columns: int) -> None:
    """Place the legend that all panels share above them."""
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=columns)
