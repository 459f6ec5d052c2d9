"""`resnetlib analyze propagation`: the variance of the signal, block by block."""

from typing import TYPE_CHECKING

import click

from resnetlib.cli.analyze.common import Findings, analysis

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.modules import Backbone


@analysis
def propagation(net: "Backbone", batches: list[tuple["Tensor", "Tensor"]]) -> Findings:
    """How does the signal grow through the blocks of NAME? Squared mean and variance of channels, block by block."""
    from resnetlib.analysis import signal_propagation

    found = signal_propagation(net, batches)
    for name, variance, branch in zip(found.blocks, found.variance.tolist(), found.branch_variance.tolist(), strict=True):
        click.echo(f"{name}  variance {variance:8.3f}, of the branch {branch:8.3f}")
    return {"propagation": found}
