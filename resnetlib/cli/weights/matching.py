"""What the commands on weights share."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from resnetlib.weights import PretrainedConfig


def matching(*patterns: str) -> list[str]:
    """Return the weights whose names match any of some patterns.

    Args:
        *patterns: names, or patterns with wildcards.

    Returns:
        Full names, in natural order.

    Raises:
        ValueError: for a pattern that matches nothing.
    """
    from resnetlib.models.catalog import natural_order
    from resnetlib.weights import describe
    from resnetlib.weights import list as list_pretrained

    found: set[str] = set()
    for pattern in patterns:
        names = list_pretrained(pattern)
        if not names and not set(pattern) & set("*?["):
            describe(pattern)  # says what there is
        if not names:
            raise ValueError(f"no weights' name matches {pattern!r}; `resnetlib weights list` shows all")
        found.update(names)
    return natural_order(found)


def one_by_one(names: Sequence[str], work: Callable[[str], str]) -> None:
    """Do something with each of some weights, and print what it says; a failure does not keep the others from their turn.

    Args:
        names: of the weights.
        work: takes a name, and returns what to say of it.

    Raises:
        ValueError: if some failed, with their number.
    """
    failed = 0
    for name in names:
        try:
            said = work(name)
        except (ValueError, OSError) as error:
            failed += 1
            said = f"FAILED: {error}"
        click.echo(f"{name}: {said}")
    if failed:
        raise ValueError(f"{failed} of {len(names)} failed")


def where(cfg: "PretrainedConfig") -> str:
    """Say where a set of weights is on this computer: "package", "cache" or ""."""
    from resnetlib.weights import EmbeddedFile
    from resnetlib.weights.hub import find_cached

    if any(isinstance(source, EmbeddedFile) for source in cfg.sources):
        return "package"
    remote = [source for source in cfg.sources if not isinstance(source, EmbeddedFile)]
    return "cache" if any(find_cached(source) for source in remote) else ""


def table(rows: Sequence[tuple[str, object]]) -> str:
    """Lay out names and values in two columns, without those that are empty."""
    return "\n".join(f"  {name:14} {value}" for name, value in rows if value not in (None, "", ()))
