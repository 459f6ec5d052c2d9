"""`resnetlib analyze survival`: scale branches."""

from typing import TYPE_CHECKING

import click

from resnetlib.cli.analyze.common import Findings, analysis

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.modules import Backbone


@analysis
def survival(net: "Backbone", batches: list[tuple["Tensor", "Tensor"]]) -> Findings:
    """Can NAME mimic a shallower network? Scales the branch of one block at a time, and of all, and counts changed predictions."""
    from resnetlib.analysis import block_survival

    result = block_survival(net, batches)
    for factor, one, every in zip(result.values, result.changed.mean(0).tolist(), result.changed_all.tolist(), strict=True):
        click.echo(
            f"branches times {factor:g}: one block at a time {one:.2f} % of the predictions change, all blocks {every:.2f} %"
        )
    return {"survival": result}
