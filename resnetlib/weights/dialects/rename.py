"""Detect the dialect of a state dict, and translate its names into the canonical ones and back."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from torch import Tensor

from resnetlib.config import DenseNetSpec, ResNetSpec, Spec
from resnetlib.config.spec import check_spec
from resnetlib.errors import InputError, InputTypeError, printable
from resnetlib.weights.dialects.compare import same_network
from resnetlib.weights.dialects.rules import ALIASES, DIALECTS, Family, Rule, Table

_FIELD = re.compile(r"\{([a-z])([+-]\d+)?\}")
_NUMBER = "0|[1-9][0-9]{0,5}"
_LEAF = "weight|bias|running_mean|running_var|num_batches_tracked|shift|scale"

_FIRST_TENSORS = (
    ("conv1.weight", "layer1.0.conv1.weight"),
    ("features.conv0.weight", "features.denseblock1.denselayer1.conv1.weight"),
)
"""The first convolution and that of the first block, in each family."""

_MAX_PREFIX = 8  # parts of a common prefix


@dataclass(frozen=True, kw_only=True, slots=True)
class RecognizedState:
    """A state dict with canonical names."""

    dialects: tuple[str, ...]  # those that have all of the names; if there is none, the closest
    family: Family
    state: dict[str, Tensor]
    unknown: tuple[str, ...]  # names that the dialect does not have
    ignored: tuple[str, ...] = ()  # names outside the prefix of the network
    head: tuple[str, ...] = ()  # names of a classifier that is not one linear layer

    @property
    def num_classes(self) -> int:
        """Number of logits; 0 without a classifier."""
        weight = self.state.get(f"{_classifier_of(self.family)}.weight")
        if weight is None:
            return 0
        if weight.ndim != 2 or not len(weight):
            raise InputError(f"the classifier must be a matrix (classes, features), got {tuple(weight.shape)}")
        return len(weight)

    def has_classifier(self, num_classes: int) -> bool:
        """Return whether there is a linear classifier with this number of logits."""
        weight = self.state.get(f"{_classifier_of(self.family)}.weight")
        return weight is not None and weight.ndim == 2 and len(weight) == num_classes

    def without_classifier(self) -> "RecognizedState":
        """Return a copy without the classifier."""
        classifier = _classifier_of(self.family) + "."
        return replace(self, state={key: value for key, value in self.state.items() if not key.startswith(classifier)}, head=())

    @property
    def first_conv(self) -> str:
        """Name of the first convolution's weight."""
        return "features.conv0.weight" if self.family == "densenet" else "conv1.weight"

    @property
    def in_chans(self) -> int:
        """Input channels of the first convolution; 3 if it is missing."""
        weight = self.state.get(self.first_conv)
        return weight.shape[1] if weight is not None and weight.ndim == 4 else 3


def _classifier_of(family: Family) -> str:
    return "classifier" if family == "densenet" else "fc"


@cache
def _compile(rules: tuple[Rule, ...], backwards: bool) -> list[tuple[re.Pattern[str], str, dict[str, int]]]:
    """Return each rule as a pattern, a format string for the new name, and the shift of each number that changes."""
    compiled = []
    for rule in rules:
        source, target = reversed(rule) if backwards else rule
        offsets, pattern, end = {}, "", 0
        for field in _FIELD.finditer(source):
            letter, literal = field[1], re.escape(source[end : field.start()])
            group = f"(?P={letter})" if letter in offsets else f"(?P<{letter}>{_LEAF if letter == 'p' else _NUMBER})"
            pattern, end = pattern + literal + group, field.end()
            offsets[letter] = int(field[2] or 0)
        shifts = {field[1]: int(field[2] or 0) - offsets[field[1]] for field in _FIELD.finditer(target)}
        shifts = {letter: shift for letter, shift in shifts.items() if shift}
        compiled.append((re.compile(pattern + re.escape(source[end:])), _FIELD.sub(r"{\1}", target), shifts))
    return compiled


def rename(key: str, rules: tuple[Rule, ...], *, backwards: bool = False) -> str | None:
    """Translate a name into the canonical one, or backwards into the dialect's; return None if no rule matches."""
    for pattern, target, shifts in _compile(rules, backwards):
        if match := pattern.fullmatch(key):
            shifted = {letter: int(match[letter]) + shift for letter, shift in shifts.items()}
            return target.format_map(match.groupdict() | shifted) if min(shifted.values(), default=0) >= 0 else None
    return None


