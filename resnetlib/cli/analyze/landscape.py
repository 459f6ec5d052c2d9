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
@click.option("--points", default=25, show_default=True, type=click.IntRange(2), help="Along each direction.")
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
    """Compute the loss of NAME on a plane through its weights, along filter-normalised random directions.

    The same command again resumes where it was stopped; torchrun shares the points among processes. For a plane it draws
    contours and a 3-D surface, and with plotly (resnetlib[landscape]) it writes an interactive page.
    """
    from resnetlib import analysis as a

    if h5 and not find_spec("h5py"):
        raise ValueError("--h5 needs h5py: pip install 'resnetlib[landscape]'")
    options = {"dimensions": dimensions, "seed": seed, "batch_norm": batch_norm, "precision": precision, "compile": compiled}
    try:
        surface = a.landscape(net, batches, span, points, **options, out=out / "landscape.json")  # type: ignore[arg-type]
    except RuntimeError as error:
        if not compiled:
            raise
        raise click.ClickException(str(error)) from error
    click.echo(
        f"loss {surface.loss_at_centre:.4f} and accuracy {surface.accuracy_at_centre:.2f} % at the weights; "
        f"on the {'line' if dimensions == 1 else 'plane'} from {surface.loss.min():.4f} to {surface.loss.max():.4g}"
    )
    if h5:
        a.write_h5(out / "landscape.h5", surface)
    if dimensions == 2:
        content = io.BytesIO()
        a.plot_3d(surface).figure.savefig(content, format="png", dpi=110)
        write_atomically(out / "landscape-3d.png", content.getvalue())
        if find_spec("plotly"):
            a.write_html(out / "landscape.html", surface)
            click.echo(f"wrote {printable(out / 'landscape.html')} and landscape-3d.png")
    return {"landscape": surface}
