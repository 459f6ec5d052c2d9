"""What a hub may do wrong: each fault has its error, says what to do, and ends in time."""

import random
import ssl
import time
import traceback
from pathlib import Path

import pytest
from loopback import Hub

from resnetlib.config import HubFile
from resnetlib.weights.fetch import fetch, find_cached
from resnetlib.weights.fetch.errors import (
    CannotStoreError,
    DamagedError,
    FetchError,
    NoSuchRepositoryError,
    NotThereError,
    RefusedError,
    UnreachableError,
    UnwantedError,
)

CONTENT = random.Random(0).randbytes(20_000)
SOURCE = HubFile(repo="org/name")
TOKEN = "hf_this_is_a_secret"  # noqa: S105


@pytest.fixture(autouse=True)
def _stocked(hub: Hub) -> None:
    hub.add("org/name", {"model.safetensors": CONTENT})


def nothing_is_left(folder: Path) -> bool:
    return find_cached(SOURCE) is None and not [
        path for path in (folder / "hf").rglob("*") if path.is_file() and path.stat().st_size > 1000
    ]


@pytest.mark.parametrize(
    ("fault", "method", "error", "says"),
    [
        ("401", "HEAD", RefusedError, "the server answered 401. Check its name; if it is private, set HF_TOKEN"),
        ("403", "HEAD", RefusedError, "the server answered 403"),
        ("403", "GET", RefusedError, "the server answered 403"),
        ("gated", "HEAD", RefusedError, r"is gated: accept its terms on http://[\d.:]+/org/name, and set HF_TOKEN"),
        ("404", "HEAD", NoSuchRepositoryError, "is not there: the server answered 404"),
        ("410", "HEAD", NoSuchRepositoryError, "is not there: the server answered 410"),
        ("404", "GET", UnreachableError, "contradicts itself"),
        ("no-entry", "HEAD", NotThereError, "There is no file model.safetensors"),
        ("no-entry", "GET", UnreachableError, "contradicts itself"),
        ("no-repo", "HEAD", NoSuchRepositoryError, "is not there: the server answered 404"),
        ("429", "HEAD", UnreachableError, "the server answered 429. Try again later"),
        ("500", "HEAD", UnreachableError, "the server answered 500. Try again later"),
        ("503", "HEAD", UnreachableError, "the server answered 503. Try again later"),
        ("503", "GET", UnreachableError, "the server answered 503. Try again later"),
        ("hang", "HEAD", UnreachableError, "timed out|was not there after"),
        ("vanish", "HEAD", UnreachableError, "could not be downloaded from http"),
        ("redirect", "HEAD", UnreachableError, "redirects"),
        ("no-hub", "HEAD", UnreachableError, "answers, but not as a hub does: check HF_ENDPOINT"),
        ("huge", "HEAD", UnwantedError, "has 1125899906842624 bytes, expected at most"),
        ("short", "GET", DamagedError, "came with another size than .* had announced"),
    ],
)
def test_a_fault_has_its_error(hub: Hub, fault: str, method: str, error: type[FetchError], says: str, tmp_path: Path) -> None:
    hub.fail(fault, method=method)
    with pytest.raises(error, match=says) as caught:
        fetch(SOURCE, deadline=1 if fault == "hang" else 3)
    assert type(caught.value) is error
    assert nothing_is_left(tmp_path)
    assert "exception" not in "".join(traceback.format_exception(caught.value)[1:-1]), "the client's errors are not shown"
    if error is UnreachableError and fault in ("429", "500", "503") and method == "HEAD":
        assert hub.count("HEAD") == 3
    if issubclass(error, RefusedError | NotThereError) and method == "HEAD":
        assert hub.count("HEAD") == 1


@pytest.mark.parametrize("fault", ["hang", "slow-headers", "slow-body", "reset", "half", "long", "stall"])
def test_whatever_the_server_does_there_is_an_end(hub: Hub, fault: str) -> None:
    hub.fail(fault, method="" if fault == "slow-headers" else "GET")
    start = time.monotonic()
    with pytest.raises(UnreachableError, match=r"was not there after 0.6 seconds. Try again, or allow for more time|timed out"):
        fetch(SOURCE, deadline=0.6)
    assert time.monotonic() - start < 1.5
    assert find_cached(SOURCE) is None


@pytest.mark.parametrize("fault", ["408", "425", "429", "500", "503"])
def test_a_server_that_recovers_is_asked_again(hub: Hub, fault: str) -> None:
    hub.fail(fault, method="HEAD", times=2)
    assert fetch(SOURCE, deadline=5).path.read_bytes() == CONTENT


@pytest.mark.parametrize("fault", ["reset", "half"])
def test_a_body_that_broke_off_is_asked_for_again(hub: Hub, fault: str) -> None:
    hub.fail(fault, method="GET", times=1)
    assert fetch(SOURCE, deadline=20).path.read_bytes() == CONTENT
    assert hub.count("GET") == 2


