"""The engine of the dialects: rules that rename in both directions.

A rule is a pair of templates, the foreign name and the canonical one: `("linear.{p}", "fc.{p}")`. In a template `{s}` is a number;
`{s-1}` is that number less 1, so that a foreign name can count from 0 what the canonical one counts from 1; `{p}` is the last part
of a name, one of `LEAVES`; and everything else is itself. Both templates of a rule hold the same letters.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

Name = tuple[tuple[str, ...], list[int]]
"""The texts of a name, and the numbers between them."""

Rule = tuple[str, str]
"""A foreign template, and the canonical one."""

Family = Literal["resnet", "preact", "densenet"]
"""Which networks a table's names are of; plain networks have the names of the residual ones of their order."""

ENDS: Mapping[Family, tuple[str, str]] = MappingProxyType(
    {
        "resnet": ("conv1.weight", "fc.weight"),
        "preact": ("conv1.weight", "fc.weight"),
        "densenet": ("features.conv0.weight", "classifier.weight"),
    }
)
"""The canonical names of the first convolution and of the classifier in each family."""

LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked", "shift", "scale")
"""How the name of a layer's tensor can end."""

MOST_DIGITS = 6
LONGEST = 256
"""Names with longer numbers, or of more characters, are nobody's."""

_NUMBER = re.compile(r"([0-9]+)")
_PLACE = re.compile(r"\{([a-z])([+-][0-9]+)?\}|([0-9]+)")

_Numbers = tuple[int | tuple[str, int], ...]
_Template = tuple[tuple[str, ...], _Numbers]
"""The texts of a template, and the numbers between them: themselves, or a letter and what is added to it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Table:
    """How a dialect names the tensors of one family.

    Args:
        family: of the networks.
        rules: all of its names.
        limits: the fields of a spec that its networks cannot have otherwise, with the values that they have.
        refuses: says what else its networks cannot be, or None.
        conv_head: whether the classifier is a 1x1 convolution.
    """

    family: Family
    rules: tuple[Rule, ...]
    limits: Mapping[str, tuple[object, ...]]
    refuses: Callable[[Any], str | None] | None = None
    conv_head: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """A way to name tensors, and what its networks are where names do not say it.

    Args:
        name: of the dialect.
        tables: its names; the first one that has all of a network's is the one that is written.
    """

    name: str
    tables: tuple[Table, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Refusal:
    """Names of networks that cannot be expressed here.

    Args:
        needs: a name that all of them have.
        names: templates that cover all of their names.
        why: what is different in them.
    """

    needs: str
    names: tuple[str, ...]
    why: str


def rename(key: str, rules: tuple[Rule, ...], *, backwards: bool = False) -> str | None:
    """Translate one name.

    Args:
        key: a foreign name; with `backwards` a canonical one.
        rules: of one table.
        backwards: from the canonical name to the foreign one.

    Returns:
        The name, or None if no rule covers it.

    Example:
        >>> rules = (("stages.{s-1}.blocks.{b}.conv{k}.{p}", "layer{s}.{b}.conv{k}.{p}"),)
        >>> rename("stages.0.blocks.2.conv1.weight", rules)
        'layer1.2.conv1.weight'
        >>> rename("layer1.2.conv1.weight", rules, backwards=True)
        'stages.0.blocks.2.conv1.weight'
    """
    return next(iter(rename_all([split_name(key)], rules, backwards=backwards, most=1) or [None]))


def rename_all(
    names: Iterable[Name | None], rules: tuple[Rule, ...], *, most: int, backwards: bool = False
) -> list[str | None] | None:
    """Translate many names, as long as the rules cover most of them.

    Args:
        names: what `split_name` returns for each.
        rules: of one table.
        most: how many names may be covered by no rule.
        backwards: from canonical names to foreign ones.

    Returns:
        The names, with None for those that no rule covers; or None if these are too many.

    Example:
        >>> rename_all([split_name("linear.weight"), split_name("head.weight")], (("linear.{p}", "fc.{p}"),), most=1)
        ['fc.weight', None]
    """
    index = _index(rules, backwards)
    renamed: list[str | None] = []
    for name in names:
        found = None
        if name is not None:
            for (_, pattern), target in index.get(name[0], ()):
                values = _match(pattern, name[1])
                if values is not None:
                    found = _render(target, values)
                    break
        renamed.append(found)
        most -= found is None
        if most < 0:
            return None
    return renamed


def split_name(key: str) -> Name | None:
    """Return the texts of a name and the numbers between them.

    Args:
        key: the name.

    Returns:
        Texts and numbers; None for a name that is longer, or whose numbers are written otherwise, than anybody's.

    Example:
        >>> split_name("layer1.0.conv2.weight")
        (('layer', '.', '.conv', '.weight'), [1, 0, 2])
    """
    if len(key) > LONGEST:
        return None
    parts = _NUMBER.split(key)
    digits = parts[1::2]
    if any(len(number) > MOST_DIGITS or (number[0] == "0" and number != "0") for number in digits):
        return None
    return tuple(parts[::2]), [int(number) for number in digits]


@cache
def _index(rules: tuple[Rule, ...], backwards: bool) -> dict[tuple[str, ...], list[tuple[_Template, _Template]]]:
    """Return the rules by the texts of the names that they translate, one for each leaf."""
    index: dict[tuple[str, ...], list[tuple[_Template, _Template]]] = {}
    for rule in rules:
        for leaf in LEAVES if "{p}" in rule[0] else ("",):
            source, target = (_parse(template.replace("{p}", leaf)) for template in (reversed(rule) if backwards else rule))
            index.setdefault(source[0], []).append((source, target))
    return index


def _parse(template: str) -> _Template:
    texts, numbers, end = [], [], 0
    for place in _PLACE.finditer(template):
        letter, offset, literal = place.groups()
        texts.append(template[end : place.start()])
        numbers.append(int(literal) if literal else (letter, int(offset or 0)))
        end = place.end()
    return (*texts, template[end:]), tuple(numbers)


def _match(pattern: _Numbers, numbers: list[int]) -> dict[str, int] | None:
    """Return what the letters stand for, or None if the numbers are not the pattern's."""
    values: dict[str, int] = {}
    for wanted, number in zip(pattern, numbers, strict=True):
        if isinstance(wanted, int):
            if wanted != number:
                return None
        else:
            letter, offset = wanted
            if number < offset or values.setdefault(letter, number - offset) != number - offset:
                return None
    return values


def _render(target: _Template, values: Mapping[str, int]) -> str | None:
    texts, places = target
    name = texts[0]
    for place, text in zip(places, texts[1:], strict=True):
        number = place if isinstance(place, int) else values[place[0]] + place[1]
        if number < 0:
            return None
        name += f"{number}{text}"
    return name
