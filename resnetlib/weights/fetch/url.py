"""Files behind URLs lie where torchvision keeps them."""

from pathlib import Path
from urllib.parse import urlsplit

from resnetlib.config import UrlFile
from resnetlib.weights.fetch.deadline import TRIES, Deadline
from resnetlib.weights.fetch.download import download
from resnetlib.weights.fetch.errors import DamagedError, NotThereError, cannot_store
from resnetlib.weights.fetch.shown import without_secrets
from resnetlib.weights.fetch.verified import sha256_of


class UrlPlace:
    """Where torchvision keeps what it downloads; what it has downloaded is found there.

    Args:
        source: the file.
    """

    def __init__(self, source: UrlFile) -> None:
        import torch

        self.source = source
        self.name = without_secrets(source.url)
        self.variable = "TORCH_HOME"
        self.folder = Path(torch.hub.get_dir()) / "checkpoints"
        file = urlsplit(source.url).path.rpartition("/")[2]
        if file in ("", ".", "..") or not file.isprintable() or set(file) & set('\\:*?"<>|'):
            raise ValueError(f"a URL must end with the name of a file, got {self.name!r}")
        self.path = self.folder / file

    def look_up(self) -> Path | None:
        """Return the file in the cache, as it is; None if there is none."""
        try:
            return self.path if self.path.is_file() else None
        except OSError:
            return None

    def is_known_missing(self) -> bool:
        """Tell that nothing is known to be missing."""
        return False

    def not_there(self) -> NotThereError:
        """Return the error that says that there is no such file."""
        return NotThereError(f"{self.name} is not there.")

    def revision_of(self, path: Path) -> None:
        """Return that the file has no commit."""

    def check(self, path: Path, *, fresh: bool = False) -> str:
        """Return a file's SHA-256, `fresh` if not from memory, or raise DamagedError if it is another than it should be."""
        found = sha256_of(path, fresh=fresh)
        if not found.startswith(self.source.sha256):
            raise DamagedError(f"{self.name} is damaged in {path}: its SHA-256 is {found}, expected {self.source.sha256}.")
        return found

    def newest(self, deadline: Deadline, tries: int) -> None:
        """Return that a URL does not say whether its file has changed: it must be downloaded."""

    def remove(self, path: Path) -> None:
        """Take a file out of the cache."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_store(error, path.parent, self.variable) from None

    def download(self, deadline: Deadline, *, again: bool, tries: int = TRIES) -> Path:
        """Download the file into the cache."""
        download(self.source, self.path, deadline)
        return self.path
