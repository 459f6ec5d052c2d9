"""Which network a bare state dict is of, where names and shapes, and where they come from, leave only one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache

from torch import Tensor

from resnetlib.config import Spec
from resnetlib.models.build import build
from resnetlib.models.catalog import SPECS
from resnetlib.weights.dialects.equivalent import simplest
from resnetlib.weights.dialects.recognise import Recognised, dialect_named, recognise, why_not
from resnetlib.weights.dialects.renaming import ENDS
from resnetlib.weights.dialects.structure import Shapes, possible_specs

_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.|features\.denseblock(\d+)\.denselayer(\d+)\.")

MOST_TENSORS = 10_000
"""No network that is known has so many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inferred:
    """What a state dict says of its network.

    Args:
        spec: the architecture, the simplest of those that describe the network.
        num_classes: logits; 0 if there is no classifier.
        in_chans: channels of the images.
    """

    spec: Spec
    num_classes: int
    in_chans: int


def infer_spec(given: Recognised | Mapping[str, Tensor], *, dialect: str | None = None) -> Inferred:
    """Work out the network that tensors are of.

    Names and shapes do not tell everything: a bottleneck's stride can be in either of two convolutions, and without projections a
    network can be plain or residual with either padding. The dialect settles it where its networks have only one of these. Names
    that several dialects share settle nothing, unless one of them is asked for.

    Args:
        given: names and tensors, in any dialect; or what `recognise` returns for them.
        dialect: where they come from; None to find it out.

    Returns:
        The spec and the numbers that are not part of it.

    Raises:
        ValueError: if they are no network's, or if more than one network has them, with the choices that there are.

    Example:
        >>> from resnetlib import build, spec_of
        >>> state = build(spec_of("resnet50"), num_classes=37, device="meta").state_dict()
        >>> inferred = infer_spec(state, dialect="torchvision")
        >>> inferred.spec == spec_of("resnet50"), inferred.num_classes, inferred.in_chans
        (True, 37, 3)
        >>> infer_spec(state)
        Traceback (most recent call last):
        ValueError: names and shapes are the same for 2 networks:
          stride_in='3x3' (resnet50; dialect='torchvision' or 'timm')
          stride_in='1x1'
        Say which one it is: give its name, its spec, or a dialect that settles it.
    """
    if not isinstance(given, Recognised):
        given = recognise(given, dialect=dialect)
    elif dialect is not None and dialect_named(dialect).name not in given.dialects:
        raise ValueError(f"these are the names of {' or '.join(given.dialects)}, and not of dialect={dialect!r}")
    elif dialect is not None:
        given = replace(given, dialects=(dialect_named(dialect).name,))
    possible = _verified(given)
    specs = _of_dialects(possible, given.dialects)
    if not specs:
        raise ValueError(str(why_not(possible[0], given.dialects[0])))
    if len(specs) > 1:
        raise ValueError(_choices(specs, given.dialects))
    classes, channels = _ends(given)
    return Inferred(spec=specs[0], num_classes=classes, in_chans=channels)


def fitting_specs(recognised: Recognised) -> tuple[Spec, ...]:
    """List the networks that tensors can be of.

    Args:
        recognised: what `recognise` returns for them.

    Returns:
        The simplest spec of each, the likeliest first.

    Raises:
        ValueError: if they are no network's.

    Example:
        >>> from resnetlib import build, spec_of
        >>> found = recognise(build(spec_of("cifar_plain20"), device="meta").state_dict())
        >>> [(spec.join, spec.shortcut) for spec in fitting_specs(found)]
        [('add', 'A'), ('add', 'A_end'), ('replace', 'B')]
    """
    return tuple(_of_dialects(_verified(recognised), recognised.dialects))


def nearest_name(recognised: Recognised) -> str | None:
    """Return the known network whose names and shapes these are, or come nearest to, apart from classes and input channels.

    What is nearest has the same blocks in each stage, and the most tensors of the same shapes.

    Args:
        recognised: what `recognise` returns.

    Returns:
        Its name, or None if there is none. Where several networks have them, the name of the likeliest.

    Example:
        >>> from resnetlib import build, spec_of
        >>> nearest_name(recognise(build(spec_of("resnet34"), num_classes=5, device="meta").state_dict()))
        'resnet34'
    """
    try:
        specs = fitting_specs(recognised)
    except ValueError:
        return _likeliest(recognised)
    return next((_names()[spec] for spec in specs if spec in _names()), None)


