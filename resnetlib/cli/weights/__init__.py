"""`resnetlib weights list | show | fetch | verify | convert | cache`."""

import click

from resnetlib.cli.weights.cache import cache
from resnetlib.cli.weights.convert import convert
from resnetlib.cli.weights.fetch import fetch
from resnetlib.cli.weights.list import list_
from resnetlib.cli.weights.show import show
from resnetlib.cli.weights.verify import verify


@click.group()
def weights() -> None:
    """Trained weights: find them, get them, check them, rename them."""


for command in (list_, show, fetch, verify, convert, cache):
    weights.add_command(command)
