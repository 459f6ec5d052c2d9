"""A hub that means no good: nothing that it says leads out of the cache, and nothing that it sends has no end."""

import threading
import time
from pathlib import Path

import pytest
from loopback import Hub

from resnetlib.config import HubFile
from resnetlib.weights.fetch import client, fetch, fetch_repo_file
from resnetlib.weights.fetch.client import watched
from resnetlib.weights.fetch.deadline import Deadline
from resnetlib.weights.fetch.errors import DamagedError, NotThereError, UnreachableError, UnverifiedError

CONTENT = bytes(range(256)) * 100
SOURCE = HubFile(repo="org/name")
OUT = "../../../../evil"


@pytest.fixture(autouse=True)
def _stocked(hub: Hub) -> None:
    hub.add("org/name", {"config.json": b"{}", "model.safetensors": CONTENT})


def begun(folder: Path) -> list[Path]:
    return list(folder.rglob("*.incomplete"))


@pytest.mark.parametrize("name", [OUT, "/etc/evil", "0" * 32, "0" * 63, "0" * 65, "0" * 41, "A" * 64, "0" * 40 + "\\", "abc-1"])
@pytest.mark.parametrize("pin", [None, "01234567"])
def test_a_name_of_contents_that_is_no_hash_is_refused(hub: Hub, name: str, pin: str | None, tmp_path: Path) -> None:
    hub.fail("etag", to=name)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UnverifiedError, match=r"cannot be verified: http.* expected the 64 hexadecimal digits of a SHA-256, or 40"):
        fetch(HubFile(repo="org/name", sha256=pin), deadline=5)
    assert hub.count("GET") == 0
    assert {path for path in tmp_path.rglob("*") if path.is_file()} - before <= set((tmp_path / "own" / "locks").iterdir())


@pytest.mark.parametrize("commit", [OUT, "0" * 39, "0" * 41, "main", "A" * 40])
def test_a_commit_that_is_no_hash_is_refused(hub: Hub, commit: str, tmp_path: Path) -> None:
    hub.fail("commit", to=commit)
    with pytest.raises(UnreachableError, match=r"answers, but not as a hub does"):
        fetch(SOURCE, deadline=1)
    with pytest.raises(NotThereError):
        fetch(HubFile(repo="org/name", file="other"), deadline=3)
    assert hub.count("GET") == 0
    assert not (tmp_path / "hf").exists()


def test_what_is_longer_than_was_announced_is_cut(hub: Hub, tmp_path: Path) -> None:
    hub.fail("endless", method="GET")
    with pytest.raises(DamagedError, match=r"came with more than the 25600 bytes that it may have; nothing of it was kept"):
        fetch(SOURCE, deadline=20)
    assert begun(tmp_path) == []
    hub.faults.clear()
    assert fetch(SOURCE).path.read_bytes() == CONTENT


def test_without_an_announced_size_there_is_a_limit_too(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    ask = huggingface_hub.get_hf_file_metadata

    def silent(*args: object, **kwargs: object) -> object:
        metadata = ask(*args, **kwargs)  # type: ignore[arg-type]
        object.__setattr__(metadata, "size", None)
        return metadata

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", silent)
    hub.fail("endless", method="GET")
    with pytest.raises(DamagedError, match=r"came with more than the 16777216 bytes that it may have"):
        fetch_repo_file("org/name", "config.json", deadline=20)


def test_a_transfer_that_is_given_up_ends_and_gives_way(hub: Hub, tmp_path: Path) -> None:
    hub.fail("huge", method="HEAD", to=str(2**30))
    hub.fail("endless", method="GET")
    with pytest.raises(UnreachableError, match=r"was not there after 1 seconds"):
        fetch(SOURCE, deadline=1)
    end = time.monotonic() + 10
    while (begun(tmp_path) or any(thread.name.startswith("fetch ") for thread in threading.enumerate())) and time.monotonic() < end:
        time.sleep(0.02)
    assert begun(tmp_path) == []
    hub.faults.clear()
    assert fetch(SOURCE, deadline=5).path.read_bytes() == CONTENT


def test_a_watched_transfer_counts_where_no_bar_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    deadline = Deadline(60, "a file")
    bar = watched("a file", 10, deadline)(total=10, disable=None)
    bar.update(6)
    bar.update(-6)  # the client starts again
    bar.update(10)
    with pytest.raises(DamagedError, match=r"a file came with more than the 10 bytes"):
        bar.update(1)
    bar.close()
    assert capsys.readouterr().err == ""
    late = watched("a file", None, Deadline(0.01, "a file"))(disable=None)
    time.sleep(0.02)
    with pytest.raises(UnreachableError, match=r"was not there after 0.01 seconds"):
        late.update(1)
    late.close()


def test_a_hub_that_changes_its_mind_is_asked_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, moved = client.transfer, []

    def move(*args: object, **kwargs: object) -> Path:
        if not moved:
            moved.append(hub.add("org/name", {"model.safetensors": CONTENT[::-1]}))
        return ask(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("resnetlib.weights.fetch.hub.transfer", move)
    fetched = fetch(SOURCE, deadline=20)
    assert (fetched.path.read_bytes(), fetched.revision) == (CONTENT[::-1], moved[0])


def test_a_hub_that_names_contents_twice_is_not_believed(hub: Hub) -> None:
    hub.fail("etag", method="HEAD", times=1, to="1" * 64)  # the client asks again, and gets another name
    for _ in range(2):
        assert fetch(SOURCE).path.read_bytes() == CONTENT
        assert hub.count("GET") == 2
