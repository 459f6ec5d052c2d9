"""`resnetlib analyze telescope | ...`: why skip connections work, measured."""

import click

from resnetlib.cli.analyze.telescope import telescope


@click.group()
def analyze() -> None:
    """Why skip connections work: measure it on a network and images, and write what is found as JSON and PNG."""


for command in (telescope,):
    analyze.add_command(command)
