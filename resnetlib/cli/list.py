"""`resnetlib list`: list networks."""

import click

from resnetlib.errors import printable
from resnetlib.weights.catalog import EMBEDDED
from resnetlib.zoo import list_models


@click.command("list")
@click.argument("pattern", default="*")
def list_(pattern: str) -> None:
    """List the networks whose names match PATTERN (wildcards: * ? [...]), and their weights in the package.

    See `resnetlib weights list` for all weights.
    """
    names = list_models(pattern)
    if not names:
        raise click.ClickException(f"no network's name matches '{printable(pattern)}'; `resnetlib list` shows all")
    for name in names:
        click.echo(" ".join([f"{name:24}", *(tag for network, tag in EMBEDDED if network == name)]).rstrip())
    click.echo("`resnetlib weights list NAME` lists all weights of a network", err=True)
