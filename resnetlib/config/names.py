"""Check the names of classes."""

from collections.abc import Collection

from resnetlib.errors import InputTypeError


def check_names(what: str, names: object) -> tuple[str, ...]:
    """Return names of classes as a tuple.

    Raise TypeError for a str and for sets, which have no order, and for anything but strs in another collection.
    """
    valid = isinstance(names, Collection) and not isinstance(names, str | bytes | set | frozenset)
    if not valid or getattr(names, "ndim", 1) != 1 or not all(isinstance(name, str) for name in names):  # type: ignore[attr-defined]
        raise InputTypeError(f"{what} must be a sequence of names, got {names!r:.200}")
    return tuple(map(str, names))  # type: ignore[call-overload]
