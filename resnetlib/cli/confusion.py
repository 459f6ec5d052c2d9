"""A picture of which classes are taken for which."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnetlib.disk import write_atomically
from resnetlib.text import printable

if TYPE_CHECKING:
    from torch import Tensor

_LABELLED, _NUMBERED = 60, 25
"""The most classes whose names, and whose numbers, are still legible."""


def draw_confusion(confusion: "Tensor", classes: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix, each row in shares of its class, and write it as a PNG.

    Args:
        confusion: `(classes, classes)`, images of a class (row) by first guess (column).
        classes: their names.
        path: the file to write.
    """
    from matplotlib.figure import Figure

    count = len(classes)
    shares = confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)
    side = min(16.0, 3.5 + 0.35 * count)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the class", shrink=0.8)
    axes.set(xlabel="first guess", ylabel="class")
    if count <= _LABELLED:
        names = [printable(name, 40) for name in classes]
        axes.set_xticks(range(count), names, rotation=90, parse_math=False)  # a name with two $ in it is no formula
        axes.set_yticks(range(count), names, parse_math=False)
    if count <= _NUMBERED:
        for row, column in confusion.nonzero().tolist():
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{int(confusion[row, column])}", ha="center", va="center", color=colour, fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_atomically(path, content.getvalue())