def _likeliest(found: Recognised) -> str | None:
    """Return the known network with as many blocks in each stage, and the most tensors of the same shapes."""
    counts: dict[int, int] = {}
    for key in found.state:
        if place := _BLOCK.match(key):
            stage, block = int(place[1] or place[3]), int(place[2] or place[4]) + (1 if place[1] else 0)
            counts[stage] = max(counts.get(stage, 0), block)
    depths = tuple(counts[stage] for stage in sorted(counts))
    shapes, best = _shapes(found), (0, "")
    for spec, name in _names().items():
        if spec.depths == depths:
            own = _expected(spec, 1, 3)
            best = max(best, (sum(own.get(key) == shape for key, shape in shapes.items()), name))
    return best[1] or None


@cache
def _names() -> Mapping[Spec, str]:
    """Return the names of the known networks, by their simplest specs."""
    return {simplest(spec): name for name, spec in reversed(list(SPECS.items()))}


def _of_dialects(specs: Sequence[Spec], dialects: Sequence[str]) -> list[Spec]:
    """Return the specs of which at least one of the dialects has the network."""
    return [spec for spec in specs if any(why_not(spec, dialect) is None for dialect in dialects)]


def _verified(found: Recognised) -> list[Spec]:
    """Return the specs that are possible, if all tensors are there and have their shapes."""
    if found.unknown:
        raise ValueError(_listed(f"{found.dialects[0]}'s networks have no tensors named so:", [key[:80] for key in found.unknown]))
    if len(found.state) > MOST_TENSORS:
        raise ValueError(f"no known network has more than {MOST_TENSORS} tensors, got {len(found.state)}")
    shapes = _shapes(found)
    specs = possible_specs(shapes)
    classes, channels = _ends(found)
    expected = _expected(specs[0], classes, channels)
    wrong = [
        *_group("missing", [key for key in expected if key not in shapes and not key.endswith("num_batches_tracked")]),
        *_group("unexpected", [key for key in shapes if key not in expected]),
        *_group(
            "of another shape",
            [f"{key} {shapes[key]}, not {expected[key]}" for key in expected if shapes.get(key, expected[key]) != expected[key]],
        ),
    ]
    if wrong:
        raise ValueError(f"these tensors come nearest to those of {specs[0]}, but are not:\n" + "\n".join(wrong))
    return specs


@lru_cache(maxsize=4)
def _expected(spec: Spec, num_classes: int, in_chans: int) -> Shapes:
    """Return the names and shapes of a network's tensors."""
    try:
        net = build(spec, num_classes=num_classes, in_chans=in_chans, device="meta")
    except (RuntimeError, OverflowError, TypeError) as error:
        raise ValueError(f"these shapes are of no network that can be built: {error}") from error
    return {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()}


def _shapes(found: Recognised) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in found.state.items()}


def _ends(found: Recognised) -> tuple[int, int]:
    """Return the classes and the input's channels."""
    stem, head = (found.state.get(name) for name in ENDS[found.family])
    classes = head.shape[0] if head is not None and head.ndim else 0
    return classes, stem.shape[1] if stem is not None and stem.ndim > 1 else 0


def _choices(specs: Sequence[Spec], dialects: Sequence[str]) -> str:
    """Say between which networks there is a choice, and what would make it."""
    kind = type(specs[0])
    differ = [field.name for field in fields(kind) if len({getattr(spec, field.name) for spec in specs}) > 1]
    lines = []
    for spec in specs:
        what = ", ".join(f"{name}={getattr(spec, name)!r}" for name in differ)
        settling = [repr(dialect) for dialect in dialects if _of_dialects(specs, [dialect]) == [spec]]
        how = [_names()[spec]] if spec in _names() else []
        how += [f"dialect={' or '.join(settling)}"] if settling else []
        lines.append(f"  {what}" + (f" ({'; '.join(how)})" if how else ""))
    return (
        f"names and shapes are the same for {len(specs)} networks:\n"
        + "\n".join(lines)
        + "\nSay which one it is: give its name, its spec, or a dialect that settles it."
    )


def _group(what: str, names: list[str]) -> list[str]:
    return [_listed(f"  {len(names)} {what}:", names)] if names else []


def _listed(what: str, names: list[str], shown: int = 8) -> str:
    more = f" ... and {len(names) - shown} more" if len(names) > shown else ""
    return f"{what} {', '.join(names[:shown])}{more}"
