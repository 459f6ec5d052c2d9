"""A file of the Hugging Face Hub in the cache of the hub's own client: how it is found, checked, and how it gets there."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from resnetlib.config import HubFile
from resnetlib.weights.fetch.client import Announced, announced, transfer
from resnetlib.weights.fetch.deadline import TRIES, Deadline
from resnetlib.weights.fetch.download import LARGEST
from resnetlib.weights.fetch.errors import (
    DamagedError,
    NotThereError,
    UnreachableError,
    UnverifiedError,
    UnwantedError,
    cannot_store,
)
from resnetlib.weights.fetch.explain import explain, no_such_file
from resnetlib.weights.fetch.verified import git_sha1_of, has_hub_hash, is_hub_hash, note_name, noted_name, sha256_of

Result = TypeVar("Result")


def is_offline() -> bool:
    """Tell whether `HF_HUB_OFFLINE` forbids to use the network; it does so for every kind of source."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE) or os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES


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
        self.variable = "HF_HOME"
        self.folder = Path(constants.HF_HUB_CACHE)
        self.endpoint = constants.ENDPOINT
        self.said: dict[Path, str] = {}

    def look_up(self) -> Path | None:
        """Return the file in the cache, as it is; None if there is none."""
        found = self._cached(self.source.revision)
        return found if isinstance(found, Path) else None

    def is_known_missing(self) -> bool:
        """Tell whether no hub may be asked, and one once said that this commit, or the last one seen, has no such file."""
        return is_offline() and self._cached(self.source.revision) is False

    def not_there(self) -> NotThereError:
        """Return the error that says that the repository has no such file."""
        return no_such_file(self.source)

    def revision_of(self, path: Path) -> str:
        """Return the commit that a path in the cache belongs to."""
        return path.parents[self.source.file.count("/")].name

    def check(self, path: Path, *, fresh: bool = False) -> str:
        """Check a file's contents against all that is known of them.

        That is the hash of the source; the one that the hub said when the file came, which is noted; and the one that the contents
        are called by in the repository's own folder of the cache, if the path points there. Contents that somebody copied there
        without the link are known by having the name of any contents there.

        Args:
            path: the file.
            fresh: read it, whatever is remembered of it.

        Returns:
            Its SHA-256.

        Raises:
            DamagedError: if it is another file; UnwantedError if it is what the hub has, and not what is wanted.
            UnverifiedError: if nothing is known of it.
        """
        found = sha256_of(path, fresh=fresh)
        own, pin = self._own_contents(path), self.source.sha256
        names = [self.said.get(path), noted_name(path), own.name if own and is_hub_hash(own.name) else None]
        known = [name for name in names if name]
        for name in known:
            if not has_hub_hash(path, name, found):
                raise DamagedError(f"{self.name} is damaged in {path}: its SHA-256 is {found}, expected the hash {name}.")
        if pin and not found.startswith(pin):
            if known:
                raise UnwantedError(f"{self.name} is another file in {path}: its SHA-256 is {found}, expected {pin}.")
            raise DamagedError(f"{self.name} is damaged in {path}: its SHA-256 is {found}, expected {pin}.")
        if not pin and not known and not self._has_contents(path, found):
            raise UnverifiedError(
                f"{self.name} cannot be verified in {path}: nothing is known of its contents. Fetch it with a network, or take "
                f"it out of the cache."
            )
        return found

    def take_unverified(self, path: Path, deadline: Deadline) -> None:
        """Note what the hub says of a file in the cache of which nothing is known."""
        there = deadline.run(lambda: self._repeat(lambda: self._announced(self.revision_of(path), deadline), deadline, 1))
        self._note(path, there)

    def remove(self, path: Path) -> None:
        """Take a file out of the cache: the name, and the contents in the repository's own folder if they are damaged."""
        try:
            contents = self._own_contents(path)
            if contents is not None and not self._is_intact(contents):
                contents.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_store(error, path.parent, self.variable) from None

    def newest(self, deadline: Deadline, tries: int) -> Path | None:
        """Ask the hub for the newest commit.

        Args:
            deadline: until when.
            tries: how often a server is asked that does not answer.

        Returns:
            The file, if the cache has it at this commit; None if it must be downloaded.

        Raises:
            FetchError: if the hub does not say so.
        """

        def ask() -> Path | None:
            there = self._announced(self.source.revision, deadline)
            cached = isinstance(self._cached(there.commit), Path)
            return self._transfer(there, deadline, again=False) if cached else None

        return self._repeat(ask, deadline, tries)

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

        def ask() -> Path:
            there = self._announced(self.source.revision, deadline)
            pin = self.source.sha256
            if pin and len(there.name) == 64 and not there.name.startswith(pin):
                raise UnwantedError(f"{self.name} is another file on {self.endpoint}: its SHA-256 is {there.name}, expected {pin}.")
            return self._transfer(there, deadline, again=again)

        return self._repeat(ask, deadline, tries)

    def _repeat(self, ask: Callable[[], Result], deadline: Deadline, tries: int) -> Result:
        """Ask until the hub is reached."""
        for attempt in range(tries):
            try:
                return ask()
            except Exception as error:  # noqa: BLE001 - it is raised again, in our words
                explained = explain(error, self.source, self.endpoint, self.folder)
                if not isinstance(explained, UnreachableError) or attempt == tries - 1:
                    raise explained from None
            deadline.pause(attempt)
        raise ValueError(f"tries must be at least 1, got {tries}")

    def _announced(self, revision: str, deadline: Deadline) -> Announced:
        """Return what the hub has, if it is not too large."""
        there = announced(self.source, revision, self.endpoint, self.folder, deadline)
        if there.size is not None and there.size > self.largest:
            raise UnwantedError(f"{self.name} has {there.size} bytes, expected at most {self.largest}; nothing of it was kept.")
        return replace(there, size=self.largest) if there.size is None else there

    def _transfer(self, there: Announced, deadline: Deadline, *, again: bool) -> Path:
        """Get what was announced, and note what the hub said of it."""
        try:
            path = transfer(self.source, there, self.endpoint, self.folder, deadline, again=again)
        except Exception as error:
            explained = explain(error, self.source, self.endpoint, self.folder)
            if isinstance(explained, NotThereError):
                raise UnreachableError(
                    f"{self.endpoint} contradicts itself: it has {self.name}, and then has not. Try again later."
                ) from None
            raise
        self._note(path, there)
        return path

    def _note(self, path: Path, there: Announced) -> None:
        self.said[path] = there.name
        note_name(path, there.name)

    def _cached(self, revision: str) -> Path | bool | None:
        """Ask the hub's client for a file in its cache; False if it knows that the revision has none, None if it knows nothing."""
        from huggingface_hub import hf_hub_download, try_to_load_from_cache

        source = self.source
        try:
            found = try_to_load_from_cache(source.repo, source.file, cache_dir=self.folder, revision=revision)
        except (OSError, UnicodeError):
            return None
        if isinstance(found, str):
            return Path(found)
        if found is None:
            return None
        try:  # the client goes on to say that there is none, when the hub has got it later
            return Path(hf_hub_download(source.repo, source.file, cache_dir=self.folder, revision=revision, local_files_only=True))
        except OSError:
            return False

    def _own_contents(self, path: Path) -> Path | None:
        """Return what a path points to, if that lies in the repository's own folder for contents."""
        if not path.is_symlink():
            return None
        target = path.parent / path.readlink()
        own = os.path.realpath(target.parent) == os.path.realpath(self._contents_of(path))
        return target if own else None

    def _contents_of(self, path: Path) -> Path:
        """Return the repository's own folder for contents."""
        return path.parents[self.source.file.count("/") + 2] / "blobs"

    def _has_contents(self, path: Path, sha256: str) -> bool:
        """Tell whether the repository's own folder has contents that are called by a file's hash."""
        contents = self._contents_of(path)
        return (contents / sha256).is_file() or (contents / git_sha1_of(path)).is_file()

    def _is_intact(self, contents: Path) -> bool:
        """Tell whether contents are those that they are called by."""
        if not is_hub_hash(contents.name) or not contents.is_file():
            return False
        return has_hub_hash(contents, contents.name, sha256_of(contents))
