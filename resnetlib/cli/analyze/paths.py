"""`resnetlib analyze paths`: the gradient through paths of each length."""

from typing import TYPE_CHECKING

import click

from resnetlib.cli.analyze.common import Findings, analysis

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.modules import Backbone


@analysis
@click.option("--draws", default=1, show_default=True, type=click.IntRange(1), help="Paths of each length for each image.")
def paths(net: "Backbone", batches: list[tuple["Tensor", "Tensor"]], draws: int, seed: int) -> Findings:
    """How long are the paths by which NAME learns? Measures the gradient through paths of each length."""
    from resnetlib.analysis import path_gradients

    found = path_gradients(net, batches, draws=draws, seed=seed)
    for share in (0.9, 0.95):
        low, high = found.effective(share)
        click.echo(
            f"{share:.0%} of the gradient goes through paths of {low} to {high} of {len(found.blocks)} branches, "
            f"which are {found.share_of_paths(low, high):.2%} of all paths"
        )
    return {"paths": found}
