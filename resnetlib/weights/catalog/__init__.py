"""The catalog of pretrained weights: their names, their configs, and where they are stored."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from resnetlib.config import EmbeddedFile, PretrainedConfig, pretrained_config_from_json
from resnetlib.errors import InputError, InputTypeError, check_not_exported
from resnetlib.models.catalog import SPECS, TIMM_NAMES, Filters, natural_order, nearest, select, spec_of, timm_advice
from resnetlib.weights.catalog.tables import builders, timm_default_tag
from resnetlib.weights.files import METADATA_KEY, WeightsFile, read_weights

__all__ = ["EMBEDDED", "describe", "list_pretrained", "pretrained_configs", "read_embedded", "tags_of"]

_SHA256 = {
    ("cifar_plain20", "resnetlib_c10"): "22c261f1b0ef2d12cdde88de47899a648bdc52a8260e0f2ad6cb89498ea2d99b",
    ("cifar_plain56", "resnetlib_c10"): "59ea67bf27efec89be00147d3aeec99e4038a05552cdde19e9bf3209e7fb0631",
    ("cifar_resnet20", "resnetlib_c10"): "1d29289d9a7f76f8058ea6af93af717f8646237fd78f0c30d78af625bbb787fe",
    ("cifar_resnet56", "resnetlib_c10"): "0423d3c081d1d2bb663b62c45f1da1efbec9aaac0ddfd1ddb8ded891fd9d82cf",
}

EMBEDDED: Mapping[tuple[str, str], EmbeddedFile] = MappingProxyType(
    {key: EmbeddedFile(file=f"{'.'.join(key)}.safetensors", sha256=sha256) for key, sha256 in _SHA256.items()}
)
"""(name, tag) -> the file in this package. Its header holds the rest of the pretrained config."""


class _Catalog(Mapping[str, PretrainedConfig]):
    """Full name -> pretrained config, built on first access."""

    def __init__(self, builders: Mapping[str, Callable[[], PretrainedConfig]]) -> None:
        self._builders = {name: cache(build) for name, build in builders.items()}

    def __getitem__(self, full_name: str) -> PretrainedConfig:
        return self._builders[full_name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)

    def __len__(self) -> int:
        return len(self._builders)


@cache
def pretrained_configs() -> Mapping[str, PretrainedConfig]:
    """Return all pretrained configs by full name, as a read-only mapping that builds each one on first access."""
    embedded = {f"{name}.{tag}": partial(_embedded_config, source) for (name, tag), source in EMBEDDED.items()}
    return _Catalog({**embedded, **builders()})


def list_pretrained(filter: Filters = "", exclude_filters: Filters = "") -> list[str]:  # noqa: A002 - timm's word
    """List the full names (`network.tag`) of the pretrained weights, in natural order.

    Args:
        filter: a name with the wildcards `*`, `?` and `[...]`, or a list of them; a network's name stands for all of its weights.
        exclude_filters: the same, for names to leave out.

    Returns:
        The matching names.

    Example:
        >>> list_pretrained("wide_resnet101_2")
        ['wide_resnet101_2.tv2_in1k', 'wide_resnet101_2.tv_in1k']
        >>> list_pretrained(["resnet18", "resnet34"], exclude_filters=["*.fb_*", "*.a?_in1k"])[:3]
        ['resnet18.gluon_in1k', 'resnet18.microsoft_in1k', 'resnet18.tv_in1k']
    """
    return select(pretrained_configs(), filter, exclude_filters)


def describe(full_name: str) -> PretrainedConfig:
    """Return the pretrained config of weights in the catalog.

    Args:
        full_name: `network.tag`, as `list_pretrained` returns it, or timm's name of the same weights.

    Returns:
        The pretrained config.

    Raises:
        ValueError: if there are no such weights; the message lists the closest names, or the network's tags.
        TypeError: if the name is not a str.

    Example:
        >>> cfg = describe("resnet50.a1_in1k")
        >>> cfg.preprocess.size, cfg.recipe
        (224, 'A1 of ResNet strikes back, arXiv 2110.00476')
        >>> print(cfg.sources[0])
        hf-hub:timm/resnet50.a1_in1k (model.safetensors)
    """
    if not isinstance(full_name, str):
        raise InputTypeError(f"the weights' full name must be a str, got {type(full_name).__name__}")
    network, dot, tag = full_name.partition(".")
    network = TIMM_NAMES.get(network, network)
    full_name = f"{network}{dot}{tag}"
    if full_name in pretrained_configs():
        return pretrained_configs()[full_name]
    tags = tags_of(network) if network in SPECS else []
    if full_name in SPECS:
        if not tags:
            raise InputError(f"{full_name} is a network without weights: list_pretrained() lists all pretrained weights")
        raise InputError(f"{full_name} is a network: add one of its weights' tags, {', '.join(tags)}, as in {full_name}.{tags[0]}")
    check_not_exported(full_name)
    own = [f"{network}.{tag}" for tag in tags]
    near = nearest(full_name, own or pretrained_configs()) or own
    advice = f"nearest: {', '.join(near)}" if near else "see list_pretrained()"
    raise InputError(f"there are no weights named {full_name!r}; {advice}{'' if own else timm_advice(full_name)}")


def tags_of(name: str) -> list[str]:
    """List the tags of a network's weights, the default one first.

    `pretrained=True` takes the default: weights in the package, timm's default for ImageNet names, or else the first tag.

    Args:
        name: the network's name, or timm's name for it.

    Returns:
        The tags; the others are in natural order.

    Raises:
        ValueError: if there is no such network.
        TypeError: if the name is not a str.

    Example:
        >>> tags_of("cifar_resnet20")
        ['resnetlib_c10', 'akamaster_c10']
        >>> tags_of("resnet101")[0]
        'a1h_in1k'
    """
    spec_of(name)  # or an error
    name = TIMM_NAMES.get(name, name)
    names = (full_name.partition(".") for full_name in pretrained_configs())
    tags = natural_order(tag for network, _, tag in names if network == name)
    default = timm_default_tag(name)
    return sorted(tags, key=lambda tag: (tag != default, (name, tag) not in EMBEDDED))


def read_embedded(name: str, tag: str) -> WeightsFile:
    """Read weights that are part of the package.

    Args:
        name: the network's name.
        tag: the weights' tag; `(name, tag)` is a key of `EMBEDDED`.

    Returns:
        The tensors and their pretrained config.

    Raises:
        ValueError: if the package has no such weights, or their file does not have its SHA-256.
    """
    if (name, tag) not in EMBEDDED:
        own = [tag for network, tag in EMBEDDED if network == name]
        raise InputError(f"the package has no weights {tag!r} for {name}; it has {own or 'none'}")
    source = EMBEDDED[name, tag]
    with as_file(_resource(source.file)) as path:
        if hashlib.sha256(path.read_bytes()).hexdigest() != source.sha256:
            raise InputError(f"{source} is damaged: install the package again")
        return read_weights(path)


def _embedded_config(source: EmbeddedFile) -> PretrainedConfig:
    """Read the pretrained config from the file's header, without the tensors."""
    with _resource(source.file).open("rb") as content:
        header = json.loads(content.read(int.from_bytes(content.read(8), "little")))
    return replace(pretrained_config_from_json(header["__metadata__"][METADATA_KEY]), sources=(source,))


def _resource(file: str) -> Traversable:
    return files("resnetlib.weights").joinpath("embedded", file)
