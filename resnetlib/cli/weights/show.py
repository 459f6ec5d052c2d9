"""`resnetlib weights show`: the pretrained config of a set of weights."""

import click


@click.command()
@click.argument("name")
def show(name: str) -> None:
    """Show what is known of the weights NAME (network.tag), and where they are."""
    from resnetlib.cli.weights.matching import table
    from resnetlib.weights import EmbeddedFile, describe
    from resnetlib.weights.hub import find_cached

    cfg = describe(name)
    steps, classes = cfg.preprocess, cfg.classes or ()
    click.echo(cfg.full_name)
    rows: list[tuple[str, object]] = [
        ("spec", cfg.spec),
        ("parameters", cfg.params and f"{cfg.params:,}"),
        ("MACs", cfg.gmacs and f"{cfg.gmacs:.3f} G"),
        ("top-1", cfg.top1 and f"{cfg.top1:g} %"),
        ("top-5", cfg.top5 and f"{cfg.top5:g} %"),
        ("evaluated on", cfg.evaluated_on),
        ("input", steps and f"resize to {steps.resize} ({steps.interpolation}), crop {steps.size} x {steps.size}"),
        ("mean", steps and steps.mean),
        ("deviation", steps and steps.std),
        ("classes", classes and f"{len(classes)}: {', '.join(classes[:3])} ... {classes[-1]}"),
        ("recipe", cfg.recipe),
        ("licence", cfg.license),
        ("origin", cfg.origin),
    ]
    click.echo(table(rows))
    for source in cfg.sources:
        click.echo(table([("source", source)]))
        if not isinstance(source, EmbeddedFile):
            known: list[tuple[str, object]] = [
                ("  dialect", source.dialect),
                ("  sha256", f"{source.sha256}{'...' * (len(source.sha256) < 64)}" if source.sha256 else "as the hub says"),
                ("  cached", find_cached(source)),
            ]
            click.echo(table(known))
