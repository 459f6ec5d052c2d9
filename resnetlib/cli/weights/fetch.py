"""`resnetlib weights fetch`: download weights beforehand, for computers without a network."""

import click


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--deadline", default=1800.0, show_default=True, type=click.FloatRange(1), help="Seconds for each of them.")
def fetch(names: tuple[str, ...], deadline: float) -> None:
    """Download the weights NAMES (network.tag, wildcards too) into the caches, unless they are there, and verify them."""
    from resnetlib.cli.weights.matching import matching
    from resnetlib.weights import EmbeddedFile, describe
    from resnetlib.weights.fetch import fetch_first

    for name in matching(*names):
        sources = [source for source in describe(name).sources if not isinstance(source, EmbeddedFile)]
        if not sources:
            click.echo(f"{name}: in the package")
            continue
        fetched = fetch_first(sources, deadline=deadline)
        click.echo(f"{name}: {fetched.path} ({fetched.path.stat().st_size:,} bytes, sha256 {fetched.sha256})")
