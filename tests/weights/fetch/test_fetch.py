"""From a source to a verified file: from the cache, or from the network, whatever happened to either."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import Hub
from remotes import Remote

from resnetlib.config import EmbeddedFile, HubFile, UrlFile
from resnetlib.weights.fetch import fetch, fetch_first, fetch_repo_file, find_cached
from resnetlib.weights.fetch.errors import (
    CannotStoreError,
    DamagedError,
    FetchError,
    NotThereError,
    RefusedError,
    UnreachableError,
    UnreadableError,
    UnverifiedError,
)

CONTENT = bytes(range(256)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_is_fetched_once_and_then_comes_from_the_cache(remote: Remote) -> None:
    assert find_cached(remote.source) is None
    first = fetch(remote.source)
    assert first.path.read_bytes() == remote.content
    assert first.sha256 == hashlib.sha256(remote.content).hexdigest()
    assert first.revision == (remote.hub.repos["org/name"].branches["main"] if remote.kind == "hub" else None)
    assert first.source == remote.source
    requests = remote.hub.count()
    assert fetch(remote.source) == first
    assert find_cached(remote.source) == first.path
    assert remote.hub.count() == requests
    assert remote.hub.count("GET", remote.part) == 1


def test_refresh_asks_again(hub: Hub) -> None:
    old = hub.add("org/name", {"model.safetensors": b"old"})
    assert fetch(HubFile(repo="org/name")).revision == old
    new = hub.add("org/name", {"model.safetensors": b"new"})
    assert fetch(HubFile(repo="org/name")).revision == old
    assert fetch(HubFile(repo="org/name"), refresh=True).path.read_bytes() == b"new"
    assert fetch(HubFile(repo="org/name")).revision == new
    source = UrlFile(url=hub.put("w.pth", CONTENT), sha256=SHA256)
    for _ in range(2):
        fetch(source, refresh=True)
    assert hub.count("GET", "w.pth") == 2


def test_config_and_weights_come_from_one_commit(hub: Hub) -> None:
    first = hub.add("org/name", {"config.json": b"1", "model.safetensors": b"1"})
    config = fetch_repo_file("org/name", "config.json")
    assert (config.path.read_bytes(), config.revision) == (b"1", first)
    second = hub.add("org/name", {"config.json": b"2", "model.safetensors": b"2"})
    assert fetch(HubFile(repo="org/name", revision=first)).path.read_bytes() == b"1"
    assert fetch_repo_file("org/name", "config.json").revision == second
    requests = hub.count()
    assert fetch_repo_file("org/name", "config.json", first).path.read_bytes() == b"1"
    assert fetch(HubFile(repo="org/name", revision=first)).path.read_bytes() == b"1"
    assert hub.count() == requests


def test_the_newest_is_the_cached_one_where_nobody_answers(hub: Hub) -> None:
    commit = hub.add("org/name", {"config.json": b"1"})
    fetch_repo_file("org/name", "config.json")
    hub.fail("503")
    requests = hub.count()
    assert fetch_repo_file("org/name", "config.json").revision == commit
    assert hub.count() == requests + 1, "who has it already does not wait for a hub that does not answer"
    with pytest.raises(UnreachableError):
        fetch_repo_file("org/name", "other.json", deadline=2)
    hub.faults.clear()
    hub.fail("401")
    with pytest.raises(RefusedError):
        fetch_repo_file("org/name", "config.json")


def test_what_a_commit_does_not_have_is_asked_for_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.add("org/name", {"config.json": b"{}"})
    source = HubFile(repo="org/name", file="other.json", revision=commit)
    with pytest.raises(NotThereError, match=rf"no file other.json in hf-hub:org/name at revision '{commit}'"):
        fetch(source)
    hub.repos["org/name"].commits[commit]["other.json"] = b"1"  # a mirror that has caught up
    assert fetch(source).path.read_bytes() == b"1"
    requests = hub.count()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(source).path.read_bytes() == b"1"
    assert hub.count() == requests


def test_a_config_that_is_no_small_file_is_refused(hub: Hub) -> None:
    hub.add("org/name", {"config.json": b"{}"})
    hub.fail("huge")
    with pytest.raises(DamagedError, match=r"expected at most 16777216"):
        fetch_repo_file("org/name", "config.json")
    assert hub.count("GET") == 0


def test_the_first_place_that_has_it_is_taken(hub: Hub) -> None:
    there, elsewhere = UrlFile(url=hub.put("w.pth", CONTENT), sha256=SHA256), HubFile(repo="org/nothing")
    assert fetch_first([elsewhere, there]).source == there
    hub.add("org/nothing", {"model.safetensors": CONTENT})
    assert fetch_first([elsewhere, there]).source == there  # the cache comes first
    assert fetch_first([HubFile(repo="org/nothing")]).source == elsewhere


def test_a_place_that_answers_may_take_most_of_the_time(hub: Hub) -> None:
    hub.add("org/name", {"model.safetensors": CONTENT})
    hub.fail("in-parts", method="GET", to="1.8")
    there = UrlFile(url=hub.put("w.pth", CONTENT), sha256=SHA256)
    assert fetch_first([HubFile(repo="org/name"), there], deadline=3.2).source == HubFile(repo="org/name")


@pytest.mark.parametrize("fault", ["hang", "slow-headers"])
def test_a_place_that_does_not_answer_leaves_time_for_the_next(hub: Hub, fault: str) -> None:
    hub.add("org/name", {"model.safetensors": CONTENT})
    hub.fail(fault, path="model.safetensors")
    hub.fail("in-parts", path="w.pth", to="0.2")
    there = UrlFile(url=hub.put("w.pth", CONTENT), sha256=SHA256)
    assert fetch_first([HubFile(repo="org/name"), there], deadline=4).source == there


def test_where_no_place_has_it_the_error_tells_of_each(hub: Hub) -> None:
    hub.add("org/name", {"config.json": b"{}"})
    gone = UrlFile(url=f"{hub.url}/gone.pth", sha256=SHA256)
    with pytest.raises(
        NotThereError, match=r"(?s)None of these places has the file:.*no file model.safetensors.*gone.pth is not there"
    ):
        fetch_first([HubFile(repo="org/name"), gone])
    hub.fail("503", path="gone.pth")
    with pytest.raises(UnreachableError, match=r"(?s)no file model.safetensors.*the server answered 503"):
        fetch_first([HubFile(repo="org/name"), gone], deadline=2)
    with pytest.raises(NotThereError, match=r"^There is no file"):
        fetch_first([HubFile(repo="org/name")])
    with pytest.raises(ValueError, match=r"no sources"):
        fetch_first([])


def test_a_folder_that_cannot_be_written_says_so(remote: Remote, tmp_path: Path) -> None:
    place = tmp_path / ("hf" if remote.kind == "hub" else "torch")
    place.write_bytes(b"a file, where a folder should be")
    with pytest.raises(CannotStoreError, match=rf"Cannot write to {place}.*let {remote.variable} name another folder") as caught:
        fetch(remote.source)
    assert isinstance(caught.value, OSError)
    assert caught.value.errno


@pytest.mark.parametrize("url", ["http://h/", "http://h", "http://h/a/..", "http://h/a\\b", "http://h/a:b"])
def test_a_url_without_the_name_of_a_file_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must end with the name of a file"):
        fetch(UrlFile(url=url, sha256=SHA256))


def test_what_is_no_remote_source_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must be a HubFile or a UrlFile, got EmbeddedFile"):
        fetch(EmbeddedFile(file="w"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a deadline must be above 0 seconds, got 0"):
        fetch(HubFile(repo="org/name"), deadline=0)


def test_every_error_is_a_builtin_one_too() -> None:
    pairs = {NotThereError: FileNotFoundError, RefusedError: PermissionError, UnreachableError: ConnectionError}
    others = {DamagedError: ValueError, CannotStoreError: OSError, UnverifiedError: ValueError, UnreadableError: OSError}
    for ours, builtin in {**pairs, **others}.items():
        assert issubclass(ours, builtin)
        assert issubclass(ours, FetchError)
        assert str(ours("one sentence")) == "one sentence"
    assert not issubclass(UnreachableError, FileNotFoundError)


def test_sources_with_one_file_name_do_not_take_each_others_files(hub: Hub) -> None:
    one = UrlFile(url=hub.put("a/w.pth", b"one"), sha256=hashlib.sha256(b"one").hexdigest())
    two = replace(one, url=hub.put("b/w.pth", b"two"), sha256=hashlib.sha256(b"two").hexdigest())
    for source, content in [(one, b"one"), (two, b"two"), (one, b"one")]:
        assert fetch(source).path.read_bytes() == content
