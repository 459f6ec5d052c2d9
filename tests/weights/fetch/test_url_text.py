"""What a web server says is escaped and cut before it is shown, and read no further than is needed."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import Hub

from resnetlib.config import UrlFile
from resnetlib.weights.fetch import FetchError, UnreachableError, fetch
from resnetlib.weights.fetch.explain import _reason

ESCAPES = "\x1b[2J\x9b31m\x08"


@contextmanager
def answering(*parts: bytes) -> Iterator[tuple[str, list[int]]]:
    """Answer every request with the same bytes; the last part again and again, if there are several."""
    server, sent = socket.create_server(("127.0.0.1", 0)), [0]

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with suppress(OSError), connection:
                    connection.recv(10_000)
                    connection.sendall(parts[0])
                    while parts[1:]:
                        connection.sendall(parts[1])
                        sent[0] += len(parts[1])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/w.pth", sent
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


def refused(url: str) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(UrlFile(url=url, sha256="0" * 8), deadline=0.5)
    return str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "HTTP/1.1 304 ",
        f"HTTP/1.1 304 {ESCAPES}",
        f"HTTP/1.1 304 {'long ' * 10_000}",
        f"HTTP/1.1 {ESCAPES}",
        f"{ESCAPES} no web server",
        "HTTP/1.1 302 Found\r\nLocation: ftp://" + "h" * 50_000,
        f"HTTP/1.1 302 {ESCAPES}\r\nLocation: gopher://{ESCAPES}",
        f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{ESCAPES}/",
        f"HTTP/1.1 200 OK\r\nContent-Length: {'9' * 4000}",
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{ESCAPES}",
        f"HTTP/1.1 404 {ESCAPES}",
    ],
)
def test_what_a_server_says_is_escaped_and_cut(line: str) -> None:
    with answering(f"{line}\r\n\r\n".encode("latin-1")) as (url, _):
        shown = refused(url)
    assert shown.isprintable(), repr(shown)
    assert len(shown) < 600


def test_any_answer_is_shown_printable_and_short(hub: Hub) -> None:
    @settings(max_examples=50, suppress_health_check=list(HealthCheck))
    @given(
        st.text(st.characters(max_codepoint=255), max_size=60), st.sampled_from(["", "HTTP/1.1 ", "HTTP/1.1 307 ", "HTTP/1.1 500 "])
    )
    def answer(said: str, begin: str) -> None:
        with answering((begin + said + "\r\n\r\n").encode("latin-1")) as (url, _):
            shown = refused(url)
        assert shown.isprintable(), repr(shown)

    answer()


def test_the_text_of_a_redirect_is_not_read(hub: Hub) -> None:
    content = b"w" * 1000
    file = hub.put("w.pth", content)
    with answering(f"HTTP/1.1 302 Found\r\nLocation: {file}\r\n\r\n".encode(), bytes(2**20)) as (url, sent):
        assert fetch(UrlFile(url=url, sha256=hashlib.sha256(content).hexdigest()), deadline=20).path.read_bytes() == content
    assert sent[0] < 2**26


def test_what_the_hubs_client_says_is_escaped_and_cut() -> None:
    for text in (ESCAPES, "long " * 10**6, "http://h?" * 10**5, "a://" * 10**5):
        shown = _reason(ValueError(text))
        assert shown.isprintable()
        assert len(shown) < 600
    assert issubclass(UnreachableError, ConnectionError)
