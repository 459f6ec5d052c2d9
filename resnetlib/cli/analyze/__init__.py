"""`resnetlib analyze residual-decomposition | gradients | ...`: why skip connections work, measured."""

import click

from resnetlib.cli.analyze.deepen import deepen
from resnetlib.cli.analyze.gradients import gradients
from resnetlib.cli.analyze.landscape import landscape
from resnetlib.cli.analyze.lesion import lesion
from resnetlib.cli.analyze.noise import noise
from resnetlib.cli.analyze.paths import paths
from resnetlib.cli.analyze.propagation import propagation
from resnetlib.cli.analyze.residual_decomposition import residual_decomposition
from resnetlib.cli.analyze.response import response
from resnetlib.cli.analyze.shattered import shattered
from resnetlib.cli.analyze.survival import survival


@click.group()
def analyze() -> None:
    """Why skip connections work: measure it on a network and images, and write what is found as JSON and PNG."""


for command in (
    residual_decomposition,
    gradients,
    deepen,
    survival,
    response,
    lesion,
    paths,
    shattered,
    propagation,
    noise,
    landscape,
):
    analyze.add_command(command)
