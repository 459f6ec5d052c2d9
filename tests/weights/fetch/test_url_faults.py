"""What a web server may do wrong: each fault has its error, says what to do, and ends in time."""

import hashlib
import io
import os
import random
import time
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request

import pytest
from loopback import Hub

from resnetlib.config import UrlFile
from resnetlib.weights.fetch import fetch
from resnetlib.weights.fetch.deadline import Deadline
from resnetlib.weights.fetch.download import _Redirects, download
from resnetlib.weights.fetch.errors import (
    CannotStoreError,
    DamagedError,
    FetchError,
    NotThereError,
    RefusedError,
    UnreachableError,
    UnwantedError,
)
from resnetlib.weights.fetch.shown import showable, without_secrets

CONTENT = random.Random(0).randbytes(20_000)


@pytest.fixture
def source(hub: Hub) -> UrlFile:
    return UrlFile(url=hub.put("w.pth", CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())


def checkpoints(folder: Path) -> list[Path]:
    return list((folder / "torch").rglob("*.p*"))


def soon_nothing_is_left(folder: Path) -> bool:
    """Wait for a thread that was left behind: it hears of it, and tidies up."""
    end = time.monotonic() + 5
    while checkpoints(folder) and time.monotonic() < end:
        time.sleep(0.01)
    return not checkpoints(folder)


@pytest.mark.parametrize(
    ("fault", "error", "says", "requests"),
    [
        ("401", RefusedError, "is refused: the server answered 401", 1),
        ("403", RefusedError, "is refused: the server answered 403", 1),
        ("404", NotThereError, "is not there: the server answered 404", 1),
        ("410", NotThereError, "is not there: the server answered 410", 1),
        ("408", UnreachableError, "the server answered 408", 3),
        ("425", UnreachableError, "the server answered 425", 3),
        ("429", UnreachableError, "the server answered 429", 3),
        ("500", UnreachableError, "the server answered 500", 3),
        ("503", UnreachableError, "the server answered 503", 3),
        ("hang", UnreachableError, "timed out|was not there after", None),
        ("stall", UnreachableError, "timed out|was not there after", None),
        ("redirect", UnreachableError, "redirect", None),
        ("huge", UnwantedError, "announces 1125899906842624 bytes, expected at most", None),
        ("short", DamagedError, "sent 19990 bytes that are damaged", 2),
        ("vanish", UnreachableError, "could not be downloaded: ", 3),
        ("long", UnreachableError, "could not be downloaded: ", 3),
    ],
)
def test_a_fault_has_its_error(
    hub: Hub, source: UrlFile, fault: str, error: type[FetchError], says: str, requests: int | None, tmp_path: Path
) -> None:
    hub.fail(fault)
    with pytest.raises(error, match=says) as caught:
        fetch(source, deadline=1 if fault in ("hang", "stall") else 3)
    assert type(caught.value) is error
    assert soon_nothing_is_left(tmp_path)
    assert requests is None or hub.count() == requests
    assert hub.count() < 30


@pytest.mark.parametrize("fault", ["slow-headers", "slow-body"])
def test_whatever_the_server_does_there_is_an_end(hub: Hub, source: UrlFile, fault: str, tmp_path: Path) -> None:
    hub.fail(fault)
    start = time.monotonic()
    with pytest.raises(UnreachableError, match=r"was not there after 0.6 seconds. Try again, or allow for more time"):
        fetch(source, deadline=0.6)
    assert time.monotonic() - start < 1.5
    assert not [path for path in checkpoints(tmp_path) if path.suffix == ".pth"]
    assert fault != "slow-body" or soon_nothing_is_left(tmp_path)


def test_a_server_that_is_not_running_is_not_reached(hub: Hub, source: UrlFile) -> None:
    hub.shutdown()
    hub.server_close()
    with pytest.raises(UnreachableError, match=r"could not be downloaded: .*refused") as caught:
        fetch(source, deadline=1)
    assert not isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize("fault", ["half", "reset"])
def test_a_file_goes_on_where_it_broke_off(hub: Hub, source: UrlFile, fault: str) -> None:
    hub.fail(fault, times=1)
    assert fetch(source, deadline=4).path.read_bytes() == CONTENT
    first, second = hub.seen
    assert "range" not in first.headers
    if fault == "half":
        assert second.headers["range"] == "bytes=10000-"
        assert second.headers["if-range"].startswith('"')


def test_a_file_may_break_off_often_if_more_of_it_comes_each_time(hub: Hub, source: UrlFile) -> None:
    hub.fail("half", times=5)
    assert fetch(source, deadline=4).path.read_bytes() == CONTENT
    assert [seen.headers.get("range", "bytes=0-") for seen in hub.seen] == [
        f"bytes={start}-" for start in (0, 10000, 15000, 17500, 18750, 19375)
    ]


@pytest.mark.parametrize(("fault", "requests"), [("no-range", 2), ("wrong-range", 3)])
def test_a_server_that_cannot_go_on_starts_again(hub: Hub, source: UrlFile, fault: str, requests: int) -> None:
    hub.fail("half", times=1)
    hub.fail(fault)
    assert fetch(source, deadline=4).path.read_bytes() == CONTENT
    assert hub.count() == requests


def test_a_file_that_changed_in_between_starts_again(hub: Hub, source: UrlFile) -> None:
    hub.put("w.pth", CONTENT[::-1])
    hub.fail("half", times=1)
    deadline = Deadline(4, "w.pth")
    pause = deadline.pause
    deadline.pause = lambda attempt: (hub.put("w.pth", CONTENT), pause(attempt))[1]  # type: ignore[method-assign, assignment]
    path = Path(os.environ["TORCH_HOME"]) / "w.pth"
    download(source, path, deadline)
    assert path.read_bytes() == CONTENT


def test_a_published_size_bounds_what_is_taken(hub: Hub) -> None:
    large = bytes(4 * 2**20)
    source = UrlFile(url=hub.put("w.pth", large), sha256=hashlib.sha256(large).hexdigest(), mib=1.0)
    with pytest.raises(DamagedError, match=r"announces 4194304 bytes, expected at most 2621440; nothing of it was kept"):
        fetch(source)


def test_what_goes_on_without_an_end_is_cut(hub: Hub, tmp_path: Path) -> None:
    source = UrlFile(url=hub.put("w.pth", CONTENT), sha256="0" * 8, mib=1.0)
    hub.fail("endless")
    with pytest.raises(UnwantedError, match=r"sends more bytes, expected at most 2621440; nothing of it was kept\.$"):
        fetch(source, deadline=10)
    assert checkpoints(tmp_path) == []
    assert hub.count() == 1


def test_redirects_are_followed_to_a_file_and_not_out_of_the_web(
    hub: Hub, source: UrlFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with Hub() as elsewhere:
        hub.fail("redirect", times=1, to=elsewhere.put("w.pth", CONTENT))
        assert fetch(source).path.read_bytes() == CONTENT
        assert [seen.headers.get("authorization") for seen in (*hub.seen, *elsewhere.seen)] == [None, None]
    for to in ("file:///etc/passwd", "ftp://127.0.0.1/w.pth", "gopher://127.0.0.1/"):
        hub.faults.clear()
        hub.fail("redirect", to=to)
        with pytest.raises(UnreachableError):
            fetch(source, refresh=True, deadline=1)


def test_encryption_is_not_given_up() -> None:
    request = Request("https://example.org/w.pth")
    for to in ("http://example.org/w.pth", "ftp://example.org/w.pth", "file:///w.pth"):
        with pytest.raises(HTTPError, match=r"it redirects from https to") as caught:
            _Redirects().redirect_request(request, io.BytesIO(), 302, "Found", Message(), to)
        caught.value.close()
    for start in ("https://example.org/w.pth", "http://example.org/w.pth"):
        followed = _Redirects().redirect_request(Request(start), io.BytesIO(), 302, "Found", Message(), "https://example.com/w.pth")  # noqa: S310
        assert followed is not None
        assert followed.full_url == "https://example.com/w.pth"


def test_secrets_in_a_url_are_not_shown(hub: Hub) -> None:
    hub.fail("404", times=1)
    source = UrlFile(url=f"{hub.url}/files/w.pth?signature=secret#secret", sha256="0" * 8)
    with pytest.raises(NotThereError) as caught:
        fetch(source)
    assert "secret" not in str(caught.value)
    assert str(source) == f"{hub.url}/files/w.pth"
    for to in (
        f"{hub.url}/files/w.pth?key=secret",
        "ftp://me:secret@127.0.0.1/w.pth?secret",
        "http://127.0.0.1:x/w.pth?key=secret",
    ):
        hub.faults.clear()
        hub.fail("redirect", to=to)
        with pytest.raises(UnreachableError) as failed:
            fetch(UrlFile(url=f"{hub.url}/files/w.pth", sha256="0" * 8), deadline=3)
        assert "secret" not in str(failed.value)
    assert without_secrets("https://me:secret@example.org:1/w.pth?a=secret#secret") == "https://example.org:1/w.pth"
    for text in ("at https://h/w?k=secret: no", "at 'https://h/w?k=secret'", "https://me:secret@h/w", "(https://h/w#secret now"):
        assert "secret" not in showable(text)
        assert showable(text).startswith(text[:5])


@pytest.mark.parametrize(
    "url", ["https://me:secret@h/w.pth", "http://secret@h/w.pth", "ftp://secret@h/w.pth", "https://secret@h?/"]
)
def test_a_url_with_a_password_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"without a user's name and a password") as caught:
        UrlFile(url=url, sha256="0" * 8)
    assert "secret" not in str(caught.value)
    assert UrlFile(url="https://h/a@b/w.pth?c@d", sha256="0" * 8)


def test_a_full_disk_says_so_and_keeps_nothing(source: UrlFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotStoreError, match=r"checkpoints: No space left on device. Make room there, or let TORCH_HOME name"):
        fetch(source)
    assert checkpoints(tmp_path) == []
