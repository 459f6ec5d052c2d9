"""One guard on every answer that the hub's client gets for this library; what others ask with that client passes it by."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from resnetlib.text import printable
from resnetlib.weights.fetch.errors import UnreachableError, UnverifiedError
from resnetlib.weights.fetch.verified import is_commit, is_hub_hash

if TYPE_CHECKING:
    from httpx2 import Client, Request, Response, SyncByteStream

LIBRARY = "resnetlib"
"""The `library_name` of our requests, by which the guard recognises them in any thread."""

LONGEST = 2**20
"""Bytes that are read of an answer of the API; of one that should be a file, and is an error, none are."""

_inside = 0
_users: Callable[[], "Client"] | None = None


@contextmanager
def guarded() -> Iterator[None]:
    """Let the answers to all calls inside that are made as `LIBRARY` pass the guard.

    The client makes paths of what a hub answers, sends the token where a hub tells it to, and quotes it in errors.

    Yields:
        Nothing.

    Raises:
        UnreachableError: if a hub answers what no hub should.
        UnverifiedError: if it calls contents by what is no hash.
    """
    from huggingface_hub.utils import _http

    global _inside, _users
    with _http._CLIENT_LOCK:  # the client may be made anew at any time, by any thread
        if _http._GLOBAL_CLIENT_FACTORY is not _made:
            _users, _http._GLOBAL_CLIENT_FACTORY = _http._GLOBAL_CLIENT_FACTORY, _made
        _inside += 1
    try:
        _hook(_http.get_session())
        yield
    except Exception as error:
        _make_printable(error)
        raise
    finally:
        with _http._CLIENT_LOCK:
            _inside -= 1
            if not _inside and _users is not None and _http._GLOBAL_CLIENT_FACTORY is _made:
                _http._GLOBAL_CLIENT_FACTORY = _users


def _made() -> "Client":
    """Make a client as the user wants it, and hook it."""
    assert _users is not None  # noqa: S101 - it was set before this was
    client = _users()
    _hook(client)
    return client


def _hook(client: "Client") -> None:
    """Let a client call the guard; it stays, and lets pass what is not this library's."""
    if _check_answer not in client.event_hooks["response"]:
        client.event_hooks["request"].append(_check_request)
        client.event_hooks["response"].insert(0, _check_answer)


def _is_ours(request: "Request") -> bool:
    return request.headers.get("User-Agent", "").startswith(f"{LIBRARY}/")


def _check_request(request: "Request") -> None:
    """Keep the token on the hub that it is for, and ask for nothing that must be unpacked."""
    from httpx2 import URL
    from huggingface_hub import constants

    if not _is_ours(request):
        return
    request.headers["Accept-Encoding"] = "identity"
    endpoint = URL(constants.ENDPOINT)
    if request.url.origin != endpoint.origin:
        request.headers.pop("Authorization", None)
        if endpoint.scheme == "https" != request.url.scheme:
            raise UnreachableError(f"{constants.ENDPOINT} redirects from https to {request.url.scheme}, which is refused.")


def _check_answer(response: "Response") -> None:
    """Refuse an answer that no hub should give, and take from it what the client must not use or repeat."""
    request, headers, status = response.request, response.headers, response.status_code
    if not _is_ours(request):
        return
    response.extensions.pop("reason_phrase", None)
    for key, value in headers.multi_items():
        if not value.isprintable() or len(value) > 8000:
            headers[key] = printable(value, 8000)
    headers.pop("X-Xet-Hash", None)  # else hf_xet sends requests of its own, which pass no guard, and the token with them
    if not re.fullmatch(r"[0-9]{1,18}", headers.get("X-Linked-Size", "")):
        headers.pop("X-Linked-Size", None)
    for key in ("Retry-After", "RateLimit"):
        if re.search(r"\d{4}", headers.get(key, "")):  # seconds that the client would sleep
            del headers[key]
    packed = headers.pop("Content-Encoding", "identity")
    if packed.strip().lower() != "identity" and status < 300 and request.method != "HEAD":
        raise _no_hub(request, f"it packed what was to come as it is, as {packed[:80]!r}")
    _check_names(response)
    is_file = request.method == "GET" and not request.url.path.startswith("/api/")
    if status >= 300 or not is_file:
        response.stream = _beginning(response.stream, 0 if is_file or packed != "identity" else LONGEST)


def _check_names(response: "Response") -> None:
    """Let pass only hashes, of all that the client makes paths of."""
    request, headers, status = response.request, response.headers, response.status_code
    commit = headers.get("X-Repo-Commit")
    if commit is None:
        return
    if not is_commit(commit):
        if status < 400:
            raise _no_hub(request, f"its commit is {commit[:80]!r}, expected 40 hexadecimal digits")
        del headers["X-Repo-Commit"]
    linked = headers.get("X-Linked-Etag")
    name = linked or headers.get("ETag")
    if name is None or status >= 400 or request.method != "HEAD" or is_hub_hash(name.lstrip("W/").strip('"')):
        return
    if status >= 300 and not linked:  # of the redirect's own text
        del headers["ETag"]
        return
    raise UnverifiedError(
        f"{request.url.path} cannot be verified: {_host(request)} calls its contents {name[:80]!r}, expected the 64 hexadecimal "
        f"digits of a SHA-256, or 40 of git's SHA-1. Take it from another hub, with HF_ENDPOINT, or give the path of a file."
    )


def _host(request: "Request") -> str:
    return f"{request.url.scheme}://{request.url.netloc.decode()}"


def _no_hub(request: "Request", why: str) -> UnreachableError:
    return UnreachableError(f"{_host(request)} answers, but not as a hub does: {why}. Check HF_ENDPOINT and the network's proxy.")


def _beginning(stream: Any, limit: int) -> "SyncByteStream":
    """Return the first bytes of a stream."""
    from httpx2 import SyncByteStream

    class Beginning(SyncByteStream):
        """What is read of a stream."""

        def __iter__(self) -> Iterator[bytes]:
            have = 0
            for chunk in stream if limit else ():
                yield chunk[: limit - have]
                have += len(chunk)
                if have >= limit:
                    return

        def close(self) -> None:
            stream.close()

    return Beginning()


def _make_printable(error: BaseException | None) -> None:
    """Escape and cut what a hub said, in an error and in those that led to it."""
    for _ in range(20):
        if error is None:
            return
        error.args = tuple(printable(arg, 2000, lines=True) if isinstance(arg, str) else arg for arg in error.args)
        if getattr(error, "server_message", None):
            error.server_message = printable(error.server_message, 2000, lines=True)  # type: ignore[attr-defined]
        error = error.__cause__ or error.__context__
