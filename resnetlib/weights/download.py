"""Find a weights file in the cache or download it, and check its content by its hash.

huggingface_hub downloads files of the hub into its own cache, with its locks, timeouts, offline mode (HF_HUB_OFFLINE) and token
(HF_TOKEN). Files behind URLs are stored where torch.hub and torchvision look for them.

The expected hash of a hub file is the one that the hub announced, which is the name of its blob in the cache: a SHA-256, or git's
SHA-1 for a small file. The expected hash of a URL is the start of the SHA-256 that its publisher gives. Sources with a `sha256` are
compared with that too.
"""

import glob
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import torch

from resnetlib.config import HubFile, UrlFile
from resnetlib.disk import open_file, read_file, write_atomically
from resnetlib.errors import InputError, InputTypeError
from resnetlib.weights.errors import DamagedFileError, DownloadError, FetchError, NotFoundError, no_such_file, translate
from resnetlib.weights.hub_guard import LIBRARY, guarded, is_commit, is_content_hash

HASH = re.compile(r"-([0-9a-f]{8,64})\.")
"""The hash in the name of a file, as torch.hub has it: resnet18-f37072fd.pth."""

CLOCK_TICK = 0.1
"""Seconds. Two changes of a file within one tick of the file system's clock may leave the same time."""

_ELSEWHERE = "run `resnetlib weights fetch NAME` on a computer with a network, and copy its cache; or pass the path of a file."
_OFFLINE_ADVICE = f"HF_HUB_OFFLINE forbids downloads: unset it; or {_ELSEWHERE}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A checked file in the cache. `revision` is its commit on the hub; None for a URL."""

    path: Path
    sha256: str
    revision: str | None
    source: HubFile | UrlFile


class _WrongFileError(DamagedFileError):
    """The content is undamaged, but does not have the SHA-256 of the source. Downloading it again does not help."""


def fetch(source: HubFile | UrlFile, *, refresh: bool = False) -> Fetched:
    """Return a file from the cache, or download it; check its content, and download a damaged file once more.

    `refresh` asks the hub whether a branch or tag has moved; the cache still answers if the hub cannot be reached. A file that was
    copied into the cache without its blob is compared with the hash that the hub announces, or accepted if the hub cannot be asked.

    Raise NotFoundError if the server says that it does not have the file, DamagedFileError if its hash is wrong twice, and
    DownloadError if it cannot be downloaded, stored or read.
    """
    cached, offline = find_cached(source), is_offline()
    refresh = refresh and not offline and isinstance(source, HubFile) and not is_commit(source.revision)
    if cached is not None and not refresh:
        try:
            return _check(source, cached, ask=not offline, accept_unknown=True)
        except DamagedFileError as error:
            if offline:
                raise DamagedFileError(f"{error} {_OFFLINE_ADVICE}") from None
    if offline:
        raise _missing_offline(source)
    try:
        with _lock(source):
            return _download_and_check(source)
    except DownloadError:
        if cached is None or not refresh or not cached.is_file():
            raise
    return _check(source, cached, ask=False, accept_unknown=True)


def fetch_first(sources: Sequence[HubFile | UrlFile]) -> Fetched:
    """Fetch a file from the first source that is cached, or else the first that can be downloaded.

    Raise NotFoundError only if every source says that it does not have the file.
    """
    if not sources:
        raise InputError("there are no sources to fetch from")
    errors: list[FetchError] = []
    for source in sorted(sources, key=lambda source: find_cached(source) is None):
        try:
            return fetch(source)
        except FetchError as error:
            errors.append(error)
    failed = any(isinstance(error, DownloadError) and error.errno is None for error in errors)  # and the disk is not full
    advice = f"\nOr {_ELSEWHERE}" if failed and not is_offline() else ""
    if len(errors) == 1:
        errors[0].args = (f"{errors[0]}{advice}",)
        raise errors[0]
    kind = next(k for k in (DownloadError, DamagedFileError, NotFoundError) if any(isinstance(error, k) for error in errors))
    raise kind("None of the sources provides the file:\n" + "\n".join(f"  {error}" for error in errors) + advice)


