"""Whatever a hub answers, and whenever: nothing is written outside the cache, the token goes nowhere else, nothing is shown raw."""

import gzip
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi, constants, get_hf_file_metadata, set_client_factory
from huggingface_hub.utils import _http
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import Hub

from resnetlib import create_model, push_to_hub
from resnetlib.config import HubFile, UrlFile
from resnetlib.weights import hub_guard
from resnetlib.weights.download import fetch
from resnetlib.weights.errors import DownloadError, FetchError, NotFoundError
from resnetlib.weights.errors import shown as shown_error
from resnetlib.weights.hub_guard import guarded

CONTENT = bytes(range(256)) * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SOURCE = HubFile(repo="org/name")
TOKEN = "hf_secret"  # noqa: S105
ESCAPES = "\x1b[2J\x9b31m\x08"


@pytest.fixture
def elsewhere() -> Iterator[Hub]:
    with Hub() as other:
        other.put("model.safetensors", CONTENT)
        yield other


@pytest.fixture(autouse=True)
def _stocked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/name", {"config.json": b"{}", "model.safetensors": CONTENT})
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def say(hub: Hub, said: dict[str, Any], **when: Any) -> None:
    hub.fail("say", to=json.dumps(said), **when)


def outside(folder: Path) -> dict[str, bytes]:
    """Return all files that are not in the hub's cache, or this library's own."""
    ours = (folder / "hf" / "hub", folder / "own")
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not set(ours) & set(path.parents)}


def leaked(*hubs: Hub) -> list[str]:
    return [seen.path for hub in hubs for seen in hub.seen if TOKEN in str(seen.headers)]


@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag", "X-Repo-Commit"])
@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize(("pin", "after"), [(None, 0), (SHA256[:8], 1)])
def test_a_path_in_an_answer_replaces_no_file(
    hub: Hub, header: str, absolute: bool, pin: str | None, after: int, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    to = str(victim) if absolute else "../../../../victim"
    headers = {header: f'"{to}"' if "tag" in header.lower() else to}
    if header == "ETag":
        headers["X-Linked-Etag"] = ""
    say(hub, headers, method="HEAD", after=after)
    if after:
        hub.fail("503", method="HEAD", times=1)
    with pytest.raises(DownloadError, match=r"cannot be verified|gives an unexpected answer"):
        fetch(HubFile(repo="org/name", sha256=pin))
    assert outside(tmp_path) == {str(victim): b"mine"}
    assert hub.count("GET") == 0


def test_a_commit_of_a_missing_file_that_is_a_path_makes_no_file(hub: Hub, tmp_path: Path) -> None:
    say(hub, {"X-Repo-Commit": "../../../../../made"}, method="HEAD")
    with pytest.raises(NotFoundError):
        fetch(HubFile(repo="org/name", file="other"))
    assert outside(tmp_path) == {}


@pytest.mark.parametrize("how", ["X-Xet-Refresh-Route", "Link"])
def test_the_token_does_not_follow_a_route_to_another_origin(
    hub: Hub, elsewhere: Hub, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    route = elsewhere.url + "/route"
    say(hub, {"X-Xet-Hash": "0" * 64, how: route if how != "Link" else f'<{route}>; rel="xet-auth"'}, method="HEAD")
    assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert elsewhere.seen == []
    assert leaked(hub)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("status", [200, 302, 303, 307, 308])
def test_the_token_does_not_follow_a_redirect_to_another_origin(hub: Hub, elsewhere: Hub, method: str, status: int) -> None:
    say(hub, {"Location": elsewhere.url + "/files/model.safetensors", "status": status}, method=method)
    assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert leaked(hub)
    assert not leaked(elsewhere)


def test_the_token_does_not_go_to_another_hub_that_the_client_trusts(
    hub: Hub, elsewhere: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_http, "_HUB_ORIGINS", frozenset({_http._url_origin(elsewhere.url)}))
    elsewhere.add("org/name", {"model.safetensors": CONTENT})
    hub.fail("redirect", to=elsewhere.url + "/org/name/resolve/main/model.safetensors")
    assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert leaked(hub)
    assert not leaked(elsewhere)


@pytest.mark.parametrize("to", ["http://example.org/w", "ftp://example.org/w", "file:///w", "https://example.com/w", "/w"])
@pytest.mark.parametrize("status", [200, 302, 308])
def test_encryption_is_not_given_up(to: str, status: int) -> None:
    request = httpx2.Request("GET", "https://example.org/w", headers={"User-Agent": "resnetlib/None", "Authorization": TOKEN})
    response = httpx2.Response(status, headers={"Location": to}, request=request, stream=httpx2.ByteStream(b""))
    if to.startswith(("https:", "/")):
        hub_guard._check_answer(response)
    else:
        with pytest.raises(DownloadError, match=r"https://example.org redirects from https to \w+, which is not followed"):
            hub_guard._check_answer(response)


def test_the_token_goes_to_the_hub_alone(hub: Hub) -> None:
    for url, kept in ((hub.url, True), (hub.url.replace("http:", "https:"), False), ("http://127.0.0.1:1", False)):
        request = httpx2.Request("GET", url, headers={"User-Agent": "resnetlib/None", "Authorization": TOKEN})
        hub_guard._check_request(request)
        assert ("Authorization" in request.headers) == kept


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "deflate", "br", "identity, gzip"])
def test_compressed_content_is_not_decompressed(hub: Hub, encoding: str) -> None:
    body = gzip.compress(gzip.compress(bytes(2**20)))
    url = UrlFile(url=hub.put("w.pth", CONTENT), sha256=SHA256)
    say(hub, {"Content-Encoding": encoding, "body": body.decode("latin-1")}, method="GET")
    for source in (SOURCE, HubFile(repo="org/name", file="config.json"), url):
        with pytest.raises(DownloadError, match=r"it compressed the content as '[a-z, ]+', without being asked to\. Check HF_END"):
            fetch(source)
    assert all(seen.headers["accept-encoding"] == "identity" for seen in hub.seen)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_long_error_is_not_read_to_its_end(hub: Hub, encoding: str) -> None:
    body = b"x" * 2**22 if encoding == "identity" else gzip.compress(b"x" * 2**24)
    say(hub, {"status": 418, "Content-Encoding": encoding, "body": body.decode("latin-1")})
    with guarded(), pytest.raises(Exception, match=r"418") as caught:
        HfApi(endpoint=hub.url, library_name="resnetlib").whoami()
    assert len(caught.value.response.content) == (2**20 if encoding == "identity" else 0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [302, 400, 403, 404, 418, 500])
