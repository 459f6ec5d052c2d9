"""Errors of downloads. Each message says what was tried, what happened, and what to do next."""

import errno
import re
import ssl
from contextlib import suppress
from pathlib import Path

from resnetlib.config import HubFile, UrlFile
from resnetlib.errors import ResnetlibError
from resnetlib.text import printable

DISK_ERRORS = {
    "ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "ENOTDIR", "EISDIR", "EEXIST", "ENAMETOOLONG", "EIO", "ELOOP"
}  # fmt: skip


class FetchError(ResnetlibError):
    """Base class of the errors of downloads."""


class NotFoundError(FetchError, FileNotFoundError):
    """The server says that it does not have the file. Never raised for a server that cannot be reached."""


class DownloadError(FetchError, OSError):
    """The file cannot be downloaded, stored or read: no network, no permission, a full disk, offline mode."""


class DamagedFileError(FetchError, ValueError):
    """The content of a file does not have the expected hash."""


def no_such_file(source: HubFile) -> NotFoundError:
    """Return the error for a file that the hub says a repository does not have."""
    return NotFoundError(f"There is no file {source.file} in hf-hub:{source.repo} at revision {source.revision!r}.")


def translate(error: BaseException, source: HubFile | UrlFile, folder: Path, variable: str) -> BaseException:
    """Return the error of this library for one of the client, or an unforeseen error as it is."""
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub import constants, errors

    if isinstance(error, FetchError | errors.HFValidationError):
        return error
    if isinstance(error, errors.LocalEntryNotFoundError | errors.FileMetadataError | ValueError) and error.__cause__ is not None:
        return translate(error.__cause__, source, folder, variable)
    server = constants.ENDPOINT if isinstance(source, HubFile) else "the server"
    if isinstance(error, errors.HfHubHTTPError):
        return _answered(error, source, server)
    if isinstance(error, errors.FileMetadataError):
        return DownloadError(f"{server} answers, but not as a hub does. Check HF_ENDPOINT and the network's proxy.")
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | ConnectionError):
        place = Path(error.filename) if isinstance(error.filename, str) else folder
        above = error.errno == errno.ENOTDIR and folder.is_relative_to(place.parent)  # a file, where a folder should be
        if errno.errorcode.get(error.errno or 0) in DISK_ERRORS and (place.is_relative_to(folder) or above):
            reason = error.strerror or printable(error)
            found = DownloadError(f"Cannot write to {folder}: {reason}. Make room there, or set {variable} to another folder.")
            found.errno = error.errno
            return found
        if type(error) is OSError and error.errno is None:
            return DamagedFileError(f"The download of {source} has another size than {server} announced.")
    if isinstance(error, HTTPError | InvalidURL | OSError | RuntimeError | ValueError | ImportError):
        return DownloadError(
            f"{source} cannot be downloaded from {server}: {shown(error).rstrip('.')}. Try again, or check the network, its proxy, "
            f"HF_ENDPOINT, HF_TOKEN_PATH and SSL_CERT_FILE."
        )
    return error


def _answered(error: Exception, source: HubFile | UrlFile, server: str) -> FetchError:
    """Return the error for an HTTP status."""
    from huggingface_hub import errors

    response = error.response  # type: ignore[attr-defined] # of an HfHubHTTPError
    status = response.status_code
    answer = f"{server} answered {status}"
    if status in (408, 425, 429) or status >= 500:
        return DownloadError(f"{source} cannot be downloaded: {answer}. Try again later.")
    if isinstance(source, UrlFile):
        if status in (404, 410):
            return NotFoundError(f"{source} is not there: {answer}.")
        return DownloadError(f"{source} cannot be downloaded: {answer}. It may have moved, or be open to another network only.")
    if isinstance(error, errors.GatedRepoError):
        return DownloadError(f"hf-hub:{source.repo} is gated: accept its terms on {server}/{source.repo}, and set HF_TOKEN.")
    if isinstance(error, errors.RevisionNotFoundError):
        return DownloadError(f"There is no revision {source.revision!r} of hf-hub:{source.repo}.")
    if isinstance(error, errors.RemoteEntryNotFoundError) and response.request.method == "HEAD":
        return no_such_file(source)
    return DownloadError(
        f"{source} cannot be downloaded: {answer}. Check its name; if it is private, set HF_TOKEN to a token that may read "
        f"{source.repo}."
    )


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
