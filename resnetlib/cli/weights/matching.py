"""What the commands on weights share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resnetlib.weights import Contract


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
    from resnetlib.weights import list as list_weights

    found: set[str] = set()
    for pattern in patterns:
        names = list_weights(pattern)
        if not names and not set(pattern) & set("*?["):
            describe(pattern)  # says what there is
        if not names:
            raise ValueError(f"no weights' name matches {pattern!r}; `resnetlib weights list` shows all")
        found.update(names)
    return natural_order(found)


def where(contract: "Contract") -> str:
    """Say where a set of weights is on this computer: "package", "cache" or ""."""
    from resnetlib.weights import EmbeddedFile
    from resnetlib.weights.fetch import find_cached

    if any(isinstance(source, EmbeddedFile) for source in contract.sources):
        return "package"
    remote = [source for source in contract.sources if not isinstance(source, EmbeddedFile)]
    return "cache" if any(find_cached(source) for source in remote) else ""


def table(rows: Sequence[tuple[str, object]]) -> str:
    """Lay out names and values in two columns, without those that are empty."""
    return "\n".join(f"  {name:14} {value}" for name, value in rows if value not in (None, "", ()))
