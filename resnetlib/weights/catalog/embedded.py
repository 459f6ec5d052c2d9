"""The weights that are part of the package."""

from collections.abc import Mapping
from types import MappingProxyType

from resnetlib.config import EmbeddedFile


def _files(hashes: Mapping[tuple[str, str], str]) -> Mapping[tuple[str, str], EmbeddedFile]:
    return MappingProxyType(
        {(name, tag): EmbeddedFile(file=f"{name}.{tag}.safetensors", sha256=sha256) for (name, tag), sha256 in hashes.items()}
    )


EMBEDDED = _files(
    {
        ("cifar_plain20", "resnetlib_c10"): "aa2a348db034f05d84293a04e1df3595057c11a57e9db8ce97a8f61b24d500e6",
        ("cifar_resnet20", "resnetlib_c10"): "f61f9726fc5d9e732a8dcccc361d70b362e93aad0d5f4ac948be266391d66b5c",
    }
)
"""(name, tag) -> a file in the package, and the SHA-256 of its contents. What else is known of it stands in its header."""
