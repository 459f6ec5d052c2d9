"""A file is what it should be, whoever changed it: in the cache, on its way, or where it comes from."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import Hub
from remotes import Remote

from resnetlib.config import HubFile, UrlFile
from resnetlib.weights.fetch import check_cached, fetch, fetch_repo_file, find_cached, verified
from resnetlib.weights.fetch.errors import DamagedError, NotThereError

CONTENT = bytes(range(256)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def flip_and_keep_the_time(path: Path) -> None:
    stat = path.stat()
    flip(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def truncate(path: Path) -> None:
    os.truncate(path, 50_000)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def swap(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(os.urandom(path.stat().st_size))
    other.replace(path.resolve())


@pytest.mark.parametrize("damage", [flip, flip_and_keep_the_time, truncate, empty, swap])
def test_a_file_that_is_damaged_in_the_cache_is_fetched_again(remote: Remote, damage: Callable[[Path], None]) -> None:
    path = fetch(remote.source).path
    damage(path)
    assert path.read_bytes() != remote.content
    assert fetch(remote.source).path.read_bytes() == remote.content
    assert remote.hub.count("GET", remote.part) == 2
    assert fetch(remote.source).path.read_bytes() == remote.content
    assert remote.hub.count("GET", remote.part) == 2


def test_a_file_that_is_damaged_and_cannot_be_fetched_again_is_not_used(remote: Remote) -> None:
    path = fetch(remote.source).path
    flip(path)
    remote.hub.fail("404")
    with pytest.raises(NotThereError, match=r"The file that was there is damaged, and has been removed"):
        fetch(remote.source)
    assert not path.exists()
    assert remote.left() == []


def test_a_cached_file_is_checked_without_a_network(remote: Remote) -> None:
    assert check_cached(remote.source) is None
    fetched = fetch(remote.source)
    requests = remote.hub.count()
    assert check_cached(remote.source) == fetched
    flip(fetched.path)
    for _ in range(2):
        with pytest.raises(DamagedError, match=r"is damaged in .*expected"):
            check_cached(remote.source)
    assert fetched.path.exists()
    assert remote.hub.count() == requests


def test_what_is_sent_damaged_once_is_asked_for_again(remote: Remote) -> None:
    remote.hub.fail("flip", method="GET", times=1)
    assert fetch(remote.source).path.read_bytes() == remote.content
    assert remote.hub.count("GET", remote.part) == 2


@pytest.mark.parametrize("fault", ["flip", "truncate"])
def test_what_is_sent_damaged_twice_is_refused_and_not_kept(remote: Remote, fault: str) -> None:
    remote.hub.fail(fault, method="GET")
    with pytest.raises(DamagedError, match=r"downloaded again, and is no better. Tell those who publish it") as caught:
        fetch(remote.source)
    assert isinstance(caught.value, ValueError)
    assert remote.hub.count("GET", remote.part) == 2
    assert find_cached(remote.source) is None
    assert remote.left() == []


def test_what_is_announced_too_large_is_not_downloaded(remote: Remote) -> None:
    remote.hub.fail("huge")
    with pytest.raises(DamagedError, match=r"1125899906842624 bytes, expected at most \d+; nothing of it was kept"):
        fetch(remote.source)
    assert remote.left() == []
    assert remote.kind == "url" or remote.hub.count("GET", remote.part) == 0


def test_a_file_that_torchvision_downloaded_is_found_and_checked(hub: Hub, tmp_path: Path) -> None:
    url = hub.put("weights.pth", CONTENT)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "weights.pth").write_bytes(CONTENT)
    assert fetch(UrlFile(url=url, sha256=SHA256[:8])).path == folder / "weights.pth"
    assert hub.seen == []
    (folder / "weights.pth").write_bytes(CONTENT[:-1])
    assert fetch(UrlFile(url=url, sha256=SHA256[:8])).path.read_bytes() == CONTENT
    assert hub.count() == 1


def test_a_file_that_the_hubs_client_downloaded_is_found_and_checked(hub: Hub) -> None:
    from huggingface_hub import hf_hub_download

    hub.add("org/name", {"model.safetensors": CONTENT})
    path = Path(hf_hub_download("org/name", "model.safetensors", endpoint=hub.url, cache_dir=os.environ["HF_HOME"] + "/hub"))
    requests = hub.count()
    assert fetch(HubFile(repo="org/name")).path == path
    assert hub.count() == requests


def test_a_hash_that_is_known_beforehand_decides(hub: Hub) -> None:
    hub.add("org/name", {"model.safetensors": CONTENT})
    for known in (SHA256[:8], SHA256[:40], SHA256):
        assert fetch(HubFile(repo="org/name", sha256=known)).sha256 == SHA256
    with pytest.raises(DamagedError, match=rf"its SHA-256 is {SHA256}, expected 01234567\."):
        fetch(HubFile(repo="org/name", sha256="01234567"))
    assert hub.count("GET") == 1
    with pytest.raises(DamagedError, match=rf"SHA-256 is {SHA256}, expected 01234567\."):
        fetch(UrlFile(url=hub.put("w.pth", CONTENT), sha256="01234567"))


def test_a_small_file_is_checked_by_the_name_that_git_gives_it(hub: Hub) -> None:
    hub.add("org/name", {"config.json": b'{"a": 1}'})
    path = fetch_repo_file("org/name", "config.json").path
    assert len(path.readlink().name) == 40
    path.write_bytes(b'{"a": 2}')
    assert fetch_repo_file("org/name", "config.json").path.read_bytes() == b'{"a": 1}'


def test_without_symbolic_links_the_hubs_word_counts_too(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    hub.add("org/name", {"model.safetensors": CONTENT})
    source = HubFile(repo="org/name")
    hub.fail("flip", method="GET", times=2)
    with pytest.raises(DamagedError):
        fetch(source)
    path = fetch(source).path
    assert not path.is_symlink()
    assert path.read_bytes() == CONTENT
    flip(path)
    assert fetch(source).path.read_bytes() == CONTENT
    assert hub.count("GET") == 4


def test_contents_that_several_repositories_share_are_checked_by_their_own_name(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/name", {"model.safetensors": CONTENT})
    path = fetch(HubFile(repo="org/name")).path
    blob = path.parent / path.readlink()
    shared = tmp_path / ("0" * 64)  # named by a hash of another kind
    blob.rename(shared)
    blob.symlink_to(shared)
    assert fetch(HubFile(repo="org/name")).path.read_bytes() == CONTENT
    assert hub.count("GET") == 1


def test_an_unchanged_file_is_hashed_once(remote: Remote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hashed = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: hashed.append(file.name) or digest(file, name))
    path = fetch(remote.source).path
    assert len(hashed) == 1
    fetch(remote.source)
    assert len(hashed) == 1
    path.touch()
    fetch(remote.source)
    assert len(hashed) == 2
    (memory,) = (tmp_path / "own" / "hashes").iterdir()
    for damaged in (
        b"",
        b"[]",
        b"null",
        b'{"sha256": 5}',
        memory.read_bytes()[:-5],
        memory.read_bytes().replace(b"st_size", b"size"),
    ):
        memory.write_bytes(damaged)
        before = len(hashed)
        assert fetch(remote.source).path.read_bytes() == remote.content
        assert len(hashed) == before + 1


def test_two_changes_in_one_tick_of_the_clock_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETLIB_CACHE", str(tmp_path / "own"))
    path = tmp_path / "w.pth"
    for content in (b"one", b"two", b"six"):
        path.write_bytes(content)
        assert verified.sha256_of(path) == hashlib.sha256(content).hexdigest()
        assert time.time() - path.stat().st_mtime >= verified.TICK


@pytest.mark.parametrize("own", ["a file", "nowhere"])
def test_without_a_folder_of_its_own_everything_works_more_slowly(
    remote: Remote, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("RESNETLIB_CACHE", str(tmp_path / "a file" if own == "a file" else "/proc/nowhere"))
    assert fetch(remote.source).path.read_bytes() == remote.content
    assert fetch(remote.source).path.read_bytes() == remote.content
    assert remote.hub.count("GET", remote.part) == 1
