"""Is a file what it should be? Hashes of files, and a memory of them, so that an unchanged file is hashed once."""

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from resnetlib.disk import open_file, read_file, write_atomically

TICK = 0.1
"""Seconds, more than a file system's clock takes to move on: two changes in one tick cannot be told apart."""


def own_cache() -> Path:
    """Return the library's own cache: `RESNETLIB_CACHE`, or `resnetlib` in `XDG_CACHE_HOME` or `~/.cache`.

    A user without a home has none: then it is a path where nothing can be written, and nothing is remembered.
    """
    own = os.environ.get("RESNETLIB_CACHE")
    try:
        if own:
            return Path(own).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnetlib"
    except RuntimeError:
        return Path(os.devnull) / "resnetlib"


def sha256_of(path: Path, *, fresh: bool = False) -> str:
    """Return the SHA-256 of a file, from memory where size, times and place of the file are those that they were.

    A memory that is damaged, or that cannot be written, costs time and nothing else.

    Args:
        path: the file.
        fresh: read the file, whatever is remembered.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is a pipe, a socket or a device.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "abc"
        ...     _ = path.write_bytes(b"abc")
        ...     sha256_of(path)[:8]
        'ba7816bf'
    """
    place = _memory("hashes", os.path.realpath(path))
    memory = {} if fresh else _read(place)
    digest = memory.get("sha256")
    if isinstance(digest, str) and len(digest) == 64 and memory == {**_identity(path.stat()), "sha256": digest}:
        return digest
    _let_the_clock_move_on(path)
    with open_file(path) as file:
        before = _identity(os.fstat(file.fileno()))
        with suppress(OSError):
            os.fsync(file.fileno())  # what is written later through a mapping of the file changes its time only then
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        unchanged = before == _identity(os.fstat(file.fileno()))
    if unchanged:
        _write(place, {**before, "sha256": digest})
    return digest


def note_name(path: Path, name: str) -> None:
    """Remember the name that a hub gave to the contents of a file at this path, wherever the path may point to later."""
    _write(_memory("names", _place_of(path)), {"name": name})


def noted_name(path: Path) -> str | None:
    """Return what `note_name` remembered of a path; None if that is no hash."""
    name = _read(_memory("names", _place_of(path))).get("name")
    return name if isinstance(name, str) and is_hub_hash(name) else None


def is_commit(revision: str) -> bool:
    """Tell whether a revision is a full commit, which never changes."""
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def is_hub_hash(name: str) -> bool:
    """Tell whether a name is one that a hub gives to contents: a SHA-256, or git's SHA-1."""
    return re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) is not None


def has_hub_hash(path: Path, name: str, sha256: str) -> bool:
    """Tell whether a file has the name that a hub gives to its contents.

    Args:
        path: the file.
        name: 64 digits of its SHA-256, or 40 of git's SHA-1.
        sha256: of the file.

    Returns:
        Whether it has.
    """
    return name == (git_sha1_of(path) if len(name) == 40 else sha256)


def git_sha1_of(path: Path) -> str:
    """Return the name that git gives to a file's contents: the SHA-1 of a header and the bytes."""
    with open_file(path) as file:
        header = hashlib.sha1(b"blob %d\0" % os.fstat(file.fileno()).st_size, usedforsecurity=False)
        return hashlib.file_digest(file, lambda: header).hexdigest()


def _identity(stat: os.stat_result) -> dict[str, int]:
    """Return what changes when a file changes."""
    names = ("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev")
    return {name: getattr(stat, name) for name in names}


def _let_the_clock_move_on(path: Path) -> None:
    """Wait until a change after this one would have another time."""
    stat = path.stat()
    age = time.time() - max(stat.st_mtime, stat.st_ctime)
    if 0 <= age < TICK:
        time.sleep(TICK - age)


def _place_of(path: Path) -> str:
    """Return where a path lies itself, if it is a link."""
    return str(Path(os.path.realpath(path.parent)) / path.name)


def _memory(kind: str, place: str) -> Path:
    """Return where the memory of a place lies."""
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:32]
    return own_cache() / kind / f"{name}.json"


def _read(place: Path) -> dict[str, object]:
    """Return what is remembered, if it makes sense."""
    try:
        memory = json.loads(read_file(place, 10_000))
    except (OSError, ValueError, RecursionError):
        return {}
    return memory if isinstance(memory, dict) else {}


def _write(place: Path, memory: Mapping[str, object]) -> None:
    """Remember something, where that can be."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, json.dumps(memory).encode())
    except (OSError, ValueError):
        return