def _rename_all(keys: Iterable[str], rules: tuple[Rule, ...], most: int) -> list[str | None] | None:
    """Translate names; return None as soon as more than `most` of them match no rule."""
    renamed = []
    for key in keys:
        renamed.append(name := rename(key, rules))
        most -= name is None
        if most < 0:
            return None
    return renamed


def recognize_dialect(state: Mapping[str, Tensor], *, dialect: str | None = None, prefix: str | None = None) -> RecognizedState:
    """Detect the dialect of a state dict, and rename its tensors to the canonical names.

    The network's prefix (`backbone.`) is found and removed; names outside it are ignored. A classifier that is stored as a 1x1
    convolution, or as the only linear layer of a `Sequential`, becomes a matrix.

    Args:
        state: names and tensors.
        dialect: of the names; None to detect it.
        prefix: of the network, if there are several.

    Returns:
        The tensors under canonical names, the unknown names and the ignored ones.

    Raises:
        ValueError: for an unknown dialect, an empty state dict, a prefix that no name has, or several networks without `prefix`.
        TypeError: if state is not a mapping, or a name is not a str.

    Example:
        >>> import torch
        >>> found = recognize_dialect({"stem.conv.weight": torch.zeros(64, 3, 7, 7), "head.fc.weight": torch.zeros(10, 64, 1, 1)})
        >>> found.dialects, found.family, {key: tuple(tensor.shape) for key, tensor in found.state.items()}
        (('timm',), 'preact', {'conv1.weight': (64, 3, 7, 7), 'fc.weight': (10, 64)})
    """
    if not isinstance(state, Mapping):
        raise InputTypeError(f"state must be a dict of names and tensors, got {type(state).__name__}")
    if not state:
        raise InputError("the state dict holds no tensors")
    if odd := [key for key in state if not isinstance(key, str)]:
        raise InputTypeError(f"names of tensors must be strs, got {printable(repr(odd[0]), 80)}")
    tables: dict[tuple[Rule, ...], list[tuple[str, Table]]] = {}
    for name in DIALECTS if dialect is None else [resolve_dialect(dialect)]:
        for table in DIALECTS[name]:
            tables.setdefault(table.rules, []).append((name, table))
    selected = select_prefix(state, prefix)
    networks = _network_prefixes(selected, tables)
    if prefix is not None and "" in networks:
        networks = [""]
    if len(networks) > 1:
        raise InputError(f"it holds {len(networks)} networks: choose one, prefix={' or '.join(map(repr, networks))}")
    state = {key: tensor for key, tensor in selected.items() if key.startswith(networks[0] if networks else "")}
    best, owners, shared = _best_match(state, tables)
    table = owners[0][1]
    canonical = {name: tensor for name, tensor in zip(best, state.values(), strict=True) if name is not None}
    if table.conv_head and (weight := canonical.get("fc.weight")) is not None and weight.ndim == 4 and weight.shape[2:] == (1, 1):
        canonical["fc.weight"] = weight[:, :, 0, 0]
    unknown = [key for key, name in zip(state, best, strict=True) if name is None]
    ignored = [key for key in selected if key not in state]
    classifier = _classifier_of(table.family)
    head: dict[str, str] = {}  # what follows the classifier's name, such as "1.weight" -> name
    linear: dict[str, str] = {}
    if f"{classifier}.weight" not in canonical:
        if weight_name := rename(f"{classifier}.weight", table.rules, backwards=True):
            base = shared + weight_name.removesuffix("weight")
            head = {key[len(base) :]: key for key in unknown if key.startswith(base)}
        linear = _linear_in(head, selected) if head else _linear_beside(ignored, selected, canonical, [*networks, ""][0])
        canonical |= {f"{classifier}.{leaf}": selected[key] for leaf, key in linear.items()}
    taken = {*head.values(), *linear.values()}
    return RecognizedState(
        dialects=tuple(dict.fromkeys(name for name, _ in owners)),
        family=table.family,
        state=canonical,
        unknown=tuple(key for key in unknown if key not in taken),
        ignored=tuple(key for key in ignored if key not in taken),
        head=() if linear else tuple(head.values()),
    )


