"""Whatever a server does wrong, the error says what happened and what to do, and nothing is left in the cache."""

import hashlib
import os
import ssl
import traceback
from pathlib import Path

import httpx2
import pytest
from huggingface_hub.errors import HFValidationError
from loopback import Hub
from remotes import Remote

from resnetlib.config import HubFile, UrlFile
from resnetlib.errors import InputError
from resnetlib.weights.download import fetch, find_cached
from resnetlib.weights.errors import DamagedFileError, DownloadError, FetchError, NotFoundError, shown, translate

SOURCE = HubFile(repo="org/name")
TOKEN = "hf_this_is_a_secret"  # noqa: S105

HUB = [
    ("401", "HEAD", DownloadError, "answered 401. Check its name; if it is private, set HF_TOKEN"),
    ("403", "HEAD", DownloadError, "answered 403. Check its name"),
    ("403", "GET", DownloadError, "answered 403"),
    ("gated", "HEAD", DownloadError, r"is gated: accept its terms on http://[\d.:]+/org/name, and set HF_TOKEN"),
    ("404", "HEAD", DownloadError, "answered 404"),
    ("410", "HEAD", DownloadError, "answered 410"),
    ("404", "GET", DownloadError, "answered 404"),
    ("no-entry", "HEAD", NotFoundError, "There is no file model.safetensors"),
    ("no-entry", "GET", DownloadError, "answered 404"),
    ("no-repo", "HEAD", DownloadError, "answered 404. Check its name; if it is private"),
    ("429", "HEAD", DownloadError, "answered 429. Try again later"),
    ("500", "HEAD", DownloadError, "answered 500. Try again later"),
    ("503", "GET", DownloadError, "answered 503. Try again later"),
    ("hang", "HEAD", DownloadError, "cannot be downloaded from http.*timed out. Try again, or check the network"),
    ("stall", "GET", DownloadError, "cannot be downloaded from http.*timed out"),
    ("vanish", "HEAD", DownloadError, "cannot be downloaded from http"),
    ("reset", "GET", DownloadError, "cannot be downloaded from http"),
    ("half", "GET", DownloadError, "cannot be downloaded from http"),
    ("redirect", "HEAD", DownloadError, "redirects"),
    ("no-hub", "HEAD", DownloadError, "is not a Hugging Face Hub server. Check HF_ENDPOINT"),
    ("huge", "HEAD", DownloadError, "has more than 8,589,934,592 bytes"),
    ("flip", "GET", DamagedFileError, "A second download did not help: report it to the publisher"),
    ("truncate", "GET", DamagedFileError, "A second download did not help"),
    ("short", "GET", DamagedFileError, "does not have the size that .* announced. A second download did not help"),
]
URL = [
    ("401", DownloadError, "the server answered 401. The file may have moved"),
    ("403", DownloadError, "the server answered 403"),
    ("404", NotFoundError, "is not there: the server answered 404"),
    ("410", NotFoundError, "is not there: the server answered 410"),
    ("429", DownloadError, "the server answered 429. Try again later"),
    ("500", DownloadError, "the server answered 500. Try again later"),
    ("hang", DownloadError, "timed out"),
    ("stall", DownloadError, "timed out"),
    ("vanish", DownloadError, "cannot be downloaded from the server"),
    ("reset", DownloadError, "cannot be downloaded from the server"),
    ("redirect", DownloadError, "redirects"),
    ("huge", DownloadError, "has more than 8,589,934,592 bytes"),
    ("flip", DamagedFileError, "its SHA-256 is .* A second download did not help"),
    ("truncate", DamagedFileError, "A second download did not help"),
    ("short", DamagedFileError, "A second download did not help"),
]
ROWS = [("hub", *row) for row in HUB] + [("url", fault, "", error, says) for fault, error, says in URL]


@pytest.mark.parametrize(
    ("remote", "fault", "method", "error", "says"), ROWS, indirect=["remote"], ids=[f"{row[0]}-{row[1]}-{row[2]}" for row in ROWS]
)
def test_a_fault_has_its_error(remote: Remote, fault: str, method: str, error: type[FetchError], says: str) -> None:
    remote.hub.fail(fault, method=method)
    with pytest.raises(error, match=says) as caught:
        fetch(remote.source)
    assert type(caught.value) is error
    assert find_cached(remote.source) is None
    assert remote.left() == []
    assert remote.hub.count() < 30
    assert "exception" not in "".join(traceback.format_exception(caught.value)[1:-1]), "the client's errors are not shown"


@pytest.mark.parametrize("fault", ["429", "500", "503"])
def test_a_hub_that_recovers_is_asked_again(remote: Remote, fault: str) -> None:
    remote.hub.fail(fault, method="HEAD", times=3)
    assert fetch(remote.source).path.read_bytes() == remote.content


