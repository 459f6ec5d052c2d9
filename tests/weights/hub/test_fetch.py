"""A file comes from the cache or from its source, and offline from the cache alone."""

import hashlib
import socket
from pathlib import Path

import pytest
from loopback import Hub
from remotes import Remote

from resnetlib import create_model
from resnetlib.config import EmbeddedFile, HubFile, UrlFile
from resnetlib.errors import ResnetlibError
from resnetlib.weights.download import fetch, fetch_first, find_cached
from resnetlib.weights.errors import DamagedFileError, DownloadError, FetchError, NotFoundError

CONTENT = bytes(range(256)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CONFIG = HubFile(repo="org/name", file="config.json")


def test_a_file_is_downloaded_once_and_then_comes_from_the_cache(remote: Remote) -> None:
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


def test_refresh_asks_for_the_newest_commit(hub: Hub) -> None:
    old = hub.add("org/name", {"model.safetensors": b"old"})
    assert fetch(HubFile(repo="org/name")).revision == old
    new = hub.add("org/name", {"model.safetensors": b"new"})
    assert fetch(HubFile(repo="org/name")).revision == old
    assert fetch(HubFile(repo="org/name"), refresh=True).path.read_bytes() == b"new"
    assert fetch(HubFile(repo="org/name")).revision == new
    requests = hub.count()
    assert fetch(HubFile(repo="org/name", revision=old), refresh=True).path.read_bytes() == b"old"
    assert hub.count() == requests, "a commit does not change"


@pytest.mark.parametrize("fault", ["401", "503", "hang", "vanish"])
def test_the_cache_answers_where_the_hub_does_not(hub: Hub, fault: str) -> None:
    commit = hub.add("org/name", {"config.json": b"1"})
    fetch(CONFIG, refresh=True)
    hub.fail(fault)
    assert fetch(CONFIG, refresh=True).revision == commit
    with pytest.raises(DownloadError):
        fetch(HubFile(repo="org/name", file="other.json"))


def test_a_read_only_cache_answers_for_a_branch_that_has_moved(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    old = hub.add("org/name", {"config.json": b"1"})
    fetch(CONFIG)
    new = hub.add("org/name", {"config.json": b"2"})
    monkeypatch.setattr("os.makedirs", refuse)
    assert fetch(CONFIG, refresh=True).revision == old
    with pytest.raises(DownloadError, match=r"Cannot write to .*hub: Permission denied. Make room there, or set HF_HOME"):
        fetch(HubFile(repo="org/name", file="config.json", revision=new))


def test_a_file_that_a_commit_does_not_have_is_asked_for_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.add("org/name", {"config.json": b"{}"})
    source = HubFile(repo="org/name", file="other.json", revision=commit)
    with pytest.raises(NotFoundError, match=rf"no file other.json in hf-hub:org/name at revision '{commit}'"):
        fetch(source)
    hub.repos["org/name"].commits[commit]["other.json"] = b"1"  # a mirror that has caught up
    assert fetch(source).path.read_bytes() == b"1"
    requests = hub.count()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(source).path.read_bytes() == b"1"
    assert hub.count() == requests


def test_the_first_source_that_has_the_file_is_used(hub: Hub) -> None:
    there, elsewhere = UrlFile(url=hub.put("w.pth", CONTENT), sha256=SHA256), HubFile(repo="org/nothing")
    assert fetch_first([elsewhere, there]).source == there
    hub.add("org/nothing", {"model.safetensors": CONTENT})
    assert fetch_first([elsewhere, there]).source == there, "the cache comes first"
    assert fetch_first([HubFile(repo="org/nothing")]).source == elsewhere


def test_a_source_that_does_not_answer_is_followed_by_the_next(hub: Hub) -> None:
    hub.fail("hang", path="model.safetensors")
    there = UrlFile(url=hub.put("w.pth", CONTENT), sha256=SHA256)
    assert fetch_first([HubFile(repo="org/name"), there]).source == there


def test_the_error_tells_of_each_source(hub: Hub) -> None:
    hub.add("org/name", {"config.json": b"{}"})
    gone = UrlFile(url=f"{hub.url}/gone.pth", sha256=SHA256)
    with pytest.raises(NotFoundError, match=r"(?s)None of the sources.*no file model.safetensors.*gone.pth is not there"):
        fetch_first([HubFile(repo="org/name"), gone])
    hub.fail("503", path="gone.pth")
    with pytest.raises(DownloadError, match=r"(?s)no file model.safetensors.*the server answered 503"):
        fetch_first([HubFile(repo="org/name"), gone])
    with pytest.raises(NotFoundError, match=r"^There is no file"):
        fetch_first([HubFile(repo="org/name")])
    with pytest.raises(ValueError, match=r"no sources"):
        fetch_first([])


@pytest.mark.parametrize("url", ["http://h/", "http://h", "http://h/a/..", "http://h/a\\b", "http://h/a:b"])
def test_a_url_without_the_name_of_a_file_is_rejected(url: str) -> None:
    with pytest.raises(ValueError, match=r"must end with the name of a file"):
        fetch(UrlFile(url=url, sha256=SHA256))


def test_other_sources_and_names_are_rejected(hub: Hub) -> None:
    with pytest.raises(TypeError, match=r"must be a HubFile or a UrlFile, got EmbeddedFile"):
        fetch(EmbeddedFile(file="w"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a--b"):
        fetch(HubFile(repo="org/a--b"))


def test_every_error_is_the_librarys_and_a_builtin_one() -> None:
    for ours, builtin in {NotFoundError: FileNotFoundError, DownloadError: OSError, DamagedFileError: ValueError}.items():
        assert issubclass(ours, builtin)
        assert issubclass(ours, FetchError)
        assert issubclass(ours, ResnetlibError)
        assert str(ours("one sentence")) == "one sentence"
    assert not issubclass(DownloadError, FileNotFoundError)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Forbid requests, and make every socket an error."""

    def no_socket(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket is opened")

    def go(variable: bool) -> None:
        if variable:
            monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        else:
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        for name in ("socket", "create_connection", "getaddrinfo"):
            monkeypatch.setattr(socket, name, no_socket)

    monkeypatch.go = go  # type: ignore[attr-defined]
    return monkeypatch


@pytest.mark.parametrize("variable", [True, False], ids=["variable", "constant"])
def test_offline_the_cache_answers(remote: Remote, offline: pytest.MonkeyPatch, variable: bool) -> None:
    first = fetch(remote.source)
    requests = remote.hub.count()
    offline.go(variable)  # type: ignore[attr-defined]
    assert fetch(remote.source, refresh=True) == first
    assert fetch_first([HubFile(repo="org/other"), remote.source]) == first
    assert remote.hub.count() == requests


@pytest.mark.parametrize("variable", [True, False], ids=["variable", "constant"])
def test_offline_a_missing_file_is_named_with_the_way_to_get_it(
    remote: Remote, offline: pytest.MonkeyPatch, variable: bool
) -> None:
    offline.go(variable)  # type: ignore[attr-defined]
    assert find_cached(remote.source) is None
    for refresh in (False, True):
        with pytest.raises(DownloadError) as caught:
            fetch(remote.source, refresh=refresh)
        message = str(caught.value)
        assert remote.part in message
        assert str(remote.folder / ("hf/hub" if remote.kind == "hub" else "torch/hub/checkpoints")) in message
        assert "HF_HUB_OFFLINE forbids downloads" in message
        assert "`resnetlib weights fetch NAME`" in message
        assert "pass the path of a file" in message
    assert remote.hub.seen == []


def test_offline_a_damaged_file_is_rejected(remote: Remote, offline: pytest.MonkeyPatch) -> None:
    path = fetch(remote.source).path
    path.write_bytes(bytes(len(remote.content)))
    offline.go(True)  # type: ignore[attr-defined]
    with pytest.raises(DamagedFileError, match=r"is damaged in .* HF_HUB_OFFLINE forbids downloads"):
        fetch(remote.source)


def test_offline_it_is_known_what_a_commit_does_not_have(hub: Hub, offline: pytest.MonkeyPatch) -> None:
    commit = hub.add("org/name", {"config.json": b"{}"})
    assert fetch(CONFIG, refresh=True).revision == commit
    with pytest.raises(NotFoundError):
        fetch(HubFile(repo="org/name"))
    offline.go(True)  # type: ignore[attr-defined]
    assert fetch(CONFIG, refresh=True).revision == commit
    with pytest.raises(NotFoundError):  # the hub said so when it was asked
        fetch(HubFile(repo="org/name"))
    with pytest.raises(DownloadError):
        fetch(HubFile(repo="org/name", file="pytorch_model.bin"))


def test_sources_with_one_file_name_do_not_use_each_others_files(hub: Hub) -> None:
    one = UrlFile(url=hub.put("a/w.pth", b"one"), sha256=hashlib.sha256(b"one").hexdigest())
    two = UrlFile(url=hub.put("b/w.pth", b"two"), sha256=hashlib.sha256(b"two").hexdigest())
    for source, content in [(one, b"one"), (two, b"two"), (one, b"one")]:
        assert fetch(source).path.read_bytes() == content


def test_a_file_that_torchvision_downloaded_is_found_and_checked(hub: Hub, tmp_path: Path) -> None:
    name = f"weights-{SHA256[:8]}.pth"
    source = UrlFile(url=hub.put(name, CONTENT), sha256=SHA256[:8])
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(CONTENT)
    assert fetch(source).path == folder / name
    assert hub.seen == []
    (folder / name).write_bytes(CONTENT[:-1])
    assert fetch(source).path.read_bytes() == CONTENT
    assert hub.count() == 1


@pytest.mark.parametrize("name", ["model.pth", "model-20240101.pth", "model-20240101.v2.pth"])
def test_files_of_one_name_are_kept_apart(name: str, hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(b"another program's")
    for _ in range(2):
        for place, content in ((f"a/{name}", CONTENT), (f"b/{name}", CONTENT[::-1])):
            source = UrlFile(url=hub.put(place, content), sha256=hashlib.sha256(content).hexdigest())
            assert fetch(source).path.read_bytes() == content
    assert hub.count() == 2
    assert (folder / name).read_bytes() == b"another program's"


def test_digits_in_a_name_that_are_no_hash_cost_no_file(hub: Hub, tmp_path: Path) -> None:
    url, folder = hub.put("model-20240101.pth", CONTENT), tmp_path / "torch" / "hub" / "checkpoints"
    good = fetch(UrlFile(url=url, sha256=SHA256)).path
    (folder / "model-20240101.pth").write_bytes(b"another program's")
    with pytest.raises(DamagedFileError, match=r"SHA-256 is .*, expected 20240101\.") as caught:
        create_model("cifar_resnet20", weights=url)
    assert str(caught.value).endswith(f"If 20240101 in its name is not its SHA-256, append that: '{url}#sha256=0123abcd...'.")
    assert good.read_bytes() == CONTENT
    assert (folder / "model-20240101.pth").read_bytes() == b"another program's"
    assert {path.name for path in folder.iterdir() if path.is_file()} == {good.name, "model-20240101.pth"}


def test_a_shared_file_is_replaced_only_by_the_content_that_its_name_promises(hub: Hub, tmp_path: Path) -> None:
    name, folder = f"weights-{SHA256[:8]}.pth", tmp_path / "torch" / "hub" / "checkpoints"
    source = UrlFile(url=hub.put(name, CONTENT), sha256=SHA256)
    folder.mkdir(parents=True)
    (folder / name).write_bytes(CONTENT[:-1])
    hub.fail("404", times=1)
    with pytest.raises(NotFoundError):
        fetch(source)
    assert (folder / name).read_bytes() == CONTENT[:-1]
    assert fetch(source).path.read_bytes() == CONTENT
    assert {path.name for path in folder.iterdir() if path.is_file()} == {name}


def test_torchvision_finds_a_file_that_was_downloaded(hub: Hub) -> None:
    import torch

    content = b"".join([b"PK\x05\x06", bytes(18)])  # an empty zip file: it is found, and is no checkpoint
    url = hub.put(f"weights-{hashlib.sha256(content).hexdigest()[:8]}.pth", content)
    fetch(UrlFile(url=url, sha256=hashlib.sha256(content).hexdigest()))
    with pytest.raises(Exception, match=r"."):
        torch.hub.load_state_dict_from_url(url, progress=False)
    assert hub.count() == 1


def test_a_file_that_the_hubs_client_downloaded_is_found_and_checked(hub: Hub) -> None:
    from huggingface_hub import hf_hub_download

    hub.add("org/name", {"model.safetensors": CONTENT})
    path = Path(hf_hub_download("org/name", "model.safetensors"))
    requests = hub.count()
    assert fetch(HubFile(repo="org/name")).path == path
    assert hub.count() == requests


def test_a_name_that_is_not_resolved_is_asked_for_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, sources = [], [HubFile(repo="org/name"), UrlFile(url=f"{hub.url}/w.pth", sha256=SHA256)]

    def fail(host: object, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(DownloadError, match=r"(?s)Name or service not known.*\nOr run `resnetlib weights fetch NAME`") as caught:
        fetch_first(sources)
    assert len(asked) <= 3
    assert str(caught.value).count("weights fetch") == 1
    for source in sources:
        with pytest.raises(DownloadError, match=r"(?s)Name or service not known.*pass the path of a file"):
            fetch_first([source])
