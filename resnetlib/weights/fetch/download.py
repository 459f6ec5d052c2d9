"""A file behind a URL: downloaded in one piece, in its own time, and kept only if it is the right one."""

import glob
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener
from uuid import uuid4

from resnetlib.config import UrlFile
from resnetlib.weights.fetch.deadline import TRIES, Deadline
from resnetlib.weights.fetch.errors import (
    RETRIABLE,
    DamagedError,
    FetchError,
    UnreachableError,
    UnwantedError,
    cannot_store,
    error_for_status,
)
from resnetlib.weights.fetch.shown import showable, without_secrets

LARGEST = 8 * 2**30
"""Bytes: nothing that is larger is downloaded. The largest residual network with published weights takes half of it."""


class _Interrupted(Exception):  # noqa: N818 - it never leaves this file
    """The server may do better when it is asked again."""


class _Redirects(HTTPRedirectHandler):
    """Follow a few redirects, and none that gives up encryption."""

    max_redirections = 5

    def http_error_302(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any) -> Any:
        """Follow a redirect without reading its text, which may have no end."""
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        """Refuse other protocols than https, and http where it was http before."""
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and scheme != urlsplit(req.full_url).scheme:
            raise HTTPError(req.full_url, code, f"it redirects from https to {scheme}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(source: UrlFile, path: Path, deadline: Deadline) -> None:
    """Download a file, check it, and only then give it its name.

    Args:
        source: where it is, and its hash.
        path: where it shall be.
        deadline: until when.

    Raises:
        FetchError: if it is not to be had, or not what it should be.
    """
    with _storing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
        file = partial.open("xb")
    _lock(file)
    try:
        with file:
            _Transfer(source, file, deadline).finish()
        deadline.check()
        with _storing(path.parent):
            partial.replace(path)
    finally:
        with suppress(OSError):  # one that is gone, and one that a thread left behind still holds open
            partial.unlink()


class _Transfer:
    """The bytes of a file, from the first to the last, in as many requests as it takes."""

    def __init__(self, source: UrlFile, file: IO[bytes], deadline: Deadline) -> None:
        self.source, self.file, self.deadline = source, file, deadline
        self.limit = LARGEST if source.mib is None else int(source.mib * 1.5 * 2**20) + 2**20
        self.opener = build_opener(_Redirects)
        self._restart()

    def finish(self) -> None:
        """Ask until the file is whole, at most `TRIES` times without any progress, and check it."""
        most, failed = 0, 0
        while True:
            try:
                self._ask()
                break
            except _Interrupted as error:
                failed = 1 if self.have > most else failed + 1
                most = max(most, self.have)
                if failed == TRIES:
                    reason = showable(str(error))
                    raise UnreachableError(f"{without_secrets(self.source.url)} could not be downloaded: {reason}") from None
                self.deadline.pause(failed - 1)
        found = self.digest.hexdigest()
        if not found.startswith(self.source.sha256):
            raise DamagedError(
                f"{without_secrets(self.source.url)} sent {self.have} bytes that are damaged: their SHA-256 is {found}, expected "
                f"{self.source.sha256}."
            )
        with _storing(Path(self.file.name).parent):
            self.file.flush()
            os.fsync(self.file.fileno())

    def _restart(self) -> None:
        """Forget all that came."""
        self.have, self.validator = 0, ""
        self.total: int | None = None
        self.digest = hashlib.sha256()
        self.file.seek(0)
        self.file.truncate()

    def _ask(self) -> None:
        """Send one request, and take what comes."""
        self.deadline.check()
        headers = {"User-Agent": "resnetlib", "Accept-Encoding": "identity"}
        if self.have:
            headers |= {"Range": f"bytes={self.have}-"} | ({"If-Range": self.validator} if self.validator else {})
        request = Request(self.source.url, headers=headers)  # noqa: S310 - a UrlFile's begins with https:// or http://
        with self._network(), self.opener.open(request, timeout=self.deadline.timeout) as response:
            self._begin(response)
            with _progress(without_secrets(self.source.url), self.have, self.total) as bar:
                while chunk := self._read(response):
                    self._take(chunk)
                    bar.update(len(chunk))
        if self.total is not None and self.have < self.total:
            raise _Interrupted(f"it broke off after {self.have} of {self.total} bytes")

    def _begin(self, response: HTTPResponse) -> None:
        """Read the headers: how much comes, and whether it goes on where the last answer broke off."""
        length = response.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() and len(length) < 20 else None
        if response.status == 206:
            answer = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
            if not self.have or answer is None or int(answer[1]) != self.have or answer[2] not in ("*", str(self.total)):
                self._restart()
                raise _Interrupted("it sent another part of the file than was asked for")
        else:
            if self.have:
                self._restart()
            self.total = size
            etag = response.headers.get("ETag", "")
            self.validator = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
        if self.total is not None and self.total > self.limit:
            raise self._too_large(f"announces {self.total} bytes")

    def _read(self, response: HTTPResponse) -> bytes:
        """Read what is there, however little, so that the time is checked often."""
        self.deadline.check()
        return response.read1(2**20)

    def _take(self, chunk: bytes) -> None:
        """Keep a part of the file."""
        self.have += len(chunk)
        if self.have > self.limit:
            raise self._too_large("sends more bytes")
        self.digest.update(chunk)
        with _storing(Path(self.file.name).parent):
            self.file.write(chunk)

    def _too_large(self, found: str) -> UnwantedError:
        return UnwantedError(f"{without_secrets(self.source.url)} {found}, expected at most {self.limit}; nothing of it was kept.")

    @contextmanager
    def _network(self) -> Iterator[None]:
        """Turn what the network raises into what to do about it."""
        try:
            yield
        except HTTPError as error:
            error.close()
            if error.code == 416 and self.have:
                self._restart()
                raise _Interrupted("it would not send the rest of the file") from None
            if error.code in RETRIABLE:
                raise _Interrupted(f"the server answered {error.code}") from None
            what = without_secrets(self.source.url)
            if error.code < 400:
                reason = showable(str(error.msg).partition("\n")[0])
                raise UnreachableError(f"{what} could not be downloaded: {reason}") from None
            raise error_for_status(error.code, what, "It may have moved, or want another network.") from None
        except FetchError:
            raise
        except (OSError, HTTPException, ValueError) as error:
            raise _Interrupted(str(getattr(error, "reason", "") or error) or type(error).__name__) from None


@contextmanager
def _storing(folder: Path) -> Iterator[None]:
    """Turn what the disk raises into advice."""
    try:
        yield
    except OSError as error:
        raise cannot_store(error, folder, "TORCH_HOME") from None


def _remove_leftovers(path: Path) -> None:
    """Remove what killed processes left, and nobody is writing to."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with suppress(OSError):
            with partial.open("r+b") as file:
                dead = _lock(file)
            if dead:
                partial.unlink()


def _lock(file: IO[bytes]) -> bool:
    """Lock a file until it is closed, and tell whether that was possible; where a system has no such locks, it was."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:  # on Windows, a file that is open cannot be removed anyway
        return True
    try:
        flock(file.fileno(), LOCK_EX | LOCK_NB)
    except OSError:
        return False
    return True


def _progress(name: str, have: int, total: int | None) -> Any:
    """Return a progress bar, which shows itself on a terminal alone."""
    from tqdm import tqdm

    return tqdm(desc=name.rpartition("/")[2], initial=have, total=total, unit="B", unit_scale=True, unit_divisor=1024, disable=None)
