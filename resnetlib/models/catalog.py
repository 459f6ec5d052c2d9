"""The named networks: a read-only mapping from names to specs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from resnetlib.config import DenseNetSpec, ResNetSpec, Spec
from resnetlib.errors import InputError, InputTypeError, check_not_exported

_18 = ResNetSpec(block="basic", depths=(2, 2, 2, 2))
_26 = ResNetSpec(block="bottleneck", depths=(2, 2, 2, 2))
_34 = ResNetSpec(block="basic", depths=(3, 4, 6, 3))
_50 = ResNetSpec(block="bottleneck", depths=(3, 4, 6, 3))
_101 = ResNetSpec(block="bottleneck", depths=(3, 4, 23, 3))
_152 = ResNetSpec(block="bottleneck", depths=(3, 8, 36, 3))
_200 = ResNetSpec(block="bottleneck", depths=(3, 24, 36, 3))
_DENSE = DenseNetSpec(growth=32, depths=(6, 12, 24, 16), stem_width=64)


def _cifar(depth: int) -> ResNetSpec:
    """Return the spec of a ResNet of 6n + 2 layers: three stages of n basic blocks (arXiv 1512.03385, sec. 4.2)."""
    n = (depth - 2) // 6
    return ResNetSpec(block="basic", depths=(n, n, n), widths=(16, 32, 64), shortcut="A", stem="cifar")


def _cifar_bottleneck(depth: int) -> ResNetSpec:
    """Return the spec of a ResNet of 9n + 2 layers: three stages of n bottlenecks (arXiv 1603.05027, sec. 5)."""
    n = (depth - 2) // 9
    return ResNetSpec(block="bottleneck", depths=(n, n, n), widths=(16, 32, 64), stem="cifar")


def _cifar_dense(depth: int, growth: int) -> DenseNetSpec:
    """Return the spec of a DenseNet of 3m + 4 layers, without bottlenecks and compression (arXiv 1608.06993, sec. 3)."""
    m = (depth - 4) // 3
    return DenseNetSpec(growth=growth, depths=(m, m, m), stem_width=16, bottleneck=0, compression=1.0, stem="cifar")


def _cifar_dense_bc(depth: int, growth: int) -> DenseNetSpec:
    """Return the spec of a DenseNet-BC of 6m + 4 layers, with bottlenecks and compression (arXiv 1608.06993, sec. 3)."""
    m = (depth - 4) // 6
    return DenseNetSpec(growth=growth, depths=(m, m, m), stem_width=2 * growth, stem="cifar")


SPECS: Mapping[str, Spec] = MappingProxyType(
    {
        "plain18": replace(_18, join="replace"),
        "plain34": replace(_34, join="replace"),
        "resnet18": _18,
        "resnet26": _26,
        "resnet34": _34,
        "resnet50": _50,
        "resnet101": _101,
        "resnet152": _152,
        "resnet200": _200,
        "resnext50_32x4d": replace(_50, groups=32, base_width=4),
        "resnext101_32x4d": replace(_101, groups=32, base_width=4),
        "resnext101_32x8d": replace(_101, groups=32, base_width=8),
        "resnext101_64x4d": replace(_101, groups=64, base_width=4),
        "wide_resnet50_2": replace(_50, base_width=128),
        "wide_resnet101_2": replace(_101, base_width=128),
        "preact_resnet18": replace(_18, order="pre"),
        "preact_resnet34": replace(_34, order="pre"),
        "preact_resnet50": replace(_50, order="pre"),
        "preact_resnet101": replace(_101, order="pre"),
        "preact_resnet152": replace(_152, order="pre"),
        "preact_resnet200": replace(_200, order="pre"),
        "densenet121": _DENSE,
        "densenet161": replace(_DENSE, growth=48, depths=(6, 12, 36, 24), stem_width=96),
        "densenet169": replace(_DENSE, depths=(6, 12, 32, 32)),
        "densenet201": replace(_DENSE, depths=(6, 12, 48, 32)),
        "densenet264": replace(_DENSE, depths=(6, 12, 64, 48)),
        "cifar_plain20": replace(_cifar(20), join="replace"),
        "cifar_plain32": replace(_cifar(32), join="replace"),
        "cifar_plain44": replace(_cifar(44), join="replace"),
        "cifar_plain56": replace(_cifar(56), join="replace"),
        "cifar_plain110": replace(_cifar(110), join="replace"),
        "cifar_resnet20": _cifar(20),
        "cifar_resnet32": _cifar(32),
        "cifar_resnet44": _cifar(44),
        "cifar_resnet56": _cifar(56),
        "cifar_resnet110": _cifar(110),
        "cifar_resnet164": _cifar_bottleneck(164),
        "cifar_resnet1202": _cifar(1202),
        "cifar_resnet20b": replace(_cifar(20), shortcut="B"),
        "cifar_resnet32b": replace(_cifar(32), shortcut="B"),
        "cifar_resnet44b": replace(_cifar(44), shortcut="B"),
        "cifar_resnet56b": replace(_cifar(56), shortcut="B"),
        "cifar_resnet110b": replace(_cifar(110), shortcut="B"),
        "cifar_preact_resnet20": replace(_cifar(20), order="pre"),
        "cifar_preact_resnet56": replace(_cifar(56), order="pre"),
        "cifar_preact_resnet110": replace(_cifar(110), order="pre"),
        "cifar_preact_resnet164": replace(_cifar_bottleneck(164), order="pre"),
        "cifar_preact_resnet1001": replace(_cifar_bottleneck(1001), order="pre"),
        "cifar_densenet40_k12": _cifar_dense(40, 12),
        "cifar_densenet100_k12": _cifar_dense(100, 12),
        "cifar_densenet_bc100_k12": _cifar_dense_bc(100, 12),
        "cifar_densenet_bc190_k40": _cifar_dense_bc(190, 40),
        "cifar_densenet_bc250_k24": _cifar_dense_bc(250, 24),
    }
)


TIMM_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **{name: name for name in SPECS if not name.startswith(("plain", "preact", "cifar", "densenet264"))},
        **{f"resnetv2_{depth}": f"preact_resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    }
)
"""timm's name -> ours, for networks that are the same in both."""


