"""The library's own errors, and text that is safe to show in them. Other exceptions are the operating system's, or bugs."""

from collections.abc import Iterator
from contextlib import contextmanager


class ResnetlibError(Exception):
    """Base class of the library's errors."""


class InputError(ResnetlibError, ValueError):
    """Invalid value of an argument, or invalid content of a file."""


class InputTypeError(ResnetlibError, TypeError):
    """Invalid type of an argument."""


class MissingFileError(ResnetlibError, FileNotFoundError):
    """A file or folder does not exist, or a folder lacks what is read from it."""


class ExistingFileError(ResnetlibError, FileExistsError):
    """A file exists and would be overwritten."""


class NotAFolderError(ResnetlibError, NotADirectoryError):
    """A file is where a folder is expected."""


class NotAFileError(ResnetlibError, IsADirectoryError):
    """A folder is where a file is expected."""


class ResourceError(ResnetlibError, OSError):
    """Disk space or memory ran out, or a file cannot be written."""


class DeniedError(ResourceError, PermissionError):
    """No permission to write to a folder."""


class FolderInUseError(ResnetlibError, BlockingIOError):
    """Another process is training in the folder."""


class FailedTrainingsError(ResnetlibError, RuntimeError):
    """Some trainings failed; the results of the others are kept."""


class InUseError(ResnetlibError, RuntimeError):
    """Another thread is using the network."""


class CompileError(ResnetlibError, RuntimeError):
    """A network cannot be compiled."""


class MissingPackageError(ResnetlibError, ImportError):
    """An optional package is not installed."""


def check_not_exported(name: object) -> None:
    """Raise InputError for an .onnx file, where a network or its weights are expected."""
    if str(name).lower().endswith(".onnx"):
        what = "is an exported network, for predict, evaluate, info and bench"
        raise InputError(f"{name} {what}: give the network or the weights that it was exported from")


@contextmanager
def prefix_errors(source: object) -> Iterator[None]:
    """Begin the message of an InputError with the name of the file, unless it names the file already."""
    try:
        yield
    except InputError as error:
        if str(source) in str(error):
            raise
        raise InputError(f"{source}: {error}") from error


def printable(text: object, limit: int = 200, *, lines: bool = False) -> str:
    """Escape control characters, except line breaks if `lines` is True, and truncate the text to `limit` characters.

    Escape sequences, carriage returns and bidirectional controls can change what a terminal shows, so all text from files and
    servers is escaped before it is part of a message.
    """
    whole = str(text)
    if whole.isprintable() and len(whole) <= limit:
        return whole
    shown = "".join(
        char if char.isprintable() or (lines and char == "\n") else char.encode("unicode_escape", "surrogatepass").decode()
        for char in whole[:limit]
    )
    if len(whole) <= limit and len(shown) <= limit:
        return shown
    more = f"... ({len(whole):,} characters)"
    return shown[: max(0, limit - len(more))] + more
