"""The points of a line or plane at which something is computed."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnetlib.analysis.inputs import as_tuple

Span = float | tuple[tuple[float, float], ...]
"""Coordinates go from -span to span; or the two ends of each."""


_MOST = 10_000_000
"""Points of a grid."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Points at equal distances.

    Args:
        span: the two ends of each coordinate.
        x: the first coordinates.
        y: the second ones; None for a line.
    """

    span: tuple[tuple[float, float], ...]
    x: Tensor
    y: Tensor | None

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the values: a row for each y, a column for each x."""
        return (len(self.x),) if self.y is None else (len(self.y), len(self.x))

    @property
    def points(self) -> Tensor:
        """The points, `(N, 1)` or `(N, 2)`, in the order of the values."""
        if self.y is None:
            return self.x[:, None]
        rows, columns = torch.meshgrid(self.y, self.x, indexing="ij")
        return torch.stack([columns.flatten(), rows.flatten()], 1)

    @property
    def plane(self) -> Tensor:
        """The second coordinates of a plane."""
        assert self.y is not None  # noqa: S101 - it is one
        return self.y


def check_grid(span: Span, points: int, dimensions: int) -> Grid:
    """Lay out a grid.

    Args:
        span: how far it goes.
        points: along each coordinate; a single one lies in the middle.
        dimensions: 1 or 2.

    Returns:
        The grid.

    Raises:
        ValueError: if it goes nowhere, or has too many points.
    """
    if points**dimensions > _MOST:
        raise ValueError(f"points must make at most {_MOST:,} in all, got {points:,} along each of {dimensions} coordinates")
    ends = _ends(span, dimensions)
    if len(ends) != dimensions or not all(isfinite(a) and isfinite(b) and a < b for a, b in ends):
        raise ValueError(f"span must be a positive number, or the two ends of each of {dimensions} coordinates, got {span!r}")
    x, *rest = (torch.from_numpy(np.linspace(a, b, points) if points > 1 else np.array([(a + b) / 2])) for a, b in ends)
    return Grid(tuple((float(a), float(b)) for a, b in ends), x, rest[0] if rest else None)


def _ends(span: Any, dimensions: int) -> tuple[tuple[float, float], ...]:
    """Return the ends of each coordinate; none where they are no numbers."""
    try:
        given = as_tuple(span)
        return ((-float(span), float(span)),) * dimensions if given is None else tuple((float(a), float(b)) for a, b in given)
    except (TypeError, ValueError):
        return ()