def find_cached(source: HubFile | UrlFile) -> Path | None:
    """Return the path of a file in the cache, without a request or a check; None if it is not there."""
    from huggingface_hub import hf_hub_download

    if not isinstance(source, HubFile | UrlFile):
        raise InputTypeError(f"source must be a HubFile or a UrlFile, got {type(source).__name__}")
    with suppress(OSError, UnicodeError):
        if isinstance(source, UrlFile):
            path = _url_path(source)
        else:
            path = Path(hf_hub_download(source.repo, source.file, revision=source.revision, local_files_only=True))
        return path if path.is_file() else None
    return None


def check_cached(source: HubFile | UrlFile) -> Fetched | None:
    """Read and check a file in the cache, without requests or changes; None if it is not there.

    Raise DamagedFileError if its hash is wrong or no hash is known, and DownloadError if it cannot be read.
    """
    path = find_cached(source)
    return None if path is None else _check(source, path, fresh=True, ask=False)


def is_offline() -> bool:
    """Return whether HF_HUB_OFFLINE forbids requests, including those to URLs."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE) or os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES


def cache_dir() -> Path:
    """Return the folder of notes on checked files: `RESNETLIB_CACHE`, or `resnetlib` in `XDG_CACHE_HOME` or `~/.cache`."""
    folder = os.environ.get("RESNETLIB_CACHE")
    try:
        if folder:
            return Path(folder).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnetlib"
    except RuntimeError:  # no home folder: a folder in which no note can be written
        return Path(os.devnull) / "resnetlib"


def _download_and_check(source: HubFile | UrlFile) -> Fetched:
    """Download a file and check it; delete a damaged one, and download it once more.

    A file that another program may have written stays until a download with the right hash replaces it.
    """
    deleted, damage, replace = "", None, False
    for _ in range(2):
        path = None
        try:
            path = _download(source, replace)
            return _check(source, path)
        except _WrongFileError:
            raise
        except DamagedFileError as error:
            damage, replace = error, True
            if path is not None and not _is_shared(source):
                _delete(source, path)
                deleted = " The file in the cache was damaged, and has been deleted."
        except FetchError as error:
            error.args = (f"{error}{deleted}",)
            raise
    raise DamagedFileError(f"{damage} A second download did not help: report it to the publisher, or pass the path of a file.")


def _download(source: HubFile | UrlFile, replace: bool) -> Path:
    """Download a file, unless another process has done so meanwhile, or a file behind a URL is to be replaced."""
    from huggingface_hub import hf_hub_download

    try:
        with guarded():
            if isinstance(source, UrlFile):
                return _download_url(source, _url_path(source), replace)
            return Path(hf_hub_download(source.repo, source.file, revision=source.revision, library_name=LIBRARY))
    except Exception as error:  # noqa: BLE001 - unforeseen ones are raised again
        raise translate(error, source, *_cache_of(source)) from None


def _download_url(source: UrlFile, path: Path, replace: bool) -> Path:
    """Download a file under a temporary name, and rename it if it has the right hash."""
    from huggingface_hub.file_download import http_get

    if path.is_file() and not replace:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        with partial.open("xb") as file:
            http_get(source.url, file, headers={"User-Agent": f"{LIBRARY}/"}, displayed_filename=path.name)
        sha256, _ = _sha256(partial)
        if not sha256.startswith(source.sha256):
            raise DamagedFileError(f"The download of {source} is damaged: its SHA-256 is {sha256}, expected {source.sha256}.")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _url_path(source: UrlFile) -> Path:
    """Return the path of a URL's file in the cache."""
    file = urlsplit(source.url).path.rpartition("/")[2]
    if file in ("", ".", "..") or not file.isprintable() or set(file) & set('\\:*?"<>|'):
        raise InputError(f"a URL must end with the name of a file, got {str(source)!r}")
    path = _cache_of(source)[0] / file
    return path if _is_shared(source) else path.with_stem(f"{path.stem}-{source.sha256[:8]}")


