"""`resnetlib weights show`: the contract of a set of weights."""

import click


@click.command()
@click.argument("name")
def show(name: str) -> None:
    """Show what is known of the weights NAME (network.tag), and where they are."""
    from resnetlib.cli.weights.matching import table
    from resnetlib.weights import EmbeddedFile, describe
    from resnetlib.weights.fetch import find_cached

    contract = describe(name)
    steps, classes = contract.preprocess, contract.classes or ()
    click.echo(contract.full_name)
    rows: list[tuple[str, object]] = [
        ("spec", contract.spec),
        ("parameters", contract.params and f"{contract.params:,}"),
        ("MACs", contract.gmacs and f"{contract.gmacs:.3f} G"),
        ("top-1", contract.top1 and f"{contract.top1:g} %"),
        ("top-5", contract.top5 and f"{contract.top5:g} %"),
        ("evaluated on", contract.evaluated_on),
        ("input", steps and f"resize to {steps.resize} ({steps.interpolation}), crop {steps.size} x {steps.size}"),
        ("mean", steps and steps.mean),
        ("deviation", steps and steps.std),
        ("classes", classes and f"{len(classes)}: {', '.join(classes[:3])} ... {classes[-1]}"),
        ("recipe", contract.recipe),
        ("licence", contract.license),
        ("origin", contract.origin),
    ]
    click.echo(table(rows))
    for source in contract.sources:
        click.echo(table([("source", source)]))
        if not isinstance(source, EmbeddedFile):
            known: list[tuple[str, object]] = [
                ("  dialect", source.dialect),
                ("  sha256", f"{source.sha256}{'...' * (len(source.sha256) < 64)}" if source.sha256 else "as the hub says"),
                ("  cached", find_cached(source)),
            ]
            click.echo(table(known))
