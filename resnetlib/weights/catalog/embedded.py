"""The weights that are part of the package."""

from collections.abc import Mapping
from types import MappingProxyType

from resnetlib.weights.sources import EmbeddedFile


def _files(hashes: Mapping[tuple[str, str], str]) -> Mapping[tuple[str, str], EmbeddedFile]:
    return MappingProxyType(
        {(name, tag): EmbeddedFile(file=f"{name}.{tag}.safetensors", sha256=sha256) for (name, tag), sha256 in hashes.items()}
    )


EMBEDDED = _files(
    {
        ("cifar_resnet20", "resnetlib_c10"): "762bb8abc91c3a50c813d39d63b62d501f9a3524fc64a70a31cb43f0529aaa17",
    }
)
"""(name, tag) -> a file in the package, and the SHA-256 of its contents. What else is known of it stands in its header."""
