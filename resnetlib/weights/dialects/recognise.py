"""Whose names a state dict has; and giving it canonical names, or another dialect's."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import takewhile

from torch import Tensor

from resnetlib.config import DenseNetSpec, Spec
from resnetlib.weights.dialects.equivalent import same_networks
from resnetlib.weights.dialects.names import REFUSALS
from resnetlib.weights.dialects.renaming import LONGEST, Dialect, Family, Name, Rule, Table, rename, rename_all, split_name
from resnetlib.weights.dialects.tables import ALIASES, DIALECTS

DEEPEST = 8
"""So many parts of a common prefix are tried, and no more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognised:
    """A state dict in canonical names.

    Args:
        dialects: those whose rules cover all of its names; if there is none, the nearest.
        family: of the network.
        state: canonical names and tensors, in the order in which they came.
        unknown: the names that the dialects do not know, as they came.
    """

    dialects: tuple[str, ...]
    family: Family
    state: dict[str, Tensor]
    unknown: tuple[str, ...]


def recognise(state: Mapping[str, Tensor], *, dialect: str | None = None) -> Recognised:
    """Find out whose names a state dict has, and give it canonical ones.

    A prefix that all names share (`backbone.`) comes off where that makes more of them known. A classifier that is stored as a 1x1
    convolution becomes the matrix that it is.

    Args:
        state: names and tensors.
        dialect: whose names they are; None to find it out.

    Returns:
        The tensors in canonical names, and what is not known of them.

    Raises:
        ValueError: for a dialect that there is not, no tensors at all, and networks that are known and cannot be expressed.

    Example:
        >>> import torch
        >>> found = recognise({"stem.conv.weight": torch.zeros(64, 3, 7, 7), "head.fc.weight": torch.zeros(10, 64, 1, 1)})
        >>> found.dialects, found.family, {key: tuple(tensor.shape) for key, tensor in found.state.items()}
        (('timm',), 'preact', {'conv1.weight': (64, 3, 7, 7), 'fc.weight': (10, 64)})
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a dict of names and tensors, got {type(state).__name__}")
    dialects = tuple(DIALECTS.values()) if dialect is None else (dialect_named(dialect),)
    best: tuple[list[str | None], str, list[str], Table] | None = None
    fewest = len(state)
    for prefix in _prefixes(state):
        names = [split_name(key[len(prefix) :]) for key in state]
        _refuse(names)
        done: dict[tuple[Rule, ...], list[str | None] | None] = {}
        for candidate in dialects:
            for table in candidate.tables:
                if table.rules not in done:
                    done[table.rules] = rename_all(names, table.rules, most=fewest)
                renamed = done[table.rules]
                if renamed is None:
                    continue
                missed = renamed.count(None)
                if best is None or missed < fewest:
                    best, fewest = (renamed, prefix, [candidate.name], table), missed
                elif best[:2] == (renamed, prefix) and candidate.name not in best[2]:
                    best[2].append(candidate.name)
        if fewest == 0:
            break
    if best is None:
        raise ValueError("there are no tensors to recognise")
    renamed, prefix, found, table = best
    canonical = {name: tensor for name, tensor in zip(renamed, state.values(), strict=True) if name is not None}
    if table.conv_head and (weight := canonical.get("fc.weight")) is not None and weight.ndim == 4 and weight.shape[2:] == (1, 1):
        canonical["fc.weight"] = weight[:, :, 0, 0]
    unknown = tuple(key for key, name in zip(state, renamed, strict=True) if name is None)
    return Recognised(dialects=tuple(found), family=table.family, state=canonical, unknown=unknown)


def to_dialect(state: Mapping[str, Tensor], spec: Spec, dialect: str) -> dict[str, Tensor]:
    """Give a state dict the names of a dialect.

    Args:
        state: canonical names and tensors.
        spec: the network's.
        dialect: whose names to give.

    Returns:
        Names and tensors, in the same order.

    Raises:
        ValueError: for a dialect that there is not or that has no such network, and for names that are not canonical.

    Example:
        >>> from resnetlib import build, spec_of
        >>> net = build(spec_of("cifar_resnet20"), device="meta")
        >>> list(to_dialect(net.state_dict(), net.spec, "akamaster"))[-2:]
        ['linear.weight', 'linear.bias']
    """
    table = _table_for(spec, dialect_named(dialect))
    if isinstance(table, str):
        raise ValueError(table)
    names = rename_all(map(split_name, state), table.rules, most=len(state), backwards=True) or []
    unknown = [key[:80] for key, name in zip(state, names, strict=True) if name is None]
    if unknown:
        raise ValueError(f"{len(unknown)} names are not canonical, or {dialect} has none for them: {', '.join(unknown[:8])}")
    renamed = {str(name): tensor for name, tensor in zip(names, state.values(), strict=True)}
    head = rename("fc.weight", table.rules, backwards=True)
    if table.conv_head and head in renamed:
        renamed[head] = renamed[head][:, :, None, None]
    return renamed


def why_not(spec: Spec, dialect: str) -> str | None:
    """Say why a dialect has no such network.

    Args:
        spec: the network's.
        dialect: its name.

    Returns:
        The reason, or None if it has it.

    Raises:
        ValueError: for a dialect that there is not.

    Example:
        >>> from resnetlib import spec_of
        >>> why_not(spec_of("plain18"), "torchvision")
        "torchvision has no such network: join must be 'add', got 'replace'"
    """
    table = _table_for(spec, dialect_named(dialect))
    return table if isinstance(table, str) else None


def dialect_named(name: str) -> Dialect:
    """Return a dialect by its name, or raise ValueError with the names that there are."""
    known = ALIASES.get(name, name) if isinstance(name, str) else None
    if known not in DIALECTS:
        raise ValueError(f"dialect must be one of {', '.join(map(repr, [*DIALECTS, *ALIASES]))}, got {name!r}")
    return DIALECTS[known]


def _table_for(spec: Spec, dialect: Dialect) -> Table | str:
    """Return the first of a dialect's tables that has names for a network, or why none has."""
    family: Family = "densenet" if isinstance(spec, DenseNetSpec) else "preact" if spec.order == "pre" else "resnet"
    reasons: list[list[str]] = []
    for table in (table for table in dialect.tables if table.family == family):
        for same in same_networks(spec):
            found = _outside(table, same)
            if not found:
                return table
            reasons.append(found)
    if not reasons:
        return f"{dialect.name} has no network of this family, {family}"
    fewest = min(len(found) for found in reasons)
    return f"{dialect.name} has no such network: " + "; ".join(next(found for found in reasons if len(found) == fewest))


