"""Which weights exist, what is known of them, and where they lie."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from resnetlib.config import EmbeddedFile, PretrainedConfig, pretrained_config_from_json
from resnetlib.models.catalog import SPECS, natural_order
from resnetlib.weights.catalog.cifar import akamaster_configs, chenyaofo_configs
from resnetlib.weights.catalog.embedded import EMBEDDED
from resnetlib.weights.catalog.timm import timm_configs
from resnetlib.weights.catalog.torchvision import torchvision_configs
from resnetlib.weights.catalog.transformers import transformers_configs
from resnetlib.weights.files import METADATA_KEY, WeightsFile, parse_safetensors

__all__ = ["EMBEDDED", "describe", "list_pretrained", "pretrained_configs", "read_embedded", "tags_of"]


@cache
def pretrained_configs() -> Mapping[str, PretrainedConfig]:
    """Return all pretrained configs that there are.

    Returns:
        Full name -> cfg; nobody can change it.

    Example:
        >>> pretrained_configs()["resnet50.tv2_in1k"].top1
        80.858
    """
    by_name: dict[str, PretrainedConfig] = {}
    for cfg in _made():
        if cfg.full_name in by_name:
            raise ValueError(f"the catalogue has two pretrained configs named {cfg.full_name}")
        by_name[cfg.full_name] = cfg
    return MappingProxyType(by_name)


def list_pretrained(pattern: str = "*") -> list[str]:
    """List the weights' full names, in natural order.

    Args:
        pattern: with the wildcards of `fnmatch`: `*`, `?`, `[...]`.

    Returns:
        The names that match, as `network.tag`.

    Example:
        >>> list_pretrained("wide_resnet101_2*")
        ['wide_resnet101_2.tv2_in1k', 'wide_resnet101_2.tv_in1k']
    """
    return natural_order(name for name in pretrained_configs() if fnmatchcase(name, pattern))


def describe(full_name: str) -> PretrainedConfig:
    """Return what is known of a set of weights.

    Args:
        full_name: one that `list_pretrained` lists.

    Returns:
        Its pretrained config.

    Raises:
        ValueError: for a name that there is not, with the nearest that there are, or for a network's name, with its tags.
        TypeError: for something that is no name.

    Example:
        >>> cfg = describe("resnet50.a1_in1k")
        >>> cfg.preprocess.size, cfg.recipe
        (224, 'A1 of ResNet strikes back, arXiv 2110.00476')
        >>> print(cfg.sources[0])
        hf-hub:timm/resnet50.a1_in1k (model.safetensors)
    """
    if not isinstance(full_name, str):
        raise TypeError(f"the weights' full name must be a str, got {type(full_name).__name__}")
    if full_name in pretrained_configs():
        return pretrained_configs()[full_name]
    if full_name in SPECS:
        tags = tags_of(full_name)
        if not tags:
            raise ValueError(f"{full_name} is a network without weights: list_pretrained() lists all weights that there are")
        raise ValueError(f"{full_name} is a network: add one of its weights' tags, {', '.join(tags)}, as in {full_name}.{tags[0]}")
    near = get_close_matches(full_name, pretrained_configs(), n=3) or ["see list_pretrained()"]
    raise ValueError(f"there are no weights named {full_name!r}; nearest: {', '.join(near)}")


def tags_of(name: str) -> list[str]:
    """List the tags of a network's weights.

    Args:
        name: of the network.

    Returns:
        The tags, in natural order, but first those of weights in the package; the first one is the command line's default.

    Example:
        >>> tags_of("cifar_resnet20")
        ['resnetlib_c10', 'akamaster_c10']
    """
    tags = natural_order(cfg.tag for cfg in pretrained_configs().values() if cfg.name == name)
    return sorted(tags, key=lambda tag: (name, tag) not in EMBEDDED)


def read_embedded(name: str, tag: str) -> WeightsFile:
    """Read weights that are part of the package.

    Args:
        name: of the network.
        tag: of its weights, one of `EMBEDDED`.

    Returns:
        The tensors and their pretrained config.

    Raises:
        ValueError: for another tag.
    """
    if (name, tag) not in EMBEDDED:
        own = [tag for network, tag in EMBEDDED if network == name]
        raise ValueError(f"the package has no weights {tag!r} for {name}, but {own or 'none'}")
    return parse_safetensors(_resource(EMBEDDED[name, tag].file).read_bytes(), f"{name}.{tag}")


def _made() -> Iterator[PretrainedConfig]:
    for source in EMBEDDED.values():
        yield _embedded_config(source)
    yield from akamaster_configs()
    yield from chenyaofo_configs()
    yield from torchvision_configs()
    yield from timm_configs()
    yield from transformers_configs()


def _embedded_config(source: EmbeddedFile) -> PretrainedConfig:
    """Read the pretrained config in a file's header, and no tensor."""
    with _resource(source.file).open("rb") as content:
        header = json.loads(content.read(int.from_bytes(content.read(8), "little")))
    return replace(pretrained_config_from_json(header["__metadata__"][METADATA_KEY]), sources=(source,))


def _resource(file: str) -> Traversable:
    return files("resnetlib.weights").joinpath("embedded", file)
