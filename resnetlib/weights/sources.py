"""Where a set of weights lies: in the package, on the Hugging Face Hub, behind a URL."""

import re
from dataclasses import dataclass

_HEX = re.compile(r"[0-9a-f]{8,64}")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedFile:
    """A file that is part of the package.

    Args:
        file: its name.
        sha256: of the contents, in hexadecimal.

    Raises:
        ValueError: for a hash that cannot be.
    """

    file: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        _check_hash(self.sha256)

    def __str__(self) -> str:
        return f"{self.file} in the package"


@dataclass(frozen=True, kw_only=True, slots=True)
class HubFile:
    """A file in a repository of the Hugging Face Hub, or of a mirror that `HF_ENDPOINT` names.

    Args:
        repo: organisation and name, `org/name`.
        file: its name in the repository.
        revision: a branch, a tag or a commit.
        dialect: the names of its tensors.
        sha256: of the contents, in hexadecimal, or the first digits of it; without it, what the hub says of the file.

    Raises:
        ValueError: for a repository, a file or a hash that cannot be.
    """

    repo: str
    file: str = "model.safetensors"
    revision: str = "main"
    dialect: str = "torchvision"
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.repo, str) or not _REPO.fullmatch(self.repo) or ".." in self.repo:
            raise ValueError(f"a repository of the hub is called org/name, got {self.repo!r}")
        if not _is_relative(self.file):
            raise ValueError(f"a file of a repository has a path inside it, got {self.file!r}")
        if not _is_relative(self.revision):
            raise ValueError(f"a revision is a branch, a tag or a commit, got {self.revision!r}")
        _check_hash(self.sha256)

    def __str__(self) -> str:
        return f"hf-hub:{self.repo}{'@' + self.revision if self.revision != 'main' else ''} ({self.file})"


@dataclass(frozen=True, kw_only=True, slots=True)
class UrlFile:
    """A file behind a URL.

    Args:
        url: where it is.
        sha256: of the contents, in hexadecimal, or the first digits of it, at least eight.
        mib: its published size, in MiB.
        dialect: the names of its tensors.

    Raises:
        ValueError: for another protocol, for a URL with a user's name or a password, and for a hash that cannot be.
    """

    url: str
    sha256: str
    mib: float | None = None
    dialect: str = "torchvision"

    def __post_init__(self) -> None:
        if "@" in re.split(r"[/?#]", self.url.partition("://")[2], maxsplit=1)[0]:
            raise ValueError("a URL must be without a user's name and a password: whoever reads an error would read them too")
        if not self.url.startswith(("https://", "http://")):
            raise ValueError(f"a URL must begin with https:// or http://, got {self.url!r}")
        _check_hash(self.sha256)

    def __str__(self) -> str:
        return re.split(r"[?#]", self.url, maxsplit=1)[0]


Source = EmbeddedFile | HubFile | UrlFile
"""One of the places where a set of weights lies."""


def _is_relative(path: object) -> bool:
    """Tell whether a path stays inside the folder that it starts from, on every system."""
    if not isinstance(path, str) or not path or "\\" in path or ":" in path or not path.isprintable():
        return False
    return all(part not in ("", ".", "..") for part in path.split("/"))


def _check_hash(sha256: str | None) -> None:
    if sha256 is not None and (not isinstance(sha256, str) or not _HEX.fullmatch(sha256)):
        raise ValueError(f"sha256 must be 8 to 64 hexadecimal digits, in lower case, got {sha256!r}")
