"""`resnetlib weights convert`: the names of one dialect for those of another."""

from pathlib import Path

import click

from resnetlib.cli.common import PATH


@click.command()
@click.argument("source", type=PATH)
@click.argument("target", type=PATH)
@click.option("--to", required=True, help="The dialect to write.")
@click.option("--from", "dialect", help="The dialect of SOURCE.  [default: found out]")
@click.option("--network", help="The network's name, where SOURCE does not tell it.")
@click.option("--overwrite", is_flag=True, help="Replace TARGET if it is there.")
def convert(source: Path, target: Path, to: str, dialect: str | None, network: str | None, overwrite: bool) -> None:
    """Write the weights in SOURCE (safetensors or torch.save) into TARGET (safetensors) under another dialect's names."""
    from resnetlib.models import spec_of
    from resnetlib.weights import convert_file

    spec = convert_file(source, target, to, dialect=dialect, spec=spec_of(network) if network else None, overwrite=overwrite)
    click.echo(f"wrote {target}: {spec}")
