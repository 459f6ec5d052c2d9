"""Files that are written whole or not at all, and read only if they are files."""

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from io import BufferedReader
from pathlib import Path
from uuid import uuid4

_PATIENCE = 10.0
"""Seconds to wait for another writer in a folder; then both write, each its whole files."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, flush it to the disk, and give it the name.

    A file that is replaced keeps its permissions; a new one has those that `open` would give it.
    """
    write_together(path.parent, {path.name: content})


def write_together(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files of a folder beside their names, and give them these, in order, once all are on the disk.

    Who is killed between two names leaves the rest where `unfinished` finds it; the next to write these names clears it away.
    """
    with _alone(folder) as alone:
        old = [path for name in contents for path in unfinished(folder, name)] if alone else []
        temporaries = {name: folder / f".{name}.{uuid4().hex[:8]}" for name in contents}
        try:
            for name, content in contents.items():
                if (folder / name).is_dir():
                    raise IsADirectoryError(f"{folder / name} is a folder: a file is to be written there")
                if (folder / name).exists() and not (folder / name).is_file():
                    raise ValueError(f"{folder / name} is a pipe, a socket or a device, which would be replaced: give another name")
                _write(temporaries[name], content)
                if (folder / name).is_file():
                    temporaries[name].chmod(stat.S_IMODE((folder / name).stat().st_mode))
            for name, temporary in temporaries.items():
                temporary.replace(folder / name)
        except BaseException:
            if temporaries[next(iter(contents))].exists():  # or the first has its name, and the others are needed
                for temporary in temporaries.values():
                    temporary.unlink(missing_ok=True)
            raise
        for path in old:
            path.unlink(missing_ok=True)


def unfinished(folder: Path, name: str) -> list[Path]:
    """Return what writers that were killed, or are still at work, left for a name."""
    return [path for path in folder.glob(f".{escape(name)}.????????") if re.fullmatch("[0-9a-f]{8}", path.name[-8:])]


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Keep other writers out of a folder; False where that cannot be: no locks, or somebody who does not let go."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield False
        return
    with ExitStack() as stack:
        alone = False
        with suppress(OSError):  # a disk without locks
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            end = time.monotonic() + _PATIENCE
            while not alone and time.monotonic() < end:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    alone = True
                except BlockingIOError:
                    time.sleep(0.02)
        yield alone


def open_file(path: str | Path) -> BufferedReader:
    """Open a regular file for reading.

    Args:
        path: the file; a link to one is followed.

    Returns:
        The open file.

    Raises:
        FileNotFoundError: if it is not there.
        IsADirectoryError: for a folder.
        ValueError: for a pipe, a socket or a device, which could block or never end.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(f"{path} is a folder, expected a file")
        if not stat.S_ISREG(mode):
            raise ValueError(f"{path} is a pipe, a socket or a device, expected a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: str | Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Args:
        path: the file.
        limit: the largest size accepted, in bytes.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: for a larger file, and for a pipe, a socket or a device.
    """
    with open_file(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path} is larger than {limit:,} bytes, the most that is read of such a file")
    return content
