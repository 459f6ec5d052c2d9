"""What others do to the hub's cache: links that point elsewhere, copies, wrong hashes, files that vanish or cannot be read."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from loopback import Hub
from remotes import Remote

from resnetlib.config import HubFile
from resnetlib.weights.fetch import check_cached, fetch, fetch_repo_file, find_cached
from resnetlib.weights.fetch import hub as hub_module
from resnetlib.weights.fetch.errors import (
    CannotStoreError,
    DamagedError,
    UnreachableError,
    UnverifiedError,
    UnwantedError,
)
from resnetlib.weights.fetch.verified import own_cache

CONTENT, OTHER = bytes(range(256)) * 20, bytes(range(255)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SOURCE = HubFile(repo="org/name")


@pytest.fixture
def path(hub: Hub) -> Path:
    """A file in the cache."""
    hub.add("org/name", {"config.json": b"{}", "model.safetensors": CONTENT, "other.safetensors": OTHER})
    return fetch(SOURCE).path


def forget(folder: Path) -> None:
    """Remove the library's own notes, as if another program had filled the cache."""
    shutil.rmtree(folder / "own")


def point_out(path: Path, folder: Path) -> Path:
    """Let a link of the cache point to a file of the user's."""
    mine = folder / "mine.safetensors"
    mine.write_bytes(OTHER)
    path.unlink()
    path.symlink_to(mine)
    return mine


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize("pin", [None, SHA256])
def test_a_link_out_of_the_cache_is_replaced_and_its_file_stays(path: Path, tmp_path: Path, noted: bool, pin: str | None) -> None:
    mine = point_out(path, tmp_path)
    if not noted:
        forget(tmp_path)
    assert fetch(HubFile(repo="org/name", sha256=pin)).path.read_bytes() == CONTENT
    assert mine.read_bytes() == OTHER


@pytest.mark.parametrize("noted", [True, False])
def test_a_copy_instead_of_a_link_is_checked(path: Path, hub: Hub, tmp_path: Path, noted: bool) -> None:
    path.unlink()
    path.write_bytes(OTHER)
    if not noted:
        forget(tmp_path)
    assert fetch(SOURCE).path.read_bytes() == CONTENT
    path.unlink()
    path.write_bytes(CONTENT)
    gets = hub.count("GET")
    assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert hub.count("GET") == gets


def test_a_link_to_other_contents_is_replaced_and_they_stay(path: Path) -> None:
    other = fetch(HubFile(repo="org/name", file="other.safetensors")).path
    target = other.readlink()
    path.unlink()
    path.symlink_to(target)
    assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert other.read_bytes() == OTHER


