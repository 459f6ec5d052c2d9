"""The Hugging Face Hub, through its own client and into its own cache; what the client says is said in our words."""

import os
import re
from contextlib import suppress
from pathlib import Path

from resnetlib.weights.fetch.deadline import TRIES, Deadline
from resnetlib.weights.fetch.download import LARGEST
from resnetlib.weights.fetch.errors import (
    DamagedError,
    FetchError,
    NotThereError,
    RefusedError,
    UnreachableError,
    cannot_store,
    error_for_status,
)
from resnetlib.weights.fetch.verified import git_sha1_of, note_name, noted_name, sha256_of
from resnetlib.weights.sources import HubFile


def is_offline() -> bool:
    """Tell whether `HF_HUB_OFFLINE` forbids to use the network; it does so for every kind of source."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE) or os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES


def is_commit(revision: str) -> bool:
    """Tell whether a revision is a full commit, which never changes."""
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None


class HubPlace:
    """Where a file of the hub lies in the hub's cache, and how it gets there.

    Args:
        source: the file.
        largest: bytes that it may have.
    """

    def __init__(self, source: HubFile, *, largest: int = LARGEST) -> None:
        from huggingface_hub import constants

        self.source, self.largest = source, largest
        self.name = str(source)
        self.folder = Path(constants.HF_HUB_CACHE)
        self.endpoint = constants.ENDPOINT

    def look_up(self) -> Path | None:
        """Return the file in the cache, as it is; None if there is none."""
        found = self._cached()
        return Path(found) if isinstance(found, str) else None

    def is_known_missing(self) -> bool:
        """Tell whether the hub once said that this commit, or the last one seen of this branch, has no such file."""
        if not is_commit(self.source.revision) and not is_offline():
            return False
        found = self._cached()
        return found is not None and not isinstance(found, str)

    def not_there(self) -> NotThereError:
        """Return the error that says that the repository has no such file."""
        source = self.source
        return NotThereError(f"There is no file {source.file} in hf-hub:{source.repo} at revision {source.revision!r}.")

    def revision_of(self, path: Path) -> str:
        """Return the commit that a path in the cache belongs to."""
        return path.parents[self.source.file.count("/")].name

    def check(self, path: Path) -> str:
        """Check a file's contents against the hash that is known of it, and the one that the hub gave it in the cache.

        Args:
            path: the file.

        Returns:
            Its SHA-256.

        Raises:
            DamagedError: if it is another file.
        """
        name = path.readlink().name if path.is_symlink() else noted_name(path)
        found = sha256_of(path)
        for expected in (self.source.sha256, name):
            self._compare(path, found, expected)
        return found

    def _compare(self, path: Path, sha256: str, expected: str | None) -> None:
        """Raise DamagedError unless a file has a hash: a SHA-256, the first digits of it, or 40 digits of git's."""
        if expected is None or not re.fullmatch(r"[0-9a-f]{8,64}", expected):
            return
        found = git_sha1_of(path) if len(expected) == 40 and expected != self.source.sha256 else sha256
        if not found.startswith(expected):
            raise DamagedError(f"{self.name} is damaged in {path}: its hash is {found}, expected {expected}.")

    def remove(self, path: Path) -> None:
        """Take a file out of the cache: the name, and the contents that it stands for."""
        try:
            if path.is_symlink():
                (path.parent / path.readlink()).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_store(error, path.parent, "HF_HOME") from None

    def download(self, deadline: Deadline, *, again: bool, tries: int = TRIES) -> Path:
        """Download the file into the cache, or only ask whether the cache has the newest.

        Args:
            deadline: until when.
            again: also where the cache has it.
            tries: how often a server is asked that does not answer.

        Returns:
            Where it is.

        Raises:
            FetchError: if it is not to be had.
        """
        for attempt in range(tries):
            try:
                return self._ask(deadline, again=again)
            except Exception as error:  # noqa: BLE001 - it is raised again, in our words
                explained = self._explain(error)
                if not isinstance(explained, UnreachableError) or attempt == tries - 1:
                    raise explained from None
            deadline.pause(attempt)
        raise ValueError(f"tries must be at least 1, got {tries}")

    def _ask(self, deadline: Deadline, *, again: bool) -> Path:
        """Ask what there is, before anything is written or retried, and then for the file."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import RemoteEntryNotFoundError

        source, etag = self.source, ""
        url = hf_hub_url(source.repo, source.file, revision=source.revision, endpoint=self.endpoint)
        with suppress(RemoteEntryNotFoundError):  # the client then finds out itself, and notes it in its cache
            metadata = get_hf_file_metadata(url, timeout=deadline.timeout, endpoint=self.endpoint)
            etag = metadata.etag or ""
            if not metadata.commit_hash or not etag:
                raise UnreachableError(
                    f"{self.endpoint} answers, but not as a hub does: check HF_ENDPOINT and the network's proxy."
                )
            if metadata.size is not None and metadata.size > self.largest:
                raise DamagedError(
                    f"{self.name} has {metadata.size} bytes, expected at most {self.largest}; nothing of it was kept."
                )
            if source.sha256 and re.fullmatch("[0-9a-f]{64}", etag) and not etag.startswith(source.sha256):
                raise DamagedError(
                    f"{self.name} is another file on {self.endpoint}: its SHA-256 is {etag}, expected {source.sha256}."
                )
        deadline.check()
        path = Path(
            hf_hub_download(
                source.repo,
                source.file,
                revision=source.revision,
                cache_dir=self.folder,
                endpoint=self.endpoint,
                etag_timeout=deadline.timeout,
                force_download=again,
            )
        )
        _flush(path)
        if not path.is_symlink():  # the cache does not say what the hub said
            note_name(path, etag)
        return path

    def _cached(self) -> object:
        """Ask the hub's client what is in its cache."""
        from huggingface_hub import try_to_load_from_cache

        source = self.source
        try:
            return try_to_load_from_cache(source.repo, source.file, cache_dir=self.folder, revision=source.revision)
        except (OSError, UnicodeError):
            return None

    def _explain(self, error: Exception) -> Exception:
        """Turn an error of the hub's client into one of ours; one that nobody foresaw stays as it is."""
        from huggingface_hub.errors import (
            FileMetadataError,
            GatedRepoError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
            RemoteEntryNotFoundError,
            RevisionNotFoundError,
        )

        if isinstance(error, FetchError):
            return error
        if isinstance(error, LocalEntryNotFoundError | FileMetadataError | ValueError) and isinstance(error.__cause__, Exception):
            return self._explain(error.__cause__)
        repo = self.source.repo
        if isinstance(error, GatedRepoError):
            return RefusedError(
                f"hf-hub:{repo} is gated: accept its terms on {self.endpoint}/{repo}, and set HF_TOKEN to a token of that account."
            )
        if isinstance(error, RevisionNotFoundError):
            return NotThereError(f"There is no revision {self.source.revision!r} of hf-hub:{repo}.")
        if isinstance(error, RemoteEntryNotFoundError):
            return self.not_there()
        if isinstance(error, HfHubHTTPError):
            advice = f"Check its name; if it is private, set HF_TOKEN to a token that may read {repo}."
            return error_for_status(error.response.status_code, self.name, advice)
        network = HfHubHTTPError.__mro__[1]  # what all errors of the client's network library are, whichever library that is
        if isinstance(error, network | ConnectionError | TimeoutError | LocalEntryNotFoundError | FileMetadataError | RuntimeError):
            return UnreachableError(f"{self.name} could not be downloaded from {self.endpoint}: {_reason(error)}")
        if isinstance(error, OSError) and error.errno is not None:
            return cannot_store(error, self.folder, "HF_HOME")
        if isinstance(error, OSError):
            return DamagedError(f"{self.name} came with another size than {self.endpoint} had announced.")
        return error


def _reason(error: Exception) -> str:
    """Return an error's text, unless it quotes what was sent: that may hold a token."""
    from huggingface_hub import get_token

    text, token = str(error), get_token()
    return type(error).__name__ if not text or "Bearer" in text or (token and token in text) else text


def _flush(path: Path) -> None:
    """Write a file to the disk, so that its hash is not remembered when its contents are lost."""
    with suppress(OSError), path.open("rb") as file:
        os.fsync(file.fileno())
