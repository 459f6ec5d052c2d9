"""`resnetlib analyze survival`: branches that are shrunk."""

from typing import TYPE_CHECKING

import click

from resnetlib.cli.analyze.common import Findings, analysis

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.modules import Backbone


@analysis
def survival(net: "Backbone", batches: list[tuple["Tensor", "Tensor"]]) -> Findings:
    """Can NAME mimic a shallower network? Shrinks the branch of one block at a time, and of all, and counts changed predictions."""
    from resnetlib.analysis import block_survival

    found = block_survival(net, batches)
    for i, factor in enumerate(found.factors):
        click.echo(
            f"branches times {factor:g}: one block at a time {found.changed[:, i].mean():.2f} % of the predictions change, "
            f"all blocks {found.changed_all[i]:.2f} %"
        )
    return {"survival": found}
