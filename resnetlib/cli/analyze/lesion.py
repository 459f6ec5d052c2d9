"""`resnetlib analyze lesion`: delete and swap blocks."""

from typing import TYPE_CHECKING

import click

from resnetlib.cli.analyze.common import Findings, analysis
from resnetlib.text import printable

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.modules import Backbone


@analysis
@click.option(
    "--draws", default=10, show_default=True, type=click.IntRange(0), help="Of several blocks, and of orders; 0 for none."
)
def lesion(net: "Backbone", batches: list[tuple["Tensor", "Tensor"]], draws: int, seed: int) -> Findings:
    """Can NAME do without a block? Deletes each one, several at once, and swaps blocks."""
    from resnetlib import analysis

    result = analysis.lesion(net, batches)
    click.echo(f"error {result.clean_error:.2f} %, of guessing {result.chance_error:.2f} %; without one block:")
    for name, output, error in zip(result.blocks, result.deleted_output, result.error.tolist(), strict=True):
        click.echo(f"  {name}  {error:6.2f} %  ({output} stays)")
    results = {"lesion": result}
    if not draws:
        return results
    many = results["lesion_many"] = analysis.lesion_many(net, batches, draws=draws, seed=seed)
    medians = ", ".join(f"{k}: {error:.2f} %" for k, error in zip(many.values, many.quantile(0.5).tolist(), strict=True))
    click.echo(f"without k blocks, median of {draws} draws: {medians}")
    try:
        results["reorder"] = analysis.reorder(net, batches, draws=draws, seed=seed)
    except ValueError as error:  # a dense network, for example
        click.echo(f"not reordered: {printable(error)}")
    return results
