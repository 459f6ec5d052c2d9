"""Check every answer that huggingface_hub's HTTP client gets for this library. Requests of other libraries are not checked.

The client makes paths from a server's headers, sends the token where a server redirects it, and quotes answers in its errors.
"""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from resnetlib.errors import printable
from resnetlib.weights.errors import DownloadError

if TYPE_CHECKING:
    from httpx2 import Client, Request, Response, SyncByteStream

LIBRARY = "resnetlib"
"""The `library_name` of this library's requests, by which they are recognized in any thread."""

MAX_FILE, MAX_JSON, MAX_ANSWER = 8 * 2**30, 16 * 2**20, 2**20
"""The most bytes that are read of a file, of a .json file, and of an answer of the hub's API."""

_uses = 0
_users_factory: Callable[[], "Client"] | None = None


def is_commit(revision: str) -> bool:
    """Return whether a revision is a full commit hash, whose files never change."""
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def is_content_hash(name: str) -> bool:
    """Return whether a name is a hash by which the hub names files: a SHA-256, or git's SHA-1."""
    return re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) is not None


@contextmanager
def guarded() -> Iterator[None]:
    """Check the answers to requests that are made as `LIBRARY` in this context; raise DownloadError for an unsafe one."""
    from huggingface_hub.utils import _http

    global _uses, _users_factory
    with _http._CLIENT_LOCK:  # any thread may replace the client at any time
        if _http._GLOBAL_CLIENT_FACTORY is not _make_client:
            _users_factory, _http._GLOBAL_CLIENT_FACTORY = _http._GLOBAL_CLIENT_FACTORY, _make_client
        _uses += 1
    try:
        _hook(_http.get_session())
        yield
    except Exception as error:
        _make_printable(error)
        raise
    finally:
        with _http._CLIENT_LOCK:
            _uses -= 1
            if not _uses and _users_factory is not None and _http._GLOBAL_CLIENT_FACTORY is _make_client:
                _http._GLOBAL_CLIENT_FACTORY = _users_factory


def _make_client() -> "Client":
    assert _users_factory is not None  # noqa: S101 - guarded() sets it first
    client = _users_factory()
    _hook(client)
    return client


def _hook(client: "Client") -> None:
    """Add the checks to a client, once."""
    if _check_answer not in client.event_hooks["response"]:
        client.send = partial(_send, client.send)  # type: ignore[method-assign]
        client.event_hooks["request"].append(_check_request)
        client.event_hooks["response"].insert(0, _check_answer)


def _send(send: "Callable[..., Response]", request: "Request", **options: Any) -> "Response":
    """Send a request, but do not try again if the host has no address."""
    from httpx2 import ConnectError

    try:
        return send(request, **options)
    except ConnectError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, socket.gaierror):
            cause = cause.__cause__ or cause.__context__
        if cause is None or not _is_ours(request):
            raise
        raise cause from None  # the client would try a ConnectError again


def _is_ours(request: "Request") -> bool:
    return request.headers.get("User-Agent", "").startswith(f"{LIBRARY}/")


def _is_on_hub(request: "Request") -> bool:
    from httpx2 import URL
    from huggingface_hub import constants

    return request.url.origin == URL(constants.ENDPOINT).origin


def _check_request(request: "Request") -> None:
    """Send the token to the hub only, and ask for uncompressed content."""
    if _is_ours(request):
        request.headers["Accept-Encoding"] = "identity"
        if not _is_on_hub(request):
            request.headers.pop("Authorization", None)