@pytest.mark.parametrize("fault", ["half", "stall"])
def test_a_download_that_breaks_off_is_resumed(remote: Remote, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    remote.hub.fail(fault, method="GET", times=1)
    assert fetch(remote.source).path.read_bytes() == remote.content
    first, second = (seen for seen in remote.hub.seen if seen.method == "GET")
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=50000-"


def test_a_server_that_cannot_resume_starts_again(hub: Hub) -> None:
    content = bytes(range(256)) * 100
    source = UrlFile(url=hub.put("w.pth", content), sha256=hashlib.sha256(content).hexdigest())
    hub.fail("half", times=1)
    hub.fail("no-range")
    assert fetch(source).path.read_bytes() == content


def test_a_server_that_is_not_running_is_not_reached(remote: Remote) -> None:
    remote.hub.shutdown()
    remote.hub.server_close()
    with pytest.raises(DownloadError, match=r"cannot be downloaded from .*refused.* Try again, or check the network"):
        fetch(remote.source)
    assert not list(remote.folder.rglob(".no_exist"))


def test_what_the_hub_does_not_have_is_named(hub: Hub) -> None:
    hub.add("org/name", {"config.json": b"{}"})
    with pytest.raises(NotFoundError, match=r"There is no file model.bin in hf-hub:org/name at revision 'main'"):
        fetch(HubFile(repo="org/name", file="model.bin"))
    with pytest.raises(DownloadError, match=r"There is no revision 'v9' of hf-hub:org/name"):
        fetch(HubFile(repo="org/name", revision="v9"))
    with pytest.raises(DownloadError, match=r"hf-hub:org/other \(model.safetensors\) cannot be downloaded: .* answered 404"):
        fetch(HubFile(repo="org/other"))


@pytest.fixture
def stocked(hub: Hub) -> Hub:
    hub.add("org/name", {"model.safetensors": bytes(20_000)})
    return hub


def test_a_token_opens_a_private_repository_and_is_never_shown(stocked: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    stocked.token, stocked.private = TOKEN, {"org/name"}
    for wrong in ("", "hf_another_secret"):
        monkeypatch.setenv("HF_TOKEN", wrong)
        with pytest.raises(DownloadError, match=r"answered 401.* set HF_TOKEN") as caught:
            fetch(SOURCE)
        assert not wrong or wrong not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for fault in ("403", "503", "gated"):
        stocked.fail(fault, method="HEAD")
        with pytest.raises(FetchError) as caught:
            fetch(SOURCE)
        assert TOKEN not in str(caught.value)
        stocked.faults.clear()
    assert fetch(SOURCE).path.read_bytes() == bytes(20_000)


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*args: object, local_files_only: bool, **kwargs: object) -> None:
        raise FileNotFoundError if local_files_only else error

    monkeypatch.setattr("huggingface_hub.file_download._get_metadata_or_catch_error", fail)


@pytest.mark.parametrize("text", [f"Illegal header value b'Bearer {TOKEN}'", f"bad: {TOKEN}", ""])
def test_a_token_that_the_client_quotes_is_not_shown(hub: Hub, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fail_with(monkeypatch, ConnectionError(text))
    with pytest.raises(DownloadError, match=r"cannot be downloaded from .*: ConnectionError\. Try") as caught:
        fetch(SOURCE)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("SSL_CERT_FILE", "{folder}/none.pem", "No such file or directory.*HF_TOKEN_PATH and SSL_CERT_FILE"),
        ("HTTP_PROXY", "foo://x:1", "Unknown scheme for proxy URL.*check the network, its proxy"),
    ],
)
def test_a_network_that_is_not_set_up_says_so(
    stocked: Hub, variable: str, value: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import close_session

    monkeypatch.setenv(variable, value.format(folder=tmp_path))
    close_session()  # the client reads the variables when it is made
    try:
        with pytest.raises(DownloadError, match=says):
            fetch(SOURCE)
    finally:
        monkeypatch.undo()
        close_session()


def test_a_token_that_cannot_be_read_says_so(stocked: Hub, tmp_path: Path) -> None:
    (tmp_path / "hf" / "token").mkdir(parents=True)
    with pytest.raises(DownloadError, match=r"Is a directory: .*token'.* HF_TOKEN_PATH"):
        fetch(SOURCE)


@pytest.mark.parametrize(
    ("error", "cannot_write"),
    [
        (OSError(28, "No space left on device"), True),
        (OSError(122, "Disk quota exceeded"), True),
        (PermissionError(13, "Permission denied", "/elsewhere/file"), False),
        (OSError(24, "Too many open files"), False),
        (ssl.SSLError(1, "certificate verify failed"), False),
        (ConnectionResetError(104, "Connection reset by peer"), False),
        (httpx2.ReadError("Connection reset by peer"), False),
        (FileNotFoundError(2, "No such file or directory"), False),
    ],
)
def test_only_an_error_of_the_cache_names_the_cache(
    hub: Hub, error: Exception, cannot_write: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, error)
    with pytest.raises(DownloadError, match=r"set HF_HOME to another folder" if cannot_write else r"check the network") as caught:
        fetch(SOURCE)
    assert str(getattr(error, "strerror", None) or error) in str(caught.value)


def test_an_unforeseen_error_is_not_changed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        fetch(SOURCE)


def test_a_folder_that_cannot_be_written_says_so(remote: Remote, tmp_path: Path) -> None:
    place = tmp_path / ("hf" if remote.kind == "hub" else "torch")
    place.write_bytes(b"a file, where a folder should be")
    with pytest.raises(DownloadError, match=rf"Cannot write to {place}.*set {remote.variable} to another folder") as caught:
        fetch(remote.source)
    assert caught.value.errno


def test_a_full_disk_says_so_and_keeps_nothing(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    says = rf"Cannot write to .*: No space left on device. Make room there, or set {remote.variable} to another folder"
    with pytest.raises(DownloadError, match=says):
        fetch(remote.source)
    assert remote.left() == []


def test_a_cache_that_cannot_be_written_is_read(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch(remote.source).path
    requests = remote.hub.count()

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(30, "Read-only file system")

    for name in ("mkdir", "replace", "unlink", "touch"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr("os.mkdir", refuse)
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    monkeypatch.setenv("RESNETLIB_CACHE", str(remote.folder / "another"))
    assert fetch(remote.source).path == path
    assert remote.hub.count() == requests
    with path.open("r+b") as file:
        file.write(bytes([remote.content[0] ^ 1]))
    with pytest.raises(DownloadError, match=rf"Read-only file system. Make room there, or set {remote.variable} to another folder"):
        fetch(remote.source)


def test_secrets_in_a_url_are_not_shown(hub: Hub) -> None:
    hub.fail("404", times=1)
    source = UrlFile(url=f"{hub.url}/files/w.pth?signature=secret#secret", sha256="0" * 8)
    with pytest.raises(NotFoundError) as caught:
        fetch(source)
    assert "secret" not in str(caught.value)
    for to in ("/files/w.pth?key=secret", "ftp://me:secret@127.0.0.1/w.pth?secret", "http://127.0.0.1:x/w.pth?key=secret"):
        hub.faults.clear()
        hub.fail("redirect", to=to)
        with pytest.raises(DownloadError) as failed:
            fetch(source)
        assert "secret" not in str(failed.value)
    for text in ("at https://h/w?k=secret: no", "at 'https://h/w?k=secret'", "https://me:secret@h/w", "(https://h/w#secret now"):
        assert "secret" not in shown(ValueError(text))
        assert shown(ValueError(text)).startswith(text[:5])


@pytest.mark.parametrize(
    "url", ["https://me:secret@h/w.pth", "http://secret@h/w.pth", "ftp://secret@h/w.pth", "https://secret@h?/"]
)
def test_a_url_with_a_password_is_rejected_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"must not contain a user name or a password") as caught:
        UrlFile(url=url, sha256="0" * 8)
    assert "secret" not in str(caught.value)
    assert UrlFile(url="https://h/a@b/w.pth?c@d", sha256="0" * 8)


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/w.pth", "gopher://127.0.0.1/"])
def test_a_url_redirects_to_the_web_alone(hub: Hub, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    content = os.urandom(1000)
    source = UrlFile(url=f"{hub.url}/files/w.pth", sha256=hashlib.sha256(content).hexdigest())
    hub.fail("redirect", to=to)
    with pytest.raises(DownloadError):
        fetch(source)
    hub.faults.clear()
    with Hub() as elsewhere:
        hub.fail("redirect", to=elsewhere.put("w.pth", content))
        assert fetch(source).path.read_bytes() == content
        assert elsewhere.seen
        assert {seen.headers.get("authorization") for seen in (*hub.seen, *elsewhere.seen)} == {None}


def test_a_name_that_only_the_hubs_client_rejects_is_an_error_of_this_library() -> None:
    error = translate(HFValidationError("Repo_id cannot end by '.git': 'org/name.git'."), SOURCE, Path(), "HF_HOME")
    assert (type(error), str(error)) == (InputError, "Repo_id cannot end by '.git': 'org/name.git'.")