def _is_shared(source: HubFile | UrlFile) -> bool:
    """Return whether torch.hub would cache the file under the same name."""
    named = HASH.search(urlsplit(source.url).path.rpartition("/")[2]) if isinstance(source, UrlFile) else None
    return named is not None and source.sha256 is not None and named[1][: len(source.sha256)] == source.sha256[: len(named[1])]


def _cache_of(source: HubFile | UrlFile) -> tuple[Path, str]:
    """Return the cache's folder, and the environment variable that sets it."""
    from huggingface_hub import constants

    if isinstance(source, UrlFile):
        return Path(torch.hub.get_dir()) / "checkpoints", "TORCH_HOME"
    return Path(constants.HF_HUB_CACHE), "HF_HOME"


@contextmanager
def _lock(source: HubFile | UrlFile) -> Iterator[None]:
    """Let one process at a time download a file, and delete what a killed one left. Do nothing where no lock can be written."""
    from filelock import FileLock

    folder = _cache_of(source)[0] / ".locks"
    name = _url_path(source).name if isinstance(source, UrlFile) else str(source)
    lock = FileLock(folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.lock")
    with suppress(OSError, NotImplementedError):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        if isinstance(source, UrlFile):
            for partial in folder.parent.glob(f".{glob.escape(name)}.*.partial"):
                partial.unlink()
    try:
        yield
    finally:
        lock.release()


def _check(
    source: HubFile | UrlFile, path: Path, *, fresh: bool = False, ask: bool = True, accept_unknown: bool = False
) -> Fetched:
    """Compare a file with every known hash, and note its size, times and inode, so that it is hashed again only after a change.

    `fresh` hashes it in any case; `ask` asks the hub for a hash that the cache does not tell.
    """
    note, blob = _read_note(path), _blob_of(source, path)
    try:
        identity: list[int] | None = _identity(path.stat())
        unchanged = not fresh and note.get("identity") == identity
        sha256, identity = (note["sha256"], identity) if unchanged else _sha256(path)
        names = [note["name"]] if "name" in note else []
        if blob is not None and is_content_hash(blob.name) and blob.name not in names:
            names.append(blob.name)
        if not names and not source.sha256 and isinstance(source, HubFile):
            names = _hashes_of_copy(source, path, sha256, ask=ask, accept_unknown=accept_unknown)
        for name in names:
            if not (unchanged and name == note.get("name")) and not _has_hash(path, name, sha256):
                raise DamagedFileError(f"{source} is damaged in {path}: its SHA-256 is {sha256}, expected the hash {name}.")
        if source.sha256 and not sha256.startswith(source.sha256):
            found = f"its SHA-256 is {sha256}, expected {source.sha256}."
            if names:
                raise _WrongFileError(f"{path} is not the expected file {source}: {found}")
            raise DamagedFileError(f"{source} is damaged in {path}: {found}")
    except FetchError:
        raise
    except FileNotFoundError:
        raise DamagedFileError(f"{source} was deleted from {path} while it was read. Try again.") from None
    except ValueError as error:  # a pipe, a socket or a device
        raise DamagedFileError(f"{source} is damaged: {error}.") from None
    except OSError as error:
        advice = f"Make it readable, or set {_cache_of(source)[1]} to another folder."
        raise DownloadError(f"Cannot read {path}: {error.strerror}. {advice}") from None
    if not unchanged and identity is not None and (names or source.sha256):
        note = {"identity": identity, "sha256": sha256} | ({"name": names[0]} if names else {})
        with suppress(OSError, ValueError):
            _note_path(path).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(_note_path(path), json.dumps(note).encode())
    revision = _snapshot_of(source, path).name if isinstance(source, HubFile) else None
    return Fetched(path=path, sha256=sha256, revision=revision, source=source)


def _hashes_of_copy(source: HubFile, path: Path, sha256: str, *, ask: bool, accept_unknown: bool) -> list[str]:
    """Return the expected hash of a file that the cache holds as a copy, not as a link to a blob; [] to accept any content."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    snapshot = _snapshot_of(source, path)
    for name in (sha256, _git_sha1(path)):
        if (snapshot.parents[1] / "blobs" / name).is_file():
            return [name]
    try:
        if ask:
            with guarded():
                url = hf_hub_url(source.repo, source.file, revision=snapshot.name)
                name = get_hf_file_metadata(url, library_name=LIBRARY).etag or ""
            if is_content_hash(name):
                return [name]
    except Exception as error:  # noqa: BLE001 - unforeseen ones are raised again
        if not accept_unknown:
            raise translate(error, source, *_cache_of(source)) from None
    if accept_unknown:
        return []
    raise DamagedFileError(f"{source} cannot be verified in {path}: no hash of it is known. Fetch it online, or delete it.")


def _snapshot_of(source: HubFile, path: Path) -> Path:
    """Return the folder of the commit that a path in the hub's cache belongs to."""
    return path.parents[source.file.count("/")]


def _blob_of(source: HubFile | UrlFile, path: Path) -> Path | None:
    """Return the blob that a path links to, if it lies in the repository's own folder of blobs."""
    if isinstance(source, UrlFile) or not path.is_symlink():
        return None
    blob = path.parent / path.readlink()
    blobs = _snapshot_of(source, path).parents[1] / "blobs"
    return blob if os.path.realpath(blob.parent) == os.path.realpath(blobs) else None


def _delete(source: HubFile | UrlFile, path: Path) -> None:
    """Delete a file from the cache, and its blob unless that is undamaged."""
    blob = _blob_of(source, path)
    try:
        if blob is not None:
            is_undamaged = is_content_hash(blob.name) and blob.is_file() and _has_hash(blob, blob.name, _sha256(blob)[0])
            if not is_undamaged:
                blob.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise translate(error, source, *_cache_of(source)) from None


def _sha256(path: Path) -> tuple[str, list[int] | None]:
    """Return the SHA-256 of a file, and its identity; None for the identity if the file changed while it was read."""
    with open_file(path) as file:
        stat = os.fstat(file.fileno())
        age = time.time() - max(stat.st_mtime, stat.st_ctime)
        if 0 <= age < CLOCK_TICK:
            time.sleep(CLOCK_TICK - age)
        before = _identity(os.fstat(file.fileno()))
        with suppress(OSError):
            os.fsync(file.fileno())  # later writes through a memory map change the file's time only after this
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        after = _identity(os.fstat(file.fileno()))
    return digest, after if after == before else None


def _git_sha1(path: Path) -> str:
    """Return git's hash of a file: the SHA-1 of a header and the content."""
    with open_file(path) as file:
        header = hashlib.sha1(b"blob %d\0" % os.fstat(file.fileno()).st_size, usedforsecurity=False)
        return hashlib.file_digest(file, lambda: header).hexdigest()


def _has_hash(path: Path, name: str, sha256: str) -> bool:
    return name == (_git_sha1(path) if len(name) == 40 else sha256)


def _identity(stat: os.stat_result) -> list[int]:
    """Return the numbers that change when a file changes."""
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]


