"""`resnetlib weights fetch`: download weights beforehand, for computers without a network."""

import click


@click.command()
@click.argument("names", nargs=-1, required=True)
def fetch(names: tuple[str, ...]) -> None:
    """Download the weights NAMES into the caches, unless they are there, and verify them.

    A name is network.tag, a pattern of such names with wildcards, or hf-hub:org/name[@revision].
    """
    from resnetlib.cli.weights.matching import matching, one_by_one
    from resnetlib.weights.find import HUB

    repositories = [name for name in names if name.startswith(HUB)]
    wanted = [name for name in names if name not in repositories]
    one_by_one(
        [*repositories, *(matching(*wanted) if wanted else [])],
        lambda name: fetch_repository(name) if name in repositories else fetch_weights(name),
    )


def fetch_weights(name: str) -> str:
    """Fetch weights of the catalogue, and say where they are."""
    from resnetlib.weights import EmbeddedFile, describe
    from resnetlib.weights.hub import fetch_first

    sources = [source for source in describe(name).sources if not isinstance(source, EmbeddedFile)]
    if not sources:
        return "in the package"
    fetched = fetch_first(sources)
    return f"{fetched.path} ({fetched.path.stat().st_size:,} bytes, sha256 {fetched.sha256})"


def fetch_repository(name: str) -> str:
    """Fetch a repository of the hub, all of it that `create_model` needs."""
    from resnetlib.weights.find import find

    found = find(name, None, dialect=None, mmap=None)
    return f"{len(found.file.state):,} tensors" if found.file else "no weights"
