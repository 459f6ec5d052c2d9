"""Errors of fetching a file. Each message says what was tried, what happened, and what to do next."""

from collections.abc import Sequence

from resnetlib.errors import ResnetlibError


class FetchError(ResnetlibError):
    """Base class of the errors of fetching a file."""


class NotFoundError(FetchError, FileNotFoundError):
    """The server says that it does not have the file. Never raised for a server that cannot be reached."""


class DownloadError(FetchError, OSError):
    """The file cannot be downloaded, stored or read: no network, no permission, a disk that is full, offline mode."""


class DamagedFileError(FetchError, ValueError):
    """The content of a file does not have the expected hash."""


def combined_error(errors: Sequence[FetchError]) -> FetchError:
    """Return one error for several sources: a NotFoundError only if no source has the file for certain.

    Example:
        >>> type(combined_error([NotFoundError("not there"), DownloadError("no answer")])).__name__
        'DownloadError'
    """
    if len(errors) == 1:
        return errors[0]
    kind = next(kind for kind in (DownloadError, DamagedFileError, NotFoundError) if any(isinstance(e, kind) for e in errors))
    return kind("None of the sources provides the file:\n" + "\n".join(f"  {error}" for error in errors))
