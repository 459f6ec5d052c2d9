"""`resnetlib analyze noise`: add noise to images, weights and branches."""

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
    help="Of noise on images and weights; that on branches is drawn once.",
)
def noise(net: "Backbone", batches: list[tuple["Tensor", "Tensor"]], draws: int, seed: int) -> Findings:
    """How much noise does NAME bear on its images, on its weights, and on one branch at a time?"""
    from resnetlib import analysis

    results = {
        "input_noise": analysis.input_noise(net, batches, draws=draws, seed=seed),
        "weight_noise": analysis.weight_noise(net, batches, draws=draws, seed=seed),
        "branch_noise": analysis.branch_noise(net, batches, draws=1, seed=seed),
    }
    for where in ("input", "weight"):
        sweep = results[f"{where}_noise"]
        means = ", ".join(f"{size:g}: {mean:.2f} %" for size, mean in zip(sweep.values, sweep.mean_accuracy.tolist(), strict=True))
        click.echo(f"accuracy {sweep.clean_accuracy:.2f} %; under {where} noise: {means}")
    branches = results["branch_noise"]
    for ratio, mean in zip(branches.values, branches.mean_accuracy.mean(0).tolist(), strict=True):
        click.echo(f"noise of {ratio:g} times a branch: {mean:.2f} % in the mean of the blocks")
    return results