def _note_path(path: Path) -> Path:
    """Return the path of the note on a checked file."""
    place = os.fsencode(Path(os.path.realpath(path.parent)) / path.name)
    return cache_dir() / "checked" / f"{hashlib.sha256(place).hexdigest()[:32]}.json"


def _read_note(path: Path) -> dict[str, Any]:
    """Return the identity, the SHA-256 and the blob's name of a checked file; {} if there is no valid note."""
    try:
        note = json.loads(read_file(_note_path(path), 10_000))
        hashes = [note["sha256"], note.get("name", note["sha256"])]
        valid = all(isinstance(name, str) and is_content_hash(name) for name in hashes) and len(note["sha256"]) == 64
        return dict(note) if valid else {}
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}


def _missing_offline(source: HubFile | UrlFile) -> FetchError:
    """Return the error for a file that is not in the cache; NotFoundError if the hub once said that it does not exist."""
    from huggingface_hub import try_to_load_from_cache

    if isinstance(source, HubFile):
        with suppress(OSError, UnicodeError):
            known = try_to_load_from_cache(source.repo, source.file, revision=source.revision)
            if known is not None and not isinstance(known, str):
                return no_such_file(source)
    return DownloadError(f"{source} is not in the cache, {_cache_of(source)[0]}. {_OFFLINE_ADVICE}")
