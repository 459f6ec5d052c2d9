"""`resnetlib analyze noise`: noise on images, weights and branches."""

from typing import TYPE_CHECKING

import click

from resnetlib.cli.analyze.common import Findings, analysis

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.modules import Backbone


@analysis
@click.option(
    "--draws",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Of the noise on images and weights; that on branches is drawn once.",
)
def noise(net: "Backbone", batches: list[tuple["Tensor", "Tensor"]], draws: int, seed: int) -> Findings:
    """How much noise does NAME bear on its images, on its weights, and on one branch at a time?"""
    from resnetlib import analysis

    found = analysis.input_noise(net, batches, draws=draws, seed=seed), analysis.weight_noise(net, batches, draws=draws, seed=seed)
    for sweep in found:
        means = ", ".join(f"{size:g}: {mean:.2f} %" for size, mean in zip(sweep.sizes, sweep.mean.tolist(), strict=True))
        click.echo(f"accuracy {sweep.intact_accuracy:.2f} %; under noise on the {sweep.where}: {means}")
    branches = analysis.branch_noise(net, batches, draws=1, seed=seed)
    for i, ratio in enumerate(branches.ratios):
        click.echo(f"noise of {ratio:g} times a branch: {branches.mean[:, i].mean():.2f} % in the mean of the blocks")
    return {"input_noise": found[0], "weight_noise": found[1], "branch_noise": branches}