def test_what_a_hub_says_is_escaped_and_cut(hub: Hub, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr(_http.logger, "warning", lambda text, *args: warned.append(text % args))
    net = create_model("cifar_resnet20")
    names = ("X-Error-Message", "X-Error-Code", "X-HF-Warning", "X-Request-Id", "Content-Disposition", "Content-Range")
    text = json.dumps({"error": f"{ESCAPES} and {'long ' * 10**5}"})
    said = {"status": status, "reason": ESCAPES, "body": text, "X-HF-Warning": f"{status}; {ESCAPES}"}
    say(hub, dict.fromkeys(names, f"{status}{ESCAPES}") | said)
    for do in (lambda: push_to_hub(net, "org/new"), lambda: fetch(SOURCE)):
        with pytest.raises(Exception, match=r".") as caught:
            do()
        error: BaseException | None = caught.value
        while error is not None:
            assert all(line.isprintable() for line in str(error).splitlines()), repr(str(error))
            assert "\r" not in str(error)
            assert len(str(error)) < 4000
            error = error.__cause__ or error.__context__
    assert warned
    assert all(text.isprintable() for text in warned), warned


def test_a_long_wait_is_not_waited_for(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(_http.time, "sleep", slept.append)
    say(hub, {"status": 429, "Retry-After": "999999999", "RateLimit": '"api";r=0;t=99999999'}, method="GET", times=2)
    assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert slept
    assert max(slept) < 10


def test_a_client_that_is_made_meanwhile_is_guarded_and_the_users_stays(hub: Hub) -> None:
    made = []

    def factory() -> httpx2.Client:
        made.append(httpx2.Client(follow_redirects=True))
        return made[-1]

    hub.fail("etag", method="HEAD", to="../../../../evil")
    try:
        set_client_factory(factory)
        with guarded(), guarded():
            _http.get_session()
            _http.close_session()  # as it does by itself when a connection fails
            with pytest.raises(DownloadError):
                get_hf_file_metadata(f"{hub.url}/org/name/resolve/main/model.safetensors", library_name="resnetlib")
        assert len(made) == 2
        assert _http._GLOBAL_CLIENT_FACTORY is factory
    finally:
        set_client_factory(_http.default_client_factory)


def test_what_others_ask_of_the_client_passes_by(hub: Hub, elsewhere: Hub) -> None:
    fetch(SOURCE)
    with guarded():
        hub.fail("etag", to="../../anything")
        url = f"{hub.url}/org/name/resolve/main/model.safetensors"
        assert get_hf_file_metadata(url).etag == "../../anything"
    assert hub.seen[-1].headers["authorization"] == f"Bearer {TOKEN}"
    assert "resnetlib" not in hub.seen[-1].headers["user-agent"]
    assert _http._GLOBAL_CLIENT_FACTORY is _http.default_client_factory


@pytest.mark.filterwarnings("ignore:Use 'content=")
def test_the_token_does_not_go_elsewhere_when_weights_are_pushed(hub: Hub, elsewhere: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def batch(wanted: dict[str, Any]) -> Any:
        objects = [{**one, "actions": actions(one["oid"])} for one in wanted["objects"]]
        return loopback_upload._json({"transfer": "basic", "objects": objects})

    def actions(oid: str) -> dict[str, Any]:
        return {"upload": {"href": f"{hub.url}/lfs/{oid}"}, "verify": {"href": f"{elsewhere.url}/lfs-verify"}}

    import loopback_upload

    monkeypatch.setattr(loopback_upload, "_batch", lambda hub, wanted: batch(wanted))
    monkeypatch.setattr(loopback_upload, "_mode", lambda file: "lfs")  # of all files, which are then sent by several threads
    elsewhere.blobs = hub.blobs
    push_to_hub(create_model("cifar_resnet20"), "org/new")
    assert elsewhere.count("POST", "/lfs-verify") == 3
    assert leaked(hub)
    assert not leaked(elsewhere)


def hostile(there: Hub, folder: Path) -> st.SearchStrategy[dict[str, Any]]:
    """Return headers that lead elsewhere, into the user's files, or nowhere."""
    paths = st.sampled_from([str(folder / "victim"), "../../../../victim", "..", "/", "a/b", "\\\\evil", "%2e%2e%2fvictim", "."])
    urls = st.sampled_from([there.url, there.url + "/files/model.safetensors", "file:///etc/passwd", "//", "http://[", "ftp://a/b"])
    texts = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=20)
    values = st.one_of(paths, urls, texts, st.just("9" * 5000), st.just("-1"), st.just("a" * 50_000), st.just(SHA256))
    quoted = values.map(lambda value: f'W/"{value}"')
    tags = st.sampled_from(["ETag", "X-Linked-Etag"])
    others = ["X-Repo-Commit", "X-Linked-Size", "Location", "X-Xet-Hash", "X-Xet-Refresh-Route", "X-Error-Code", "X-Error-Message"]
    names = st.sampled_from([*others, "X-HF-Warning", "Content-Encoding", "Content-Disposition", "Content-Range", "Retry-After"])
    links = values.map(lambda value: {"X-Xet-Hash": "0" * 64, "Link": f'<{value}>; rel="xet-auth"'})
    pairs = st.one_of(st.dictionaries(names, values, max_size=3), st.dictionaries(tags, quoted | values, max_size=2), links)
    status = st.sampled_from([{}, {}, {"status": 301}, {"status": 307}, {"status": 404}, {"status": 418}])
    return st.builds(lambda *drawn: {key: value for part in drawn for key, value in part.items()}, pairs, pairs, status)


def test_no_answer_writes_outside_the_cache_or_takes_the_token(
    hub: Hub, elsewhere: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    before = set(tmp_path.parent.iterdir())

    @settings(max_examples=20, suppress_health_check=list(HealthCheck))
    @given(
        said=hostile(elsewhere, tmp_path),
        method=st.sampled_from(["HEAD", "GET", ""]),
        after=st.integers(0, 2),
        file=st.sampled_from(["model.safetensors", "other"]),
        number=st.integers(0, 10**9),
    )
    def answer(said: dict[str, Any], method: str, after: int, file: str, number: int) -> None:
        hub.faults.clear()
        hub.add(f"org/a{number}", {"model.safetensors": CONTENT})
        say(hub, said, method=method, after=after)
        shown = ""
        try:
            fetched = fetch(HubFile(repo=f"org/a{number}", file=file))
            assert fetched.path.read_bytes() == CONTENT
        except FetchError as error:
            shown = str(error)
        assert shown.replace("\n", "").isprintable(), repr(shown)
        assert len(shown) < 3000
        assert outside(tmp_path) == {str(victim): b"mine"}
        assert set(tmp_path.parent.iterdir()) == before
        assert not leaked(elsewhere)

    answer()
    assert leaked(hub)


OUT = "../../../../evil"


@pytest.mark.parametrize("name", [OUT, "/etc/evil", "0" * 32, "0" * 63, "0" * 65, "0" * 41, "A" * 64, "0" * 40 + "\\", "abc-1"])
def test_a_name_of_contents_that_is_no_hash_is_rejected(hub: Hub, name: str, tmp_path: Path) -> None:
    hub.fail("etag", to=name)
    with pytest.raises(DownloadError, match=r"cannot be verified: http.* expected the 64 hexadecimal digits of a SHA-256, or 40"):
        fetch(SOURCE)
    assert hub.count("GET") == 0
    assert outside(tmp_path) == {}


@pytest.mark.parametrize("commit", [OUT, "0" * 39, "0" * 41, "main", "A" * 40])
def test_a_commit_that_is_no_hash_is_rejected(hub: Hub, commit: str, tmp_path: Path) -> None:
    hub.fail("commit", to=commit)
    with pytest.raises(DownloadError, match=r"gives an unexpected answer: its commit is"):
        fetch(SOURCE)
    with pytest.raises(NotFoundError):
        fetch(HubFile(repo="org/name", file="other"))
    assert hub.count("GET") == 0
    assert not list((tmp_path / "hf").rglob("snapshots"))


@pytest.mark.parametrize("kind", ["hub", "json", "url"])
def test_a_download_without_an_end_is_cut(hub: Hub, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_guard, "MAX_FILE", 2**21)
    monkeypatch.setattr(hub_guard, "MAX_JSON", 2**21)
    hub.put("w.pth", CONTENT)
    hub.fail("endless", method="GET")
    url = UrlFile(url=f"{hub.url}/files/w.pth", sha256=SHA256)
    source = {"hub": SOURCE, "json": HubFile(repo="org/name", file="config.json"), "url": url}[kind]
    with pytest.raises(DownloadError, match=r"has more than 2,097,152 bytes, the most that is downloaded"):
        fetch(source)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".incomplete", ".partial", ".pth", ".safetensors")]
    hub.faults.clear()
    fetch(source)


@pytest.mark.parametrize("redirect", [False, True])
def test_a_config_must_be_small(hub: Hub, redirect: bool) -> None:
    hub.fail("huge", to=str(2**25))
    if redirect:
        hub.fail("redirect", to="http://127.0.0.1:1/elsewhere")
    with pytest.raises(DownloadError, match=r"config.json has more than 16,777,216 bytes"):
        fetch(HubFile(repo="org/name", file="config.json"))
    assert hub.count("GET") == 0


def test_a_hub_that_names_contents_twice_is_not_believed(hub: Hub) -> None:
    hub.fail("etag", method="HEAD", times=1, to="1" * 64)
    for _ in range(2):
        assert fetch(SOURCE).path.read_bytes() == CONTENT
        assert hub.count("GET") == 2


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Answer every request with the same bytes."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with suppress(OSError), connection:
                    connection.recv(10_000)
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/w.pth"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


def shown(answer: str) -> str:
    """Return the error for a web server's answer."""
    with answering(f"{answer}\r\n\r\n".encode("latin-1")) as url, pytest.raises(FetchError) as caught:
        fetch(UrlFile(url=url, sha256="0" * 8))
    return str(caught.value)


@pytest.mark.parametrize(
    "answer",
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
def test_an_error_of_a_web_server_is_escaped_and_cut(hub: Hub, answer: str) -> None:
    assert shown(answer).isprintable()
    assert len(shown(answer)) < 800


def test_any_answer_of_a_web_server_is_printable(hub: Hub) -> None:
    @settings(max_examples=12, suppress_health_check=list(HealthCheck))
    @given(
        st.text(st.characters(max_codepoint=255), max_size=60), st.sampled_from(["", "HTTP/1.1 ", "HTTP/1.1 307 ", "HTTP/1.1 500 "])
    )
    def answer(said: str, begin: str) -> None:
        assert shown(begin + said).isprintable()

    answer()


def test_an_error_of_the_client_is_escaped_and_cut() -> None:
    for text in (ESCAPES, "long " * 10**5, "http://h?" * 10**4, "a://" * 10**4):
        assert shown_error(ValueError(text)).isprintable()
        assert len(shown_error(ValueError(text))) < 600