def _best_match(
    names: Collection[str], tables: Mapping[tuple[Rule, ...], list[tuple[str, Table]]]
) -> tuple[list[str | None], list[tuple[str, Table]], str]:
    """Return the canonical names by the rules that match most names, the tables with these rules, and the prefix of the names."""
    best: list[str | None] = [None] * len(names)
    owners: list[tuple[str, Table]] = []
    shared = ""
    for prefix in _prefixes(names):
        keys = [name[len(prefix) :] for name in names]
        for rules, named in tables.items():
            renamed = _rename_all(keys, rules, most=best.count(None))
            if renamed == best:
                owners += named
            elif renamed is not None and renamed.count(None) < best.count(None):
                best, owners, shared = renamed, [*named], prefix
        if None not in best:
            break
    return best, owners, shared


def _linear_in(head: Mapping[str, str], state: Mapping[str, Tensor]) -> dict[str, str]:
    """Map "weight" and "bias" to their names in the only linear layer of a `Sequential`; {} if there are other tensors."""
    layers = {key.partition(".")[0] for key in head}
    found = {key.partition(".")[2]: name for key, name in head.items()}
    if len(layers) > 1 or not layers.pop().isdecimal() or not {"weight"} <= found.keys() <= {"weight", "bias"}:
        return {}
    return found if state[found["weight"]].ndim == 2 else {}


def _linear_beside(
    ignored: Collection[str], state: Mapping[str, Tensor], body: Mapping[str, Tensor], prefix: str
) -> dict[str, str]:
    """Map "weight" and "bias" to their names in the linear layer of a head beside a network, such as `head.1.weight`; else {}."""
    features = max((len(tensor) for tensor in body.values() if tensor.ndim == 1), default=0)
    outer = re.sub(r"[^.]*\.$", "", prefix)  # "model." for "model.backbone."
    for layer in ("head", "fc", "classifier", "linear"):
        inside = [key for key in ignored if key.startswith(f"{outer}{layer}.")]
        found = {key.rpartition(".")[2]: key for key in inside}
        if len(inside) == 2 and found.keys() == {"weight", "bias"} and state[found["weight"]].shape[1:] == (features,):
            return found
    return {}


def _network_prefixes(state: Mapping[str, Tensor], tables: Iterable[tuple[Rule, ...]]) -> list[str]:
    """Return the prefixes under which a first convolution and a first block have the names of any dialect."""
    prefixes: dict[str, str] = {}  # name of the first convolution -> shortest prefix
    for rules, (first, block) in product(tables, _FIRST_TENSORS):
        stem, inside = rename(first, rules, backwards=True), rename(block, rules, backwards=True)
        if stem is None or inside is None:
            continue
        for key in state:
            prefix = key.removesuffix(stem)
            if key.endswith(stem) and (not prefix or prefix.endswith(".")) and prefix + inside in state:
                prefixes[key] = min(prefix, prefixes.get(key, prefix), key=len)
    return list(dict.fromkeys(prefixes.values()))