def spec_of(name: str) -> Spec:
    """Return the spec of a named network.

    Args:
        name: a name from `list_models`, or timm's name of the same network.

    Returns:
        The spec.

    Raises:
        ValueError: if there is no such network; the message suggests similar names.

    Example:
        >>> spec_of("resnet50").depths
        (3, 4, 6, 3)
    """
    if not isinstance(name, str):
        raise InputTypeError(f"name must be a str, got {type(name).__name__}")
    check_not_exported(name)
    network, dot, _ = name.partition(".")
    spec = SPECS.get(TIMM_NAMES.get(network, network))
    if spec is None:
        near = nearest(name, SPECS)
        advice = f"nearest: {', '.join(near)}" if near else "see list_models()"
        raise InputError(f"there is no network named {name!r}; {advice}{timm_advice(name)}")
    if dot:
        raise InputError(f"spec_of takes the name of a network, without a tag, got {name!r}: write spec_of({network!r})")
    return spec


def timm_advice(name: str) -> str:
    """Return advice for a network that timm's source defines; "" if timm is not installed, or does not have it."""
    name = name.partition(".")[0]
    timm = find_spec("timm") if re.fullmatch(r"\w+", name, re.ASCII) else None
    models = Path(timm.origin).parent / "models" if timm is not None and timm.origin else None
    if models is None or not any(f"\ndef {name}(" in path.read_text(encoding="utf-8") for path in models.glob("*.py")):
        return ""
    return f"; timm has it: timm.create_model({name!r})"


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Suggest up to three names: those that differ only in case, separators and `cifar_`, or else longer ones.

    >>> nearest("ResNet-18", SPECS), nearest("resnet20", SPECS), nearest("wideresnet50", SPECS)
    (['resnet18'], ['cifar_resnet20'], ['wide_resnet50_2'])
    """
    key, keys = _key(name), {each: _key(each) for each in names}
    if same := [each for each in keys if keys[each] == key]:
        return same[:3]
    longer = [each for each in keys if key and keys[each].startswith(key)]
    return (longer or get_close_matches(name.lower(), keys, n=3))[:3]


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower()).removeprefix("cifar")


Filters = str | Iterable[str] | None
"""A name with the wildcards `*`, `?` and `[...]`, or several. A network's name stands for all of its weights."""


def select(names: Iterable[str], include: Filters = "", exclude: Filters = "") -> list[str]:
    """Return the names that match `include` (all if empty) and do not match `exclude`, in natural order."""
    wanted, unwanted = _as_list(include), _as_list(exclude)
    return natural_order(name for name in names if (not wanted or _matches(name, wanted)) and not _matches(name, unwanted))


def _as_list(filters: Filters) -> list[str]:
    single = isinstance(filters, str | bytes) or not isinstance(filters, Iterable)
    listed: list[Any] = [] if filters is None else [filters] if single else [*filters]
    if odd := [type(each).__name__ for each in listed if not isinstance(each, str)]:
        raise InputTypeError(f"a filter must be a str or a list of strs, got {', '.join(odd)}")
    return [each for each in listed if each]


def _matches(name: str, filters: list[str]) -> bool:
    network = name.partition(".")[0]
    return any(fnmatchcase(name, each) or fnmatchcase(network, each) for each in filters)


def natural_order(names: Iterable[str]) -> list[str]:
    """Sort names, and compare the numbers in them as numbers."""
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])