def _outside(table: Table, spec: Spec) -> list[str]:
    """Say where a spec is outside of what a table has names for."""
    found = [
        f"{field} must be {' or '.join(map(repr, accepted))}, got {getattr(spec, field)!r}"
        for field, accepted in table.limits.items()
        if getattr(spec, field) not in accepted
    ]
    more = table.refuses(spec) if table.refuses is not None else None
    return [*found, more] if more else found


def _prefixes(keys: Collection[str]) -> list[str]:
    """Return the prefixes, in whole parts, that all names share: none at first, then the shortest."""
    if not keys:
        return []
    least, greatest = (key[:LONGEST].split(".")[:-1][:DEEPEST] for key in (min(keys), max(keys)))
    parts = [part for part, _ in takewhile(lambda pair: pair[0] == pair[1], zip(least, greatest, strict=False))]
    return ["".join(f"{part}." for part in parts[:n]) for n in range(len(parts) + 1)]


def _refuse(names: list[Name | None]) -> None:
    """Raise ValueError for the names of networks that are known and cannot be expressed."""
    for refusal in REFUSALS:
        if split_name(refusal.needs) in names and rename_all(names, tuple((name, name) for name in refusal.names), most=0):
            raise ValueError(f"these are the names of {refusal.why}: there is no spec for it")
