"""`resnetlib analyze landscape`: the surface of the loss."""

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from resnetlib.cli.analyze.common import Findings, analysis
from resnetlib.disk import write_atomically
from resnetlib.text import printable

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.modules import Backbone


@analysis
@click.option("--points", default=25, show_default=True, type=click.IntRange(1), help="Along each direction.")
@click.option("--span", default=1.0, show_default=True, type=click.FloatRange(0, min_open=True), help="From -span to span.")
@click.option("--dimensions", default=2, show_default=True, type=click.IntRange(1, 2), help="A line or a plane.")
@click.option(
    "--batch-norm",
    type=click.Choice(["running", "recalibrated", "batch"]),
    default="running",
    show_default=True,
    help="The statistics that norms use at each point.",
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the network first: faster, after some seconds.")
@click.option("--h5", is_flag=True, help="Write landscape.h5 too, in the published tool's layout.")
def landscape(
    net: "Backbone",
    batches: list[tuple["Tensor", "Tensor"]],
    out: Path,
    seed: int,
    precision: Literal["fp32", "bf16"],
    points: int,
    span: float,
    dimensions: int,
    batch_norm: Literal["running", "recalibrated", "batch"],
    compiled: bool,
    h5: bool,
) -> Findings:
    """How does the loss of NAME look around its weights? A plane through them, along filter-normalised random directions.

    The same command again goes on where it was stopped; torchrun shares the points among processes. Of a plane, it draws
    contours and a surface; with plotly there (resnetlib[landscape]), it writes a page on which the surface can be turned.
    """
    from resnetlib.analysis import landscape as measure

    if h5 and not find_spec("h5py"):
        raise ValueError("--h5 needs h5py: pip install 'resnetlib[landscape]'")
    choices = {"points": points, "span": span, "dimensions": dimensions, "compile": compiled}
    try:
        found = measure(net, batches, **choices, seed=seed, batch_norm=batch_norm, precision=precision, out=out / "landscape.json")  # type: ignore[arg-type]
    except RuntimeError as error:
        if not compiled:
            raise
        raise click.ClickException(str(error)) from error
    click.echo(
        f"loss {found.loss_at_centre:.4f} and accuracy {found.accuracy_at_centre:.2f} % at the weights; "
        f"on the {'line' if dimensions == 1 else 'plane'} from {found.loss.min():.4f} to {found.loss.max():.4g}"
    )
    if h5:
        found.to_h5(out / "landscape.h5")
    if dimensions == 2:
        content = io.BytesIO()
        found.plot_3d().figure.savefig(content, format="png", dpi=110)
        write_atomically(out / "landscape-3d.png", content.getvalue())
        if find_spec("plotly"):
            found.to_html(out / "landscape.html")
            click.echo(f"wrote {printable(out / 'landscape.html')} and landscape-3d.png")
    return {"landscape": found}
