"""`resnetlib analyze lesion`: blocks deleted, and swapped."""

from typing import TYPE_CHECKING

import click

from resnetlib.cli.analyze.common import Findings, analysis
from resnetlib.text import printable

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.analysis import AnalysisResult
    from resnetlib.modules import Backbone


@analysis
@click.option(
    "--draws", default=10, show_default=True, type=click.IntRange(0), help="Of several blocks, and of orders; 0 for none."
)
def lesion(net: "Backbone", batches: list[tuple["Tensor", "Tensor"]], draws: int, seed: int) -> Findings:
    """Can NAME do without a block? Deletes each one, several at once, and swaps blocks."""
    from resnetlib import analysis

    found = analysis.lesion(net, batches)
    click.echo(f"error {found.intact_error:.2f} %, of guessing {found.chance_error:.2f} %; without one block:")
    for name, remains, error in zip(found.blocks, found.remains, found.error.tolist(), strict=True):
        click.echo(f"  {name}  {error:6.2f} %  ({remains} stays)")
    findings: dict[str, AnalysisResult] = {"lesion": found}
    if not draws:
        return findings
    many = analysis.lesion_many(net, batches, draws=draws, seed=seed)
    medians = ", ".join(f"{k}: {error:.2f} %" for k, error in zip(many.counts, many.quantile(0.5).tolist(), strict=True))
    click.echo(f"without k blocks, median of {draws} draws: {medians}")
    findings["lesion_many"] = many
    try:
        findings["reorder"] = analysis.reorder(net, batches, draws=draws, seed=seed)
    except ValueError as error:  # as in dense networks
        click.echo(f"not reordered: {printable(error)}")
    return findings
