"""`resnetlib weights verify`: whether files are what they should be, and fit their network."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from resnetlib.weights import PretrainedConfig


@click.command()
@click.argument("names", nargs=-1)
@click.option("--dialect", help="Whose names the tensors of files have.  [default: found out]")
@click.option("--network", help="The network's name, for files that do not tell it.")
def verify(names: tuple[str, ...], dialect: str | None, network: str | None) -> None:
    """Check the weights NAMES (network.tag, wildcards, or paths of files and folders); all that are here, without names.

    Contents are compared with their SHA-256, and tensors with the network that they are for. Nothing is downloaded, and nothing is
    changed.
    """
    from resnetlib.cli.weights.matching import matching, one_by_one, where
    from resnetlib.weights import describe

    paths = [name for name in names if "/" in name or Path(name).exists()]
    wanted = matching(*(name for name in names if name not in paths)) if len(paths) < len(names) else []
    if not names:
        wanted = [name for name in matching("*") if where(describe(name))]
    one_by_one(
        [*paths, *wanted],
        lambda name: check_file(name, dialect, network) if name in paths else check_weights(describe(name)),
    )


def check_file(path: str, dialect: str | None, network: str | None) -> str:
    """Load a file or a folder, and say what it is."""
    from resnetlib.models import spec_of
    from resnetlib.zoo import load_file

    net = load_file(path, dialect=dialect, spec=spec_of(network) if network else None)
    return f"ok, a {type(net).__name__} with {sum(parameter.numel() for parameter in net.parameters()):,} parameters"


def check_weights(cfg: "PretrainedConfig") -> str:
    """Check weights of the catalogue by their hash, their names and shapes, and their number of parameters.

    Args:
        cfg: what they should be.

    Returns:
        What was found.

    Raises:
        ValueError: if something is wrong.
        OSError: if they are not here.
    """
    from resnetlib.cli.weights.matching import where
    from resnetlib.weights import EmbeddedFile
    from resnetlib.weights.hub import check_cached
    from resnetlib.zoo import create_model, load_file

    place = where(cfg)
    if not place:
        raise FileNotFoundError(f"not here: `resnetlib weights fetch {cfg.full_name}` downloads it")
    if place == "package":
        nets = [(create_model(cfg.full_name), "in the package")]
    else:
        remote = [source for source in cfg.sources if not isinstance(source, EmbeddedFile)]
        here = [fetched for fetched in map(check_cached, remote) if fetched is not None]
        nets = [(load_file(fetched.path, spec=cfg.spec), f"sha256 {fetched.sha256}") for fetched in here]
    for net, _ in nets:
        params = sum(parameter.numel() for parameter in net.parameters())
        if cfg.params is not None and params != cfg.params:
            raise ValueError(f"{params:,} parameters, not {cfg.params:,}")
    return f"ok, {', '.join(said for _, said in nets)}"