def _check_answer(response: "Response") -> None:
    """Raise DownloadError for an unsafe answer; escape its headers, and remove those that the client must not act on."""
    request, headers, status = response.request, response.headers, response.status_code
    if not _is_ours(request):
        return
    response.extensions.pop("reason_phrase", None)
    for key, value in headers.multi_items():
        if not value.isprintable() or len(value) > 8000:
            headers[key] = printable(value, 8000)
    if "Location" in headers and request.url.scheme == "https":  # the client follows it whatever the status is
        scheme = urlsplit(urljoin(str(request.url), headers["Location"])).scheme
        if scheme != "https":
            raise DownloadError(f"{_host(request)} redirects from https to {scheme}, which is not followed.")
    headers.pop("X-Xet-Hash", None)  # hf_xet would send requests, and the token, past these checks
    for key in ("Retry-After", "RateLimit"):
        if re.search(r"\d{4}", headers.get(key, "")):  # seconds that the client would sleep
            del headers[key]
    encoding = headers.pop("Content-Encoding", "identity").strip().lower()
    if encoding != "identity" and status < 300 and request.method != "HEAD":
        raise _unexpected(request, f"it compressed the content as {encoding[:80]!r}, without being asked to")
    _check_hashes(response)
    _limit_size(response, compressed=encoding != "identity")


def _check_hashes(response: "Response") -> None:
    """Raise DownloadError unless the headers from which the client makes paths are hashes."""
    request, headers, status = response.request, response.headers, response.status_code
    commit = headers.get("X-Repo-Commit")
    if commit is None:
        return
    if not is_commit(commit):
        if status < 400:
            raise _unexpected(request, f"its commit is {commit[:80]!r}, expected 40 hexadecimal digits")
        del headers["X-Repo-Commit"]
    linked = headers.get("X-Linked-Etag")
    name = linked or headers.get("ETag")
    if name is None or status >= 400 or request.method != "HEAD" or is_content_hash(name.lstrip("W/").strip('"')):
        return
    if status >= 300 and not linked:  # the ETag of the redirect's own body
        del headers["ETag"]
        return
    raise DownloadError(
        f"{request.url.path} cannot be verified: {_host(request)} names its content {name[:80]!r}, expected the 64 hexadecimal "
        f"digits of a SHA-256, or 40 of git's SHA-1. Use another hub, with HF_ENDPOINT, or pass the path of a file."
    )


def _limit_size(response: "Response", *, compressed: bool) -> None:
    """Raise DownloadError for a file that is too large; cut the text of any other answer."""
    request, headers, status = response.request, response.headers, response.status_code
    is_api = request.url.path.startswith("/api/") and _is_on_hub(request)
    is_file = request.method in ("GET", "HEAD") and not is_api
    if not re.fullmatch(r"[0-9]{1,18}", headers.get("X-Linked-Size", "")):
        headers.pop("X-Linked-Size", None)
    limit = MAX_JSON if request.url.path.endswith(".json") else MAX_FILE
    announced = headers.get("X-Linked-Size") or (headers.get("Content-Length") if status < 300 else "") or ""
    too_large = DownloadError(f"{_host(request)}{request.url.path} has more than {limit:,} bytes, the most that is downloaded.")
    if is_file and status < 400 and announced.isdecimal() and (len(announced) > 18 or int(announced) > limit):
        raise too_large
    if status >= 300 or not is_file:
        response.stream = _limited(response.stream, 0 if is_file or compressed else MAX_ANSWER, None)
    elif request.method == "GET":
        response.stream = _limited(response.stream, limit, too_large)


def _limited(stream: Any, limit: int, error: Exception | None) -> "SyncByteStream":
    """Return a stream that ends after `limit` bytes, or raises an error there."""
    from httpx2 import SyncByteStream

    class Limited(SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            left = limit
            for chunk in stream if limit else ():
                if error is not None and len(chunk) > left:
                    raise error
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0 and error is None:
                    return

        def close(self) -> None:
            stream.close()

    return Limited()


def _host(request: "Request") -> str:
    return f"{request.url.scheme}://{request.url.netloc.decode()}"


def _unexpected(request: "Request", why: str) -> DownloadError:
    return DownloadError(f"{_host(request)} gives an unexpected answer: {why}. Check HF_ENDPOINT and the network's proxy.")


def _make_printable(error: BaseException | None) -> None:
    """Escape and cut the text of an error, which may quote a server, and of the errors that led to it."""
    for _ in range(20):
        if error is None:
            return
        error.args = tuple(printable(arg, 2000, lines=True) if isinstance(arg, str) else arg for arg in error.args)
        if getattr(error, "server_message", None):
            error.server_message = printable(error.server_message, 2000, lines=True)  # type: ignore[attr-defined]
        error = error.__cause__ or error.__context__
