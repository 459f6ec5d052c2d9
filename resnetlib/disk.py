"""Write files atomically, and open only regular files."""

import errno
import hashlib
import io
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from io import BufferedReader
from pathlib import Path
from typing import Any
from uuid import uuid4

from resnetlib.errors import (
    DeniedError,
    InputError,
    InputTypeError,
    MissingFileError,
    NotAFileError,
    NotAFolderError,
    ResourceError,
)

_LOCK_TIMEOUT = 10.0
"""Seconds to wait for another process that writes to the folder; after that both write, to separate temporary files."""


_MAX_NAME = 245
"""Most file systems accept 255 bytes; a temporary file's name has 10 more than the file's."""


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return a path, with `~` for the home folder; raise TypeError for anything but a str or a path object of one."""
    if not isinstance(os.fspath(path) if isinstance(path, os.PathLike) else path, str):
        raise InputTypeError(f"expected a path, a str or a Path, got {path!r:.200}")
    try:
        return Path(path).expanduser()
    except RuntimeError:  # a name such as ~1.png, or no home folder
        return Path(path)


def write_atomically(path: str | Path, content: bytes | memoryview) -> None:
    """Write to a temporary file beside `path`, flush it to the disk, and rename it.

    An existing file's permissions are kept; a new file gets those that `open` would give it.
    """
    path = local_path(path)
    write_together(path.parent, {path.name: content})


def write_together(folder: Path, contents: Mapping[str, bytes | memoryview]) -> None:
    """Write temporary files to a folder, and rename them in order once all of them are on the disk.

    A process that is killed between two renames leaves temporary files, which `unfinished` finds. The next call deletes them.
    """
    folder = local_path(folder)
    for name in contents:
        if not _is_text(name) or len(os.fsencode(name)) > _MAX_NAME:
            what = f"a name has at most {_MAX_NAME} bytes of UTF-8, and no null byte"
            raise InputError(f"{str(folder / name)!r} cannot be written: {what}")
    if not os.path.exists(folder):  # noqa: PTH110 - Path.exists raises an OSError for a path that is too long
        raise MissingFileError(f"there is no folder {folder}")
    if not folder.is_dir():
        raise NotAFolderError(f"{folder} is a file, and not a folder")
    with _lock(folder) as locked:
        old = [path for name in contents for path in unfinished(folder, name)] if locked else []
        temporaries = {folder / name: folder / f".{name}.{uuid4().hex[:8]}" for name in contents}
        try:
            for (target, temporary), content in zip(temporaries.items(), contents.values(), strict=True):
                if target.is_dir():
                    raise NotAFileError(f"{target} is a folder: give the name of a file")
                if target.exists() and not target.is_file():
                    raise InputError(f"{target} is a pipe, a socket or a device, which would be replaced: give another name")
                _write(temporary, content)
                if target.is_file():
                    temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            for target, temporary in temporaries.items():
                temporary.replace(target)
        except BaseException:
            if next(iter(temporaries.values())).exists():  # once it is renamed, `unfinished` finds the others
                for temporary in temporaries.values():
                    temporary.unlink(missing_ok=True)
            raise
        for path in old:
            path.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Raise OSError unless files can be written to a folder, or to the place where it would be created."""
    if not _is_text(folder):
        raise InputError(f"{str(folder)!r} cannot be written: it has a null byte, or is not UTF-8")
    try:
        place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if place.is_dir():
            tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        kind = DeniedError if isinstance(error, PermissionError) else ResourceError
        raise kind(f"{folder} cannot be written: {error.strerror}") from error
    if not place.is_dir():
        raise NotAFolderError(f"{place} is a file, so {folder} cannot be a folder")


def _is_text(path: str | Path) -> bool:
    """Return whether a path has no null byte, and can be encoded."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:  # lone surrogates
        return False


def unfinished(folder: Path, name: str) -> list[Path]:
    """Return the temporary files for a name, of processes that were killed or are still writing."""
    return [path for path in folder.glob(f".{escape(name)}.????????") if re.fullmatch("[0-9a-f]{8}", path.name[-8:])]


def _write(path: Path, content: bytes | memoryview) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Lock a folder against other writers; yield False if there are no locks, or another process keeps its lock."""
    locked = False
    with ExitStack() as stack:
        with suppress(ImportError, OSError):  # Windows; a file system without locks
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            end = time.monotonic() + _LOCK_TIMEOUT
            while not locked and time.monotonic() < end:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    locked = True
                except BlockingIOError:
                    time.sleep(0.02)
        yield locked


def open_file(path: str | Path) -> BufferedReader:
    """Open a regular file, or a link to one, for reading.

    Raise FileNotFoundError if there is no such file, IsADirectoryError for a folder, and ValueError for a pipe, a socket or a
    device, which could block or never end.
    """
    if not str(path):
        raise InputError("'' is not the path of a file")
    try:
        descriptor = os.open(local_path(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"there is no file {path}") from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise MissingFileError(f"there is no file {path}: {error.strerror}") from error
    except ValueError as error:  # a null byte
        raise InputError(f"{str(path)!r} is not the path of a file: {error}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise NotAFileError(f"{path} is a folder, expected a file")
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is a pipe, a socket or a device, expected a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: str | Path, limit: int) -> bytes:
    """Read a regular file; raise ValueError if it is larger than `limit` bytes."""
    with open_file(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise InputError(f"{path} is larger than the limit of {limit:,} bytes")
    return content


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a regular file, in hexadecimal."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_figure(path: str | Path, figure: Any) -> None:
    """Write a matplotlib figure as a PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_atomically(path, content.getvalue())