def test_a_server_that_is_not_running_is_not_reached(hub: Hub, tmp_path: Path) -> None:
    hub.shutdown()
    hub.server_close()
    with pytest.raises(UnreachableError, match=r"could not be downloaded from http://127.0.0.1:\d+: .*refused") as caught:
        fetch(SOURCE, deadline=1)
    assert not isinstance(caught.value, FileNotFoundError)
    assert not list(tmp_path.rglob(".no_exist"))


def test_what_the_hub_does_not_have_is_named(hub: Hub) -> None:
    with pytest.raises(NotThereError, match=r"There is no file model.bin in hf-hub:org/name at revision 'main'") as caught:
        fetch(HubFile(repo="org/name", file="model.bin"))
    assert not isinstance(caught.value, NoSuchRepositoryError)
    with pytest.raises(NoSuchRepositoryError, match=r"There is no revision 'v9' of hf-hub:org/name"):
        fetch(HubFile(repo="org/name", revision="v9"))
    with pytest.raises(NoSuchRepositoryError, match=r"hf-hub:org/other \(model.safetensors\) is not there"):
        fetch(HubFile(repo="org/other"))


def test_a_token_opens_a_private_repository_and_is_never_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token, hub.private = TOKEN, {"org/name"}
    for wrong in ("", "hf_another_secret"):
        monkeypatch.setenv("HF_TOKEN", wrong)
        with pytest.raises(RefusedError, match=r"the server answered 401") as caught:
            fetch(SOURCE)
        assert not wrong or wrong not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for fault in ("403", "503", "gated"):
        hub.fail(fault, method="HEAD")
        with pytest.raises(FetchError) as caught:
            fetch(SOURCE, deadline=3)
        assert TOKEN not in str(caught.value)
        hub.faults.clear()
    assert fetch(SOURCE).path.read_bytes() == CONTENT


@pytest.mark.parametrize("text", [f"Illegal header value b'Bearer {TOKEN}'", f"bad: {TOKEN}", ""])
def test_a_token_that_the_client_quotes_is_not_shown(hub: Hub, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    def fail(*args: object, **kwargs: object) -> None:
        raise ConnectionError(text)

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", fail)
    with pytest.raises(UnreachableError, match=r"could not be downloaded from .*: ConnectionError$"):
        fetch(SOURCE, deadline=1)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("SSL_CERT_FILE", "{folder}/none.pem", "No such file or directory. Check HF_TOKEN_PATH, SSL_CERT_FILE"),
        ("HTTP_PROXY", "foo://x:1", "Unknown scheme for proxy URL.*Check .* the network's proxy"),
    ],
)
def test_a_network_that_is_not_set_up_says_so(
    hub: Hub, variable: str, value: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import close_session

    monkeypatch.setenv(variable, value.format(folder=tmp_path))
    close_session()  # the client reads them when it begins
    try:
        with pytest.raises(UnreachableError, match=says):
            fetch(SOURCE, deadline=1)
    finally:
        monkeypatch.undo()
        close_session()


def test_a_token_that_cannot_be_read_says_so(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "hf" / "token").mkdir(parents=True)
    with pytest.raises(UnreachableError, match=r"Is a directory: .*token'. Check HF_TOKEN_PATH"):
        fetch(SOURCE, deadline=1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device"), CannotStoreError),
        (OSError(122, "Disk quota exceeded"), CannotStoreError),
        (PermissionError(13, "Permission denied", "/elsewhere/file"), UnreachableError),
        (OSError(24, "Too many open files"), UnreachableError),
        (ssl.SSLError(1, "certificate verify failed"), UnreachableError),
        (ConnectionResetError(104, "Connection reset by peer"), UnreachableError),
        (FileNotFoundError(2, "No such file or directory"), UnreachableError),
    ],
)
def test_only_what_cannot_be_written_cannot_be_stored(
    hub: Hub, error: OSError, kind: type[FetchError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(kind) as caught:
        fetch(SOURCE, deadline=1)
    assert error.strerror is not None
    assert error.strerror in str(caught.value)


def test_an_error_that_nobody_foresaw_stays_as_it_is(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda *args, **kwargs: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        fetch(SOURCE)
    with pytest.raises(ValueError, match=r"a--b"):
        fetch(HubFile(repo="org/a--b"))


def test_a_token_does_not_follow_to_another_host(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.token, hub.private = TOKEN, {"org/name"}
    with Hub() as elsewhere:
        hub.fail("redirect", path="model.safetensors", to=elsewhere.put("blob", CONTENT))
        assert fetch(SOURCE).path.read_bytes() == CONTENT
        assert hub.count("HEAD") > 0
        assert all(seen.headers["authorization"] == f"Bearer {TOKEN}" for seen in hub.seen)
        assert elsewhere.count("GET") == 1
        assert all("authorization" not in seen.headers and TOKEN not in str(seen) for seen in elsewhere.seen)


def test_what_another_host_sends_is_checked_too(hub: Hub, tmp_path: Path) -> None:
    with Hub() as elsewhere:
        hub.fail("redirect", path="model.safetensors", to=elsewhere.put("blob", CONTENT[::-1]))
        with pytest.raises(DamagedError, match=r"is no better"):
            fetch(SOURCE)
    assert nothing_is_left(tmp_path)
