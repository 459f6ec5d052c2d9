"""Files that are written whole or not at all, and read only if they are files."""

import os
import stat
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, flush it to the disk, and give it the name.

    A file that is replaced keeps its permissions; a new one has those that `open` would give it.
    """
    temporary = path.parent / f".{path.name}.{uuid4().hex[:8]}"
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.is_file():
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def open_file(path: str | Path) -> BinaryIO:
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
