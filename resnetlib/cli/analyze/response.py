"""`resnetlib analyze response`: how small residuals are."""

from typing import TYPE_CHECKING

import click

from resnetlib.cli.analyze.common import Findings, analysis

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.modules import Backbone


@analysis
def response(net: "Backbone", batches: list[tuple["Tensor", "Tensor"]]) -> Findings:
    """How small are the residuals of NAME? Standard deviations of all 3x3 layers' responses, and ||F(x)|| / ||x||."""
    from resnetlib.analysis import branch_ratio, response_std

    std, ratio = response_std(net, batches), branch_ratio(net, batches)
    click.echo(f"median over {len(std.layers)} layers of the responses' standard deviation: {std.median:.3f}")
    click.echo(f"median over {len(ratio.blocks)} blocks of ||F(x)|| / ||skip||: {ratio.median:.3f}")
    return {"response_std": std, "branch_ratio": ratio}
