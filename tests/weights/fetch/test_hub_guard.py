"""Whatever a hub answers, and whenever: nothing is written outside the cache, the token goes nowhere else, nothing is shown raw."""

import gzip
import hashlib
import json
from collections.abc import Iterator
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
from resnetlib.config import HubFile
from resnetlib.weights.fetch import FetchError, UnreachableError, UnverifiedError, fetch, fetch_repo_file, guard
from resnetlib.weights.fetch.guard import guarded

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
@pytest.mark.parametrize("pin", [None, SHA256[:8]])
def test_a_path_in_a_later_answer_replaces_no_file(hub: Hub, header: str, absolute: bool, pin: str | None, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    to = str(victim) if absolute else "../../../../victim"
    headers = {header: f'"{to}"' if "tag" in header.lower() else to}
    if header == "ETag":
        headers["X-Linked-Etag"] = ""
    say(hub, headers, method="HEAD", after=1)
    with pytest.raises((UnverifiedError, UnreachableError), match=r"cannot be verified|answers, but not as a hub does"):
        fetch(HubFile(repo="org/name", sha256=pin), deadline=2)
    assert outside(tmp_path) == {str(victim): b"mine"}
    assert hub.count("GET") == 0


def test_a_commit_of_a_missing_file_that_is_a_path_makes_no_file(hub: Hub, tmp_path: Path) -> None:
    say(hub, {"X-Repo-Commit": "../../../../../made"}, method="HEAD", after=1)
    with pytest.raises(FileNotFoundError):
        fetch(HubFile(repo="org/name", file="other"), deadline=2)
    assert outside(tmp_path) == {}


@pytest.mark.parametrize("how", ["X-Xet-Refresh-Route", "Link"])
def test_the_token_does_not_follow_a_route_to_another_origin(
    hub: Hub, elsewhere: Hub, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    route = elsewhere.url + "/route"
    say(hub, {"X-Xet-Hash": "0" * 64, how: route if how != "Link" else f'<{route}>; rel="xet-auth"'}, method="HEAD")
    assert fetch(SOURCE, deadline=5).path.read_bytes() == CONTENT
    assert elsewhere.seen == []
    assert leaked(hub)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("status", [200, 302, 303, 307, 308])
def test_the_token_does_not_follow_a_redirect_to_another_origin(hub: Hub, elsewhere: Hub, method: str, status: int) -> None:
    say(hub, {"Location": elsewhere.url + "/files/model.safetensors", "status": status}, method=method)
    assert fetch(SOURCE, deadline=5).path.read_bytes() == CONTENT
    assert leaked(hub)
    assert not leaked(elsewhere)


def test_the_token_does_not_go_to_another_hub_that_the_client_trusts(
    hub: Hub, elsewhere: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_http, "_HUB_ORIGINS", frozenset({_http._url_origin(elsewhere.url)}))
    elsewhere.add("org/name", {"model.safetensors": CONTENT})
    hub.fail("redirect", to=elsewhere.url + "/org/name/resolve/main/model.safetensors")
    assert fetch(SOURCE, deadline=5).path.read_bytes() == CONTENT
    assert leaked(hub)
    assert not leaked(elsewhere)


def test_encryption_is_not_given_up(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    request = httpx2.Request("GET", hub.url, headers={"User-Agent": "resnetlib/None", "Authorization": TOKEN})
    guard._check_request(request)
    assert request.headers["Authorization"] == TOKEN
    monkeypatch.setattr(constants, "ENDPOINT", "https://example.org")
    with pytest.raises(UnreachableError, match=r"https://example.org redirects from https to http, which is refused"):
        guard._check_request(request)
    assert "Authorization" not in request.headers


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "deflate", "br", "identity, gzip"])
def test_what_comes_packed_is_not_unpacked(hub: Hub, encoding: str, tmp_path: Path) -> None:
    body = gzip.compress(gzip.compress(bytes(2**24)))
    say(hub, {"Content-Encoding": encoding, "body": body.decode("latin-1")}, method="GET")
    for get in (lambda: fetch(SOURCE, deadline=1), lambda: fetch_repo_file("org/name", "config.json", deadline=1)):
        with pytest.raises(UnreachableError, match=r"it packed what was to come as it is, as '[a-z, ]+'\. Check HF_ENDPOINT"):
            get()
    assert all(seen.headers["accept-encoding"] == "identity" for seen in hub.seen)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_long_error_is_not_read_to_its_end(hub: Hub, encoding: str) -> None:
    body = b"x" * 2**24 if encoding == "identity" else gzip.compress(b"x" * 2**28)
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
    text = json.dumps({"error": f"{ESCAPES} and {'long ' * 10**6}"})
    said = {"status": status, "reason": ESCAPES, "body": text, "X-HF-Warning": f"{status}; {ESCAPES}"}
    say(hub, dict.fromkeys(names, f"{status}{ESCAPES}") | said)
    for do in (lambda: push_to_hub(net, "org/new"), lambda: fetch(SOURCE, deadline=1)):
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
    assert fetch(SOURCE, deadline=30).path.read_bytes() == CONTENT
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
            with pytest.raises(UnverifiedError):
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

    @settings(max_examples=80, suppress_health_check=list(HealthCheck))
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
            assert fetch(HubFile(repo=f"org/a{number}", file=file), deadline=0.5).path.read_bytes() == CONTENT
        except FetchError as error:
            shown = str(error)
        assert shown.replace("\n", "").isprintable(), repr(shown)
        assert len(shown) < 3000
        assert outside(tmp_path) == {str(victim): b"mine"}
        assert set(tmp_path.parent.iterdir()) == before
        assert not leaked(elsewhere)

    answer()
    assert leaked(hub)