def select_prefix(state: Mapping[str, Tensor], prefix: str | None, *, source: str = "the state dict") -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it; all of them if the prefix is None or empty."""
    if prefix is None or prefix == "":
        return dict(state)
    if not isinstance(prefix, str):
        raise InputTypeError(f"prefix must be a str, got {prefix!r:.200}")
    prefix = prefix.rstrip(".") + "."
    if not any(key.startswith(prefix) for key in state):  # wrappers' prefixes are removed from the names of a file
        prefix = re.sub(r"^((module|_orig_mod)\.)+", "", prefix)
    selected = {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
    if not selected:
        known = ", ".join(dict.fromkeys(key.partition(".")[0][:80] for key in state))
        raise InputError(f"{source} has no tensors under prefix={prefix!r}; its names begin with {known:.500}")
    return selected


def _prefixes(keys: Collection[str]) -> list[str]:
    """Return the prefixes that all names share, such as "", "model." and "model.encoder.", the shortest first."""
    first, last = min(keys), max(keys)
    prefixes = [first[: dot.end()] for dot in re.finditer(r"\.", first)][:_MAX_PREFIX]
    return ["", *(prefix for prefix in prefixes if last.startswith(prefix))]


def to_dialect(state: Mapping[str, Tensor], spec: Spec, dialect: str) -> dict[str, Tensor]:
    """Rename the tensors of a state dict to the names of a dialect.

    Args:
        state: canonical names and tensors.
        spec: of the network.
        dialect: of the new names.

    Returns:
        New names and the tensors, in the same order.

    Raises:
        ValueError: for an unknown dialect, one without such a network, or names that are not canonical.

    Example:
        >>> from resnetlib import build, spec_of
        >>> net = build(spec_of("cifar_resnet20"), device="meta")
        >>> list(to_dialect(net.state_dict(), net.spec, "akamaster"))[-2:]
        ['linear.weight', 'linear.bias']
    """
    check_spec(spec)
    table = _table_for(spec, dialect)
    if isinstance(table, str):
        raise InputError(table)
    names = {key: rename(key, table.rules, backwards=True) for key in state}
    unknown = [key[:80] for key, name in names.items() if name is None]
    if unknown:
        raise InputError(f"{len(unknown)} names are not canonical, or {dialect} has none for them: {', '.join(unknown[:8])}")
    if table.conv_head and "fc.weight" in state:
        state = {**state, "fc.weight": state["fc.weight"][:, :, None, None]}
    return {str(names[key]): tensor for key, tensor in state.items()}


def unsupported_reason(spec: Spec, dialect: str) -> str | None:
    """Return why a dialect does not have a network, or None if it does."""
    table = _table_for(spec, dialect)
    return table if isinstance(table, str) else None


def check_dialect(found: RecognizedState, spec: Spec, *, source: str, by_name: bool = False) -> None:
    """Raise ValueError if none of a state dict's dialects has the network that it is loaded into.

    `by_name` means that the spec is known from a name only. This is not enough if the bottlenecks of a dialect can have their
    stride in either convolution.
    """
    if found.unknown:
        return  # `match_state_dict` reports the names
    reasons = [unsupported_reason(spec, dialect) for dialect in found.dialects]
    if None not in reasons:
        raise InputError(f"cannot load {source}: its names are those of {found.dialects[0]}, but {reasons[0]}")
    if not by_name or "resnetlib" in found.dialects or not isinstance(spec, ResNetSpec) or spec.block == "basic":
        return
    other = replace(spec, stride_in="1x1" if spec.stride_in == "3x3" else "3x3")
    both = [dialect for dialect in found.dialects if unsupported_reason(other, dialect) is None]
    if both:
        raise InputError(
            f"{source} uses the names of {both[0]}, which do not tell whether the stride is in the 3x3 or in the 1x1 convolution: "
            "use load_file(path, spec=...), with stride_in='3x3' or stride_in='1x1' in the spec"
        )


def resolve_dialect(name: str) -> str:
    """Return a dialect's name for the name or an alias; raise ValueError for an unknown one."""
    known = ALIASES.get(name, name) if isinstance(name, str) else None
    if known not in DIALECTS:
        raise InputError(f"dialect must be one of {', '.join(map(repr, [*DIALECTS, *ALIASES]))}, got {name!r}")
    return known


def _table_for(spec: Spec, dialect: str) -> Table | str:
    """Return the table of a dialect that fits a network, or the reason why none does."""
    name = resolve_dialect(dialect)
    family: Family = "densenet" if isinstance(spec, DenseNetSpec) else "preact" if spec.order == "pre" else "resnet"
    problems: list[list[str]] = []
    for table in (table for table in DIALECTS[name] if table.family == family):
        found = [
            f"{field} must be {' or '.join(map(repr, accepted))}, got {getattr(spec, field)!r}"
            for field, accepted in table.limits.items()
            if not any(_may_be(spec, field, value) for value in accepted)
        ]
        found += filter(None, [table.check(spec)])
        if not found:
            return table
        problems.append(found)
    if not problems:
        return f"{name} has no network of this family, {family}"
    fewest = min(problems, key=len)
    return f"{name} has no such network: {'; '.join(fewest)}"


def _may_be(spec: Spec, field: str, value: object) -> bool:
    """Return whether a field has this value, or could have it without changing the network."""
    if getattr(spec, field) == value:
        return True
    try:
        return same_network(spec, replace(spec, **{field: value}))  # type: ignore[arg-type]
    except ValueError:
        return False
