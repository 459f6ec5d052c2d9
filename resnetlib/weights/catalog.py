"""Which weights exist, and where they come from."""

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from resnetlib.weights.files import WeightsFile, parse_safetensors

EMBEDDED: Mapping[tuple[str, str], str] = MappingProxyType(
    {("cifar_resnet20", "resnetlib_c10"): "cifar_resnet20.resnetlib_c10.safetensors"}
)
"""(name, tag) -> a file in the package."""


def tags_of(name: str) -> list[str]:
    """List the tags of a network's weights.

    Args:
        name: of the network.

    Returns:
        The tags; the first one is the command line's default.

    Example:
        >>> tags_of("cifar_resnet20")
        ['resnetlib_c10']
    """
    return [tag for network, tag in EMBEDDED if network == name]


def read_embedded(name: str, tag: str) -> WeightsFile:
    """Read weights that are part of the package.

    Args:
        name: of the network.
        tag: of its weights, one of `tags_of`.

    Returns:
        The tensors and their contract.

    Raises:
        ValueError: for another tag.
    """
    if (name, tag) not in EMBEDDED:
        raise ValueError(f"the package has no weights {tag!r} for {name}, but {tags_of(name) or 'none'}")
    resource = files("resnetlib.weights").joinpath("embedded", EMBEDDED[name, tag])
    return parse_safetensors(resource.read_bytes(), f"{name}.{tag}")
