"""Whether data that come from a file are what a dataclass says of its fields."""

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def misfits(kind: type, values: dict[str, Any]) -> list[str]:
    """Find the values that are not of their field's type.

    Args:
        kind: a dataclass.
        values: by the names of its fields.

    Returns:
        Names.
    """
    hints = get_type_hints(kind)
    return [name for name, value in values.items() if not _is(value, hints[name])]


def _is(value: object, hint: Any) -> bool:
    """Return whether a value is of a type: a class, a union, or tuples and dicts of such. A whole number is a float too."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_is(value, part) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        each = parts[:1] * len(value) if Ellipsis in parts else parts
        return len(value) == len(each) and all(map(_is, value, each))
    if origin is Literal:
        return value in parts
    if origin is dict:
        return isinstance(value, dict) and all(_is(key, parts[0]) and _is(item, parts[1]) for key, item in value.items())
    if hint in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, {float: (int, float), None: NoneType}.get(hint, hint))
