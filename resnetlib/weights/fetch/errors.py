"""What can go wrong on the way to a file; each error is also the builtin one that fits it."""

from collections.abc import Sequence

RETRIABLE = frozenset({408, 425, 429, *range(500, 600)})
"""Answers of a server that may be another one a moment later."""


class FetchError(Exception):
    """A file could not be had."""


class NotThereError(FetchError, FileNotFoundError):
    """The server said that there is no such file."""


class NoSuchRepositoryError(NotThereError):
    """The hub said that there is no such repository or revision, or nothing at all: not that the file alone is missing."""


class RefusedError(FetchError, PermissionError):
    """The server said that this user may not have the file."""


class UnreachableError(FetchError, ConnectionError):
    """No answer that says whether the file is there: no network, no server, or no time left."""


class DamagedError(FetchError, ValueError):
    """The contents are not those that they should be."""


class UnwantedError(DamagedError):
    """What is offered is whole, but another file than is wanted, or too large; to ask again would not help."""


class UnverifiedError(FetchError, ValueError):
    """Nothing is known of the contents that they could be compared with."""


class UnreadableError(FetchError, OSError):
    """The file is in the cache, and this user cannot read it."""


class CannotStoreError(FetchError, OSError):
    """The folder for the file cannot be written: it is full, or read-only, or no folder."""


def error_for_status(status: int, what: str, advice: str) -> FetchError:
    """Turn a server's answer into the error that it means.

    Args:
        status: the answer, 300 or more.
        what: was asked for.
        advice: a sentence for those who are refused.

    Returns:
        The error.

    Example:
        >>> error_for_status(404, "http://example.org/w.pth", "")
        NotThereError('http://example.org/w.pth is not there: the server answered 404.')
    """
    if status in (404, 410):
        return NotThereError(f"{what} is not there: the server answered {status}.")
    if status in (401, 402, 403, 407, 451):
        return RefusedError(f"{what} is refused: the server answered {status}. {advice}".rstrip())
    later = " Try again later." if status in RETRIABLE else ""
    return UnreachableError(f"{what} could not be downloaded: the server answered {status}.{later}")


def cannot_store(error: OSError, folder: object, variable: str) -> CannotStoreError:
    """Say that a folder cannot be written, and how to choose another.

    Args:
        error: what the system said.
        folder: where the file should go.
        variable: of the environment, that names the folder.

    Returns:
        The error, with the system's number.

    Example:
        >>> str(cannot_store(OSError(28, "No space left on device"), "/cache", "HF_HOME"))
        'Cannot write to /cache: No space left on device. Make room there, or let HF_HOME name another folder.'
    """
    reason = error.strerror or str(error) or type(error).__name__
    found = CannotStoreError(f"Cannot write to {folder}: {reason}. Make room there, or let {variable} name another folder.")
    found.errno = error.errno
    return found


def all_of(errors: Sequence[FetchError]) -> FetchError:
    """Return one error for all places: it says that the file is not there only if every place said so.

    Args:
        errors: what happened with each.

    Returns:
        The error.

    Example:
        >>> type(all_of([NotThereError("not here"), UnreachableError("no answer")])).__name__
        'UnreachableError'
    """
    if len(errors) == 1:
        return errors[0]
    kinds = (
        UnreachableError,
        DamagedError,
        UnverifiedError,
        CannotStoreError,
        UnreadableError,
        RefusedError,
        NoSuchRepositoryError,
        NotThereError,
    )
    kind = next(kind for kind in kinds if any(isinstance(error, kind) for error in errors))
    return kind("None of these places has the file:\n" + "\n".join(f"  {error}" for error in errors))
