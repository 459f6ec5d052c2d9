"""`resnetlib weights list`: which weights there are."""

import click


@click.command("list")
@click.argument("pattern", default="*")
@click.option("--here", is_flag=True, help="Only those that are in the package or in the caches.")
def list_(pattern: str, here: bool) -> None:
    """List the weights whose names match PATTERN (wildcards: * ? [...]), with parameters, published accuracy and input size.

    A weight that is in the package or downloaded says so.
    """
    from resnetlib.cli.weights.matching import matching, where
    from resnetlib.weights import describe

    for name in matching(pattern):
        cfg = describe(name)
        place = where(cfg)
        if here and not place:
            continue
        params = f"{cfg.params / 1e6:8.2f} M" if cfg.params else " " * 10
        top1 = f"{cfg.top1:6.2f} %" if cfg.top1 is not None else " " * 8
        size = f"{cfg.preprocess.size:4}" if cfg.preprocess else " " * 4
        click.echo(f"{name:42} {params} {top1} {size}  {place}".rstrip())