def test_a_copied_cache_is_known_by_its_contents(path: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget(tmp_path)
    shutil.copytree(tmp_path / "hf", tmp_path / "copy")  # links become files
    shutil.rmtree(tmp_path / "hf")
    (tmp_path / "copy").rename(tmp_path / "hf")
    requests = hub.count()
    assert not path.is_symlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(SOURCE).sha256 == SHA256
    found = check_cached(SOURCE)
    assert found is not None
    assert found.sha256 == SHA256
    assert hub.count() == requests


def test_a_file_of_which_nothing_is_known_is_what_the_hub_says(path: Path, hub: Hub, tmp_path: Path) -> None:
    contents = path.resolve()
    path.unlink()
    contents.rename(path)  # as the client does where there are no links
    forget(tmp_path)
    with pytest.raises(UnverifiedError, match=r"cannot be verified in .*nothing is known of its contents"):
        check_cached(SOURCE)
    gets, heads = hub.count("GET"), hub.count("HEAD")
    for _ in range(2):
        assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert (hub.count("GET"), hub.count("HEAD")) == (gets, heads + 1), "it is asked once, and nothing is downloaded"
    assert check_cached(SOURCE) == fetch(SOURCE)


@pytest.mark.parametrize("way", ["offline", "down"])
def test_a_file_of_which_nothing_is_known_is_taken_where_nobody_can_be_asked(
    path: Path, hub: Hub, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = path.resolve()
    path.unlink()
    contents.rename(path)
    forget(tmp_path)
    hub.fail("503")
    if way == "offline":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(SOURCE, deadline=3).sha256 == SHA256
    path.write_bytes(OTHER)
    with pytest.raises(DamagedError, match=rf"expected {SHA256}"):
        check_cached(HubFile(repo="org/name", sha256=SHA256))


def test_a_wrong_hash_does_not_cost_others_their_file(path: Path, hub: Hub) -> None:
    gets = hub.count("GET")
    with pytest.raises(UnwantedError, match=rf"is another file on http.*: its SHA-256 is {SHA256}, expected 01234567\.$"):
        fetch(HubFile(repo="org/name", sha256="01234567"))
    assert path.read_bytes() == CONTENT
    assert hub.count("GET") == gets
    with pytest.raises(UnwantedError, match=rf"is another file in .*: its SHA-256 is {SHA256}, expected 01234567\.$"):
        check_cached(HubFile(repo="org/name", sha256="01234567"))
    new = hub.add("org/name", {"model.safetensors": OTHER})
    fetched = fetch(HubFile(repo="org/name", sha256=hashlib.sha256(OTHER).hexdigest()[:8]))
    assert fetched.revision == new
    assert path.read_bytes() == CONTENT


def test_a_wrong_hash_of_a_small_file_does_not_cost_it_either(path: Path) -> None:
    config = fetch_repo_file("org/name", "config.json").path
    with pytest.raises(UnwantedError, match=r"is another file in .*expected 01234567\.$"):
        fetch(HubFile(repo="org/name", file="config.json", sha256="01234567"))
    assert config.read_bytes() == b"{}"


def test_a_cached_file_is_read_when_it_is_checked(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = fetch(remote.source)
    hashed, digest = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: hashed.append(file.name) or digest(file, name))
    fetch(remote.source)
    assert hashed == []
    for times in (1, 2):
        assert check_cached(remote.source) == fetched
        assert len(hashed) == times


def test_a_file_that_vanishes_while_it_is_read_is_looked_for_again(path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256_of, gone = hub_module.sha256_of, []

    def vanish(path: Path, *, fresh: bool = False) -> str:
        if not gone:
            gone.append(path.resolve().unlink())
        return sha256_of(path, fresh=fresh)

    monkeypatch.setattr(hub_module, "sha256_of", vanish)
    assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert len(gone) == 1
    gone.clear()
    with pytest.raises(UnreachableError, match=r"was removed from the cache while it was read. Try again"):
        check_cached(SOURCE)


def test_who_has_the_newest_waits_for_nobody(path: Path, hub: Hub) -> None:
    commit = fetch_repo_file("org/name", "config.json").revision
    name = hashlib.sha256(b"hf-hub:org/name (config.json)").hexdigest()[:32]
    with FileLock(own_cache() / "locks" / f"{name}.lock"):
        assert fetch(HubFile(repo="org/name", file="config.json"), refresh=True, deadline=5).revision == commit
        hub.fail("503")
        assert fetch_repo_file("org/name", "config.json", deadline=5).revision == commit
        hub.faults.clear()
        hub.add("org/name", {"config.json": b"[]"})
        with pytest.raises(UnreachableError, match=r"another process has been fetching it"):
            fetch(HubFile(repo="org/name", file="config.json"), refresh=True, deadline=0.5)
    assert fetch_repo_file("org/name", "config.json").path.read_bytes() == b"[]"


def test_a_file_of_the_hub_is_fetched_under_the_librarys_own_lock(hub: Hub) -> None:
    hub.add("org/name", {"model.safetensors": CONTENT})
    name = hashlib.sha256(b"hf-hub:org/name (model.safetensors)").hexdigest()[:32]
    folder = own_cache() / "locks"
    folder.mkdir(parents=True)
    with (
        FileLock(folder / f"{name}.lock"),
        pytest.raises(UnreachableError, match=r"was not there after 0.3 seconds: another process has been fetching it"),
    ):
        fetch(SOURCE, deadline=0.3)
    assert hub.count() == 0


def refuse(*args: object, **kwargs: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_read_only_cache_answers_for_a_branch_that_has_moved(path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = fetch_repo_file("org/name", "config.json").revision
    hub.add("org/name", {"config.json": b"[]"})
    monkeypatch.setattr("os.makedirs", refuse)
    with pytest.raises(CannotStoreError):
        fetch(HubFile(repo="org/name", file="config.json"), refresh=True, deadline=5)
    assert fetch_repo_file("org/name", "config.json", deadline=5).revision == commit
    with pytest.raises(CannotStoreError):
        fetch_repo_file("org/name", "new.json", hub.add("org/name", {"new.json": b"1"}), deadline=5)
    assert find_cached(HubFile(repo="org/name", file="new.json")) is None


def test_a_file_that_the_hub_sent_is_on_the_disk_before_it_is_believed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed, fsync = [], os.fsync

    def note(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    hub.add("org/name", {"model.safetensors": CONTENT})
    assert fetch(SOURCE).path.stat().st_ino in flushed
