"""Errors of downloads. Each message says what was tried, what happened, and what to do next."""

import errno
import re
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

from resnetlib.config import HubFile, UrlFile
from resnetlib.errors import InputError, ResnetlibError, printable

_DISK_ERRORS = {
    "ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "ENOTDIR", "EISDIR", "EEXIST", "ENAMETOOLONG", "EIO", "ELOOP"
}  # fmt: skip


class FetchError(ResnetlibError):
    """Base class of the errors of downloads."""


class NotFoundError(FetchError, FileNotFoundError):
    """The server does not have the file. Never raised for a server that cannot be reached."""


class DownloadError(FetchError, OSError):
    """The file cannot be downloaded, stored or read: no network, no permission, a full disk, offline mode."""


class DamagedFileError(FetchError, ValueError):
    """The content of a file does not have the expected hash."""


def no_such_file(source: HubFile) -> NotFoundError:
    """Return the error for a file that is not in a repository, as the hub says."""
    return NotFoundError(f"There is no file {source.file} in hf-hub:{source.repo} at revision {source.revision!r}.")


def translate(error: BaseException, source: HubFile | UrlFile, folder: Path, variable: str) -> BaseException:
    """Translate an error of the hub client into one of this library."""
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub import constants, errors

    if isinstance(error, FetchError):
        return error
    if isinstance(error, errors.HFValidationError):
        return InputError(printable(error))
    if isinstance(error, errors.LocalEntryNotFoundError | errors.FileMetadataError | ValueError) and error.__cause__ is not None:
        return translate(error.__cause__, source, folder, variable)
    server = constants.ENDPOINT if isinstance(source, HubFile) else "the server"
    if isinstance(error, errors.HfHubHTTPError):
        return _answered(error, source, server)
    if isinstance(error, errors.FileMetadataError):
        return DownloadError(f"{server} is not a Hugging Face Hub server. Check HF_ENDPOINT and the network's proxy.")
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | ConnectionError):
        place = Path(error.filename) if isinstance(error.filename, str) else folder
        above = error.errno == errno.ENOTDIR and folder.is_relative_to(place.parent)  # a file, where a folder should be
        if errno.errorcode.get(error.errno or 0) in _DISK_ERRORS and (place.is_relative_to(folder) or above):
            reason = error.strerror or printable(error)
            failure = DownloadError(f"Cannot write to {folder}: {reason}. Make room there, or set {variable} to another folder.")
            failure.errno = error.errno
            return failure
        if type(error) is OSError and error.errno is None:
            return DamagedFileError(f"The download of {source} does not have the size that {server} announced.")
    if isinstance(error, HTTPError | InvalidURL | OSError | RuntimeError | ValueError | ImportError):
        return DownloadError(
            f"{source} cannot be downloaded from {server}: {shown(error).rstrip('.')}. Try again, or check the network, its proxy, "
            f"HF_ENDPOINT, HF_TOKEN_PATH and SSL_CERT_FILE."
        )
    return error


def _answered(error: Any, source: HubFile | UrlFile, server: str) -> FetchError:
    """Return the error for an HfHubHTTPError, by its status."""
    from huggingface_hub import errors

    status = error.response.status_code
    refused = f"{source} cannot be downloaded: {server} answered {status}."
    if status in (408, 425, 429) or status >= 500:
        return DownloadError(f"{refused} Try again later.")
    if isinstance(source, UrlFile):
        if status in (404, 410):
            return NotFoundError(f"{source} is not there: {server} answered {status}.")
        return DownloadError(f"{refused} The file may have moved, or the server may not serve this network.")
    if isinstance(error, errors.GatedRepoError):
        return DownloadError(f"hf-hub:{source.repo} is gated: accept its terms on {server}/{source.repo}, and set HF_TOKEN.")
    if isinstance(error, errors.RevisionNotFoundError):
        return DownloadError(f"There is no revision {source.revision!r} of hf-hub:{source.repo}.")
    if isinstance(error, errors.RemoteEntryNotFoundError) and error.response.request.method == "HEAD":
        return no_such_file(source)
    return DownloadError(f"{refused} Check its name; if it is private, set HF_TOKEN to a token that may read {source.repo}.")


def shown(error: BaseException) -> str:
    """Return the text of an error, without tokens and without the queries and passwords of URLs."""
    from huggingface_hub import get_token

    text, token = str(error)[:5000].strip(), None
    with suppress(OSError):
        token = get_token()
    if not text or "Bearer" in text or (token and token in text):
        return type(error).__name__
    text = re.sub(r"(\w://)[^\s/?#'\"]*@", r"\1", text)
    return printable(re.sub(r"(\w://[^\s?#'\"]*)[?#][^\s'\"]*?(?=:?(?:[\s'\"]|$))", r"\1", text), 300)
