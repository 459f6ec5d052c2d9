"""What the hub's client raises, in our words."""

import errno
import ssl
from pathlib import Path

from resnetlib.config import HubFile
from resnetlib.weights.fetch.errors import (
    DamagedError,
    FetchError,
    NoSuchRepositoryError,
    NotThereError,
    RefusedError,
    UnreachableError,
    cannot_store,
    error_for_status,
)
from resnetlib.weights.fetch.shown import showable

STORING = {"ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "ENOTDIR", "EISDIR", "EEXIST", "ENAMETOOLONG", "EIO", "ELOOP"}
"""What a system says when a file cannot be written."""

LOCAL = {FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ssl.SSLError, ValueError, ImportError}
"""What a client raises before it reaches a network that is not set up as it should be."""


def explain(error: Exception, source: HubFile, endpoint: str, folder: Path) -> Exception:
    """Turn an error of the hub's client into one of ours.

    Args:
        error: of the client, or already one of ours.
        source: what was asked for.
        endpoint: who was asked.
        folder: the client's cache.

    Returns:
        The error to raise; one that nobody foresaw is returned as it is.
    """
    from huggingface_hub import errors

    if isinstance(error, FetchError):
        return error
    wrapping = errors.LocalEntryNotFoundError | errors.FileMetadataError | ValueError
    if isinstance(error, wrapping) and isinstance(error.__cause__, Exception):
        return explain(error.__cause__, source, endpoint, folder)
    if isinstance(error, errors.HfHubHTTPError):
        return _answered(error, source, endpoint)
    if isinstance(error, errors.HFValidationError):
        return error
    if isinstance(error, OSError) and _is_storing(error, folder):
        return cannot_store(error, folder, "HF_HOME")
    if type(error) is OSError and error.errno is None:
        return DamagedError(f"{source} came with another size than {endpoint} had announced.")
    network: type[Exception] = errors.HTTPError  # type: ignore[attr-defined] # of the client's network library, whichever it is
    if isinstance(error, network | OSError | RuntimeError | ValueError | ImportError):
        reason = _reason(error)
        if type(error) in LOCAL:
            reason = f"{reason.rstrip('.')}. Check HF_TOKEN_PATH, SSL_CERT_FILE and the network's proxy."
        return UnreachableError(f"{source} could not be downloaded from {endpoint}: {reason}")
    return error


def _answered(error: Exception, source: HubFile, endpoint: str) -> FetchError:
    """Say what a hub's answer means; its status alone does not say whether it is the file that is missing."""
    from huggingface_hub import errors

    repo = source.repo
    if isinstance(error, errors.GatedRepoError):
        return RefusedError(
            f"hf-hub:{repo} is gated: accept its terms on {endpoint}/{repo}, and set HF_TOKEN to a token of that account."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return NoSuchRepositoryError(f"There is no revision {source.revision!r} of hf-hub:{repo}.")
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return no_such_file(source)
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else 0
    advice = f"Check its name; if it is private, set HF_TOKEN to a token that may read {repo}."
    if status in (404, 410):
        return NoSuchRepositoryError(f"{source} is not there: the server answered {status}. {advice}")
    return error_for_status(status, str(source), advice)


def no_such_file(source: HubFile) -> NotThereError:
    """Return the error that says that a repository has no such file."""
    return NotThereError(f"There is no file {source.file} in hf-hub:{source.repo} at revision {source.revision!r}.")


def _is_storing(error: OSError, folder: Path) -> bool:
    """Tell whether it was the cache that could not be written, and not something else that could not be read."""
    if isinstance(error, ssl.SSLError | ConnectionError) or errno.errorcode.get(error.errno or 0) not in STORING:
        return False
    if not isinstance(error.filename, str):
        return True
    place = Path(error.filename)
    above = place.parent if error.errno == errno.ENOTDIR else place  # a file, where a folder should be
    return place.is_relative_to(folder) or folder.is_relative_to(above)


def _reason(error: Exception) -> str:
    """Return an error's text, unless it quotes what was sent: that may hold a token."""
    from huggingface_hub import get_token

    text = str(error)
    try:
        token = get_token()
    except OSError:
        token = None
    return type(error).__name__ if not text or "Bearer" in text or (token and token in text) else showable(text)
