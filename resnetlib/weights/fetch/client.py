"""The hub's own client: what a hub announces, and a transfer that is watched."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnetlib.config import HubFile
from resnetlib.disk import open_file
from resnetlib.weights.fetch.deadline import Deadline
from resnetlib.weights.fetch.errors import DamagedError, FetchError, UnreachableError
from resnetlib.weights.fetch.guard import LIBRARY, guarded

if TYPE_CHECKING:
    from huggingface_hub.utils.tqdm import tqdm


@dataclass(frozen=True, kw_only=True, slots=True)
class Announced:
    """What a hub says of a file before it sends it.

    Args:
        commit: that has it.
        name: of its contents: a SHA-256, or git's SHA-1.
        size: in bytes; None if the hub does not say it.
    """

    commit: str
    name: str
    size: int | None


def announced(source: HubFile, revision: str, endpoint: str, folder: Path, deadline: Deadline) -> Announced:
    """Ask a hub what it has, before anything is written.

    Args:
        source: the file.
        revision: the branch, tag or commit to ask for.
        endpoint: the hub.
        folder: the client's cache, where it notes that there is no such file.
        deadline: until when.

    Returns:
        What the hub has.

    Raises:
        UnreachableError: if it answers, but not as a hub does.
        UnverifiedError: if it does not say what the contents are.
        Exception: what the client raises.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import RemoteEntryNotFoundError

    deadline.check()
    url = hf_hub_url(source.repo, source.file, revision=revision, endpoint=endpoint)
    try:
        with guarded():
            metadata = get_hf_file_metadata(url, timeout=deadline.timeout, endpoint=endpoint, library_name=LIBRARY)
    except RemoteEntryNotFoundError as error:
        if "X-Repo-Commit" in error.response.headers:
            with suppress(OSError, FetchError):  # the client asks once more, and notes the answer where it can
                _client_download(source, revision, endpoint, folder, deadline, Announced(commit="", name="", size=0), again=False)
        raise
    commit, name = metadata.commit_hash or "", metadata.etag or ""
    if not commit or not name:
        raise UnreachableError(f"{endpoint} answers, but not as a hub does: check HF_ENDPOINT and the network's proxy.")
    return Announced(commit=commit, name=name, size=metadata.size)


def transfer(source: HubFile, there: Announced, endpoint: str, folder: Path, deadline: Deadline, *, again: bool) -> Path:
    """Let the client download a file into its cache, or find it there.

    Args:
        source: the file.
        there: what the hub announced.
        endpoint: the hub.
        folder: the client's cache.
        deadline: until when.
        again: also where the cache has it.

    Returns:
        Where it is.

    Raises:
        DamagedError: if more comes than was announced.
        UnreachableError: when the time is over, or the revision has moved in between.
        Exception: what the client raises.
    """
    _remove_leftovers(source, folder)
    path = _client_download(source, source.revision, endpoint, folder, deadline, there, again=again)
    if path.parents[source.file.count("/")].name != there.commit:
        raise UnreachableError(f"{source} changed on {endpoint} while it was asked for. Try again.")
    _flush(path)
    return path


def _client_download(
    source: HubFile, revision: str, endpoint: str, folder: Path, deadline: Deadline, there: Announced, *, again: bool
) -> Path:
    from huggingface_hub import hf_hub_download

    deadline.check()
    with guarded():
        path = hf_hub_download(
            source.repo,
            source.file,
            revision=revision,
            cache_dir=folder,
            endpoint=endpoint,
            etag_timeout=deadline.timeout,
            force_download=again,
            tqdm_class=watched(str(source), there.size, deadline),
            library_name=LIBRARY,
        )
    return Path(path)


def _remove_leftovers(source: HubFile, folder: Path) -> None:
    """Remove what killed processes began to write of a repository's contents: what nobody holds the client's lock of."""
    from filelock import FileLock
    from huggingface_hub.file_download import repo_folder_name

    repo = repo_folder_name(repo_id=source.repo, repo_type="model")
    for begun in (folder / repo / "blobs").glob("*.incomplete"):
        with suppress(OSError), FileLock(folder / ".locks" / repo / f"{begun.name.partition('.')[0]}.lock", timeout=0):
            begun.unlink()


def watched(name: str, size: int | None, deadline: Deadline) -> "type[tqdm]":
    """Return a progress bar that ends a transfer: when the time is over, and when more comes than was announced.

    The client tells its progress bar of each part before it writes it; a part of a large file has some MiB. On anything but a
    terminal nothing is shown, as with the client's own.

    Args:
        name: of the file.
        size: in bytes; None if it is not known.
        deadline: until when.

    Returns:
        The class of the bar.
    """
    from huggingface_hub.utils.tqdm import tqdm

    class Watched(tqdm):
        """A bar that counts on, where it is not shown."""

        came = 0

        def update(self, n: float | None = 1) -> bool | None:
            """Count what came, and stop what must not go on."""
            deadline.check()
            self.came += int(n or 0)
            if size is not None and self.came > size:
                raise DamagedError(f"{name} came with more than the {size} bytes that it may have; nothing of it was kept.")
            shown: bool | None = super().update(n)
            return shown

    return Watched


def _flush(path: Path) -> None:
    """Write a file to the disk, so that its hash is not remembered when its contents are lost."""
    with suppress(OSError, ValueError), open_file(path) as file:
        os.fsync(file.fileno())
