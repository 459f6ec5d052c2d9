"""What can go wrong on the way from the hub of loopback.py: `FAULTS` has a function for each kind.

A function changes the answer, and returns nothing; or it returns how to send the answer, after which the connection is closed.
"""

from __future__ import annotations

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
    answer.headers |= {"Content-Length": str(2**50), "X-Linked-Size": str(2**50)}


def _announce_more(handler: Handler, answer: Answer, fault: Fault) -> Send:
    answer.headers["Content-Length"] = str(len(answer.body) + 100)
    return _whole


def _announce_less(handler: Handler, answer: Answer, fault: Fault) -> Send:
    answer.headers["Content-Length"] = str(len(answer.body) - 10)
    return _whole


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
    **{str(status): _status(status) for status in (401, 403, 404, 410, 429, 500, 503)},
    "gated": _status(403, X_Error_Code="GatedRepo"),
    "no-repo": _status(404, X_Error_Code="RepoNotFound"),
    "no-hub": _status(200),
    "flip": _content(lambda body: body[:-1] + bytes([body[-1] ^ 1])),
    "truncate": _content(lambda body: body[: len(body) // 2]),
    "huge": _announce,
    "long": _announce_more,
    "short": _announce_less,
    "redirect": _redirect,
    "wrong-range": _wrong_range,
    "no-range": _no_range,
    "half": _sent(_half),
    "reset": _sent(_reset),
    "vanish": _sent(_vanish),
    "hang": _sent(_hang),
    "stall": _sent(_stall),
    "slow-start": _sent(_slow_start),
    "slow-headers": _sent(_slow_headers),
    "slow-body": _sent(_slow_body),
}
"""`redirect` goes to the fault's `to`, or round in a circle; `half` closes the connection in the middle, `reset` breaks it there,
`stall` waits there; `vanish` closes it without any answer, `hang` waits."""
