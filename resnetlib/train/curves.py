"""The curves of a training."""

import io
from collections.abc import Sequence
from pathlib import Path

from resnetlib.disk import write_atomically
from resnetlib.train.journal import Record


def draw_curves(records: Sequence[Record], path: Path) -> None:
    """Draw errors and losses against iterations, as in the paper: training thin, test bold.

    Args:
        records: of a log.
        path: the PNG to write.

    Source:
        arXiv 1512.03385, fig. 4 and 6.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    iterations = [record["iteration"] for record in records]
    for axes, what, unit in zip(figure.subplots(1, 2), ("error", "loss"), ("%", "nats"), strict=True):
        for key, label, style in (
            (what, "training, augmented", {"linewidth": 0.8, "linestyle": ":", "color": "tab:blue"}),
            (f"train_{what}", "training", {"linewidth": 0.8, "color": "tab:blue"}),
            (f"test_{what}", "test", {"linewidth": 2.2, "color": "tab:red"}),
        ):
            axes.plot(iterations, [record[key] for record in records], label=label, **style)
        axes.set(xlabel="iterations", ylabel=f"{what} ({unit})", ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend()
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_atomically(path, content.getvalue())
