"""What can go wrong on the way from the hub of loopback.py: `FAULTS` has a function for each kind.

A function changes the answer, and returns nothing; or it returns how to send the answer, after which the connection is closed.
"""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from loopback import Fault, Handler


@dataclass
class Answer:
    """What a server says."""

    status: int
    headers: dict[str, str]
    body: bytes
    reason: str | None = None


class Send(Protocol):
    """A way to send an answer."""

    def __call__(self, handler: Handler, answer: Answer, fault: Fault) -> None: ...


class Spoil(Protocol):
    """A way to spoil an answer."""

    def __call__(self, handler: Handler, answer: Answer, fault: Fault) -> Send | None: ...


def _status(status: int, **headers: str) -> Spoil:
    def spoil(handler: Handler, answer: Answer, fault: Fault) -> None:
        answer.status, answer.body = status, b"no"
        answer.headers = {key.replace("_", "-"): value for key, value in headers.items()}

    return spoil


def _content(change: object) -> Spoil:
    def spoil(handler: Handler, answer: Answer, fault: Fault) -> None:
        answer.body = change(answer.body)  # type: ignore[operator]

    return spoil


def _sent(send: Send) -> Spoil:
    return lambda handler, answer, fault: send


def _announce(handler: Handler, answer: Answer, fault: Fault) -> None:
    size = fault.to or str(2**50)
    answer.headers |= {"Content-Length": size, "X-Linked-Size": size}


def _announce_more(handler: Handler, answer: Answer, fault: Fault) -> Send:
    answer.headers["Content-Length"] = str(len(answer.body) + 100)
    return _whole


def _announce_less(handler: Handler, answer: Answer, fault: Fault) -> Send:
    answer.headers["Content-Length"] = str(len(answer.body) - 10)
    return _whole


def _etag(handler: Handler, answer: Answer, fault: Fault) -> None:
    answer.headers |= {"ETag": f'"{fault.to}"', "X-Linked-Etag": f'"{fault.to}"'}


def _commit(handler: Handler, answer: Answer, fault: Fault) -> None:
    answer.headers["X-Repo-Commit"] = fault.to


def _say(handler: Handler, answer: Answer, fault: Fault) -> None:
    said = json.loads(fault.to)
    answer.status, answer.reason = said.pop("status", answer.status), said.pop("reason", None)
    answer.body = said.pop("body", answer.body.decode("latin-1")).encode("latin-1")
    answer.headers |= said


def _redirect(handler: Handler, answer: Answer, fault: Fault) -> None:
    kept = {key: value for key, value in answer.headers.items() if key.startswith("X-")}
    answer.status, answer.body = 302, b""
    answer.headers = {**kept, "Location": fault.to or handler.path}


def _wrong_range(handler: Handler, answer: Answer, fault: Fault) -> None:
    if answer.status == 206:
        answer.headers["Content-Range"] = f"bytes 1-{len(answer.body)}/{len(answer.body) + 1}"


def _no_range(handler: Handler, answer: Answer, fault: Fault) -> None:
    if answer.status in (206, 416):
        answer.status, answer.body = 200, handler.server.files[handler.path]
        del answer.headers["Content-Range"]


def _whole(handler: Handler, answer: Answer, fault: Fault) -> None:
    handler.send_answer(answer)


def _half(handler: Handler, answer: Answer, fault: Fault) -> None:
    handler.send_head(answer)
    if handler.command != "HEAD":
        handler.wfile.write(answer.body[: len(answer.body) // 2])


def _reset(handler: Handler, answer: Answer, fault: Fault) -> None:
    _half(handler, answer, fault)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.server.closed.wait(0.05)


def _endless(handler: Handler, answer: Answer, fault: Fault) -> None:
    handler.send_response(answer.status)
    for key, value in answer.headers.items():
        handler.send_header(key, value)
    handler.end_headers()
    while handler.command != "HEAD" and not handler.server.closed.wait(0.01):
        handler.wfile.write(bytes(2**20))


def _in_parts(handler: Handler, answer: Answer, fault: Fault) -> None:
    handler.send_head(answer)
    for start in range(0, len(answer.body), len(answer.body) // 20 + 1):
        handler.wfile.write(answer.body[start : start + len(answer.body) // 20 + 1])
        handler.server.closed.wait(float(fault.to) / 20)


def _vanish(handler: Handler, answer: Answer, fault: Fault) -> None:
    handler.wfile.flush()


def _hang(handler: Handler, answer: Answer, fault: Fault) -> None:
    handler.server.closed.wait()


def _stall(handler: Handler, answer: Answer, fault: Fault) -> None:
    _half(handler, answer, fault)
    handler.server.closed.wait()


def _trickle(handler: Handler, head: bytes) -> None:
    for byte in head:
        handler.wfile.write(bytes([byte]))
        if handler.server.closed.wait(0.05):
            return


def _slow_start(handler: Handler, answer: Answer, fault: Fault) -> None:
    handler.server.closed.wait(0.5)
    handler.send_answer(answer)


def _slow_headers(handler: Handler, answer: Answer, fault: Fault) -> None:
    _trickle(handler, b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 10_000)


def _slow_body(handler: Handler, answer: Answer, fault: Fault) -> None:
    handler.send_head(answer)
    _trickle(handler, answer.body)


FAULTS: dict[str, Spoil] = {
    **{str(status): _status(status) for status in (401, 403, 404, 408, 410, 425, 429, 500, 503)},
    "gated": _status(403, X_Error_Code="GatedRepo"),
    "no-repo": _status(404, X_Error_Code="RepoNotFound"),
    "no-entry": _status(404, X_Error_Code="EntryNotFound"),
    "no-hub": _status(200),
    "flip": _content(lambda body: body[:-1] + bytes([body[-1] ^ 1])),
    "truncate": _content(lambda body: body[: len(body) // 2]),
    "huge": _announce,
    "long": _announce_more,
    "short": _announce_less,
    "etag": _etag,
    "commit": _commit,
    "redirect": _redirect,
    "say": _say,
    "wrong-range": _wrong_range,
    "no-range": _no_range,
    "half": _sent(_half),
    "reset": _sent(_reset),
    "vanish": _sent(_vanish),
    "hang": _sent(_hang),
    "stall": _sent(_stall),
    "endless": _sent(_endless),
    "in-parts": _sent(_in_parts),
    "slow-start": _sent(_slow_start),
    "slow-headers": _sent(_slow_headers),
    "slow-body": _sent(_slow_body),
}
"""`redirect` goes to the fault's `to`, or round in a circle; `half` closes the connection in the middle, `reset` breaks it there,
`stall` waits there; `vanish` closes it without any answer, `hang` waits. `etag` and `commit` say the fault's `to`, and `huge` this
size; `say` answers with the headers of this JSON, and with its status, reason and body. `endless` sends 1 MiB after another, and
`in-parts` takes `to` seconds in all."""
