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

from resnetlib.models.catalog import SPECS, natural_order
from resnetlib.weights.catalog.cifar import akamaster_contracts, chenyaofo_contracts
from resnetlib.weights.catalog.embedded import EMBEDDED
from resnetlib.weights.catalog.timm import timm_contracts
from resnetlib.weights.catalog.torchvision import torchvision_contracts
from resnetlib.weights.catalog.transformers import transformers_contracts
from resnetlib.weights.contract import Contract, contract_from_json
from resnetlib.weights.files import METADATA_KEY, WeightsFile, parse_safetensors
from resnetlib.weights.sources import EmbeddedFile

__all__ = ["EMBEDDED", "contracts", "describe", "list_weights", "read_embedded", "tags_of"]


@cache
def contracts() -> Mapping[str, Contract]:
    """Return all contracts that there are.

    Returns:
        Full name -> contract; nobody can change it.

    Example:
        >>> contracts()["resnet50.tv2_in1k"].top1
        80.858
    """
    by_name: dict[str, Contract] = {}
    for contract in _made():
        if contract.full_name in by_name:
            raise ValueError(f"the catalogue has two contracts named {contract.full_name}")
        by_name[contract.full_name] = contract
    return MappingProxyType(by_name)


def list_weights(pattern: str = "*") -> list[str]:
    """List the weights' full names, in natural order.

    Args:
        pattern: with the wildcards of `fnmatch`: `*`, `?`, `[...]`.

    Returns:
        The names that match, as `network.tag`.

    Example:
        >>> list_weights("wide_resnet101_2*")
        ['wide_resnet101_2.tv2_in1k', 'wide_resnet101_2.tv_in1k']
    """
    return natural_order(name for name in contracts() if fnmatchcase(name, pattern))


def describe(full_name: str) -> Contract:
    """Return what is known of a set of weights.

    Args:
        full_name: one that `list_weights` lists.

    Returns:
        Its contract.

    Raises:
        ValueError: for a name that there is not, with the nearest that there are, or for a network's name, with its tags.
        TypeError: for something that is no name.

    Example:
        >>> contract = describe("resnet50.a1_in1k")
        >>> contract.preprocess.size, contract.recipe
        (224, 'A1 of ResNet strikes back, arXiv 2110.00476')
        >>> print(contract.sources[0])
        hf-hub:timm/resnet50.a1_in1k (model.safetensors)
    """
    if not isinstance(full_name, str):
        raise TypeError(f"the weights' full name must be a str, got {type(full_name).__name__}")
    if full_name in contracts():
        return contracts()[full_name]
    if full_name in SPECS:
        tags = tags_of(full_name)
        if not tags:
            raise ValueError(f"{full_name} is a network without weights: list_weights() lists all weights that there are")
        raise ValueError(f"{full_name} is a network: add one of its weights' tags, {', '.join(tags)}, as in {full_name}.{tags[0]}")
    near = get_close_matches(full_name, contracts(), n=3) or ["see list_weights()"]
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
    tags = natural_order(contract.tag for contract in contracts().values() if contract.name == name)
    return sorted(tags, key=lambda tag: (name, tag) not in EMBEDDED)


def read_embedded(name: str, tag: str) -> WeightsFile:
    """Read weights that are part of the package.

    Args:
        name: of the network.
        tag: of its weights, one of `EMBEDDED`.

    Returns:
        The tensors and their contract.

    Raises:
        ValueError: for another tag.
    """
    if (name, tag) not in EMBEDDED:
        own = [tag for network, tag in EMBEDDED if network == name]
        raise ValueError(f"the package has no weights {tag!r} for {name}, but {own or 'none'}")
    return parse_safetensors(_resource(EMBEDDED[name, tag].file).read_bytes(), f"{name}.{tag}")


def _made() -> Iterator[Contract]:
    for source in EMBEDDED.values():
        yield _embedded_contract(source)
    yield from akamaster_contracts()
    yield from chenyaofo_contracts()
    yield from torchvision_contracts()
    yield from timm_contracts()
    yield from transformers_contracts()


def _embedded_contract(source: EmbeddedFile) -> Contract:
    """Read the contract in a file's header, and no tensor."""
    with _resource(source.file).open("rb") as content:
        header = json.loads(content.read(int.from_bytes(content.read(8), "little")))
    return replace(contract_from_json(header["__metadata__"][METADATA_KEY]), sources=(source,))


def _resource(file: str) -> Traversable:
    return files("resnetlib.weights").joinpath("embedded", file)
