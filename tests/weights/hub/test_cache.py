"""The content of a cached file is checked, whatever others did to the cache: damage, links, copies, pipes, wrong hashes."""

import hashlib
import json
import mmap
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from loopback import Hub
from remotes import Remote

from resnetlib import create_model, load_file, save_model
from resnetlib.config import HubFile, UrlFile
from resnetlib.weights import download
from resnetlib.weights.download import cache_dir, check_cached, fetch, fetch_first, find_cached
from resnetlib.weights.errors import DamagedFileError, DownloadError, NotFoundError

CONTENT, OTHER = bytes(range(256)) * 20, bytes(range(255)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SOURCE, COMMIT = HubFile(repo="org/name"), "0" * 40

pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")


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


def replace_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_contents_by_a_pipe(path: Path) -> None:
    replace_by_a_pipe(path.resolve())


DAMAGES = [flip, flip_and_keep_the_time, truncate, empty, swap]
PIPES = [pytest.param(damage, marks=pipes) for damage in (replace_by_a_pipe, replace_contents_by_a_pipe)]


@pytest.mark.parametrize("damage", [*DAMAGES, *PIPES])
def test_a_file_that_is_damaged_in_the_cache_is_downloaded_again(remote: Remote, damage: Callable[[Path], None]) -> None:
    path = fetch(remote.source).path
    damage(path)
    assert not path.is_file() or path.read_bytes() != remote.content
    for _ in range(2):
        assert fetch(remote.source).path.read_bytes() == remote.content
    assert remote.hub.count("GET", remote.part) == (1 if damage is replace_by_a_pipe and remote.kind == "hub" else 2)


@pytest.mark.parametrize("refresh", [False, True])
def test_a_damaged_file_that_cannot_be_downloaded_again_is_not_used(remote: Remote, refresh: bool) -> None:
    path = fetch(remote.source).path
    flip(path)
    remote.hub.fail("404")
    with pytest.raises((NotFoundError, DownloadError), match=r"404.* The file in the cache was damaged, and has been deleted"):
        fetch(remote.source, refresh=refresh)
    assert not path.exists()
    assert remote.left() == []


def test_a_cached_file_is_checked_without_a_request(remote: Remote) -> None:
    assert check_cached(remote.source) is None
    fetched = fetch(remote.source)
    requests = remote.hub.count()
    assert check_cached(remote.source) == fetched
    flip(fetched.path)
    for _ in range(2):
        with pytest.raises(DamagedFileError, match=r"is damaged in .*expected"):
            check_cached(remote.source)
    assert fetched.path.exists()
    assert remote.hub.count() == requests


def test_a_download_that_is_damaged_once_is_repeated(remote: Remote) -> None:
    remote.hub.fail("flip", method="GET", times=1)
    assert fetch(remote.source).path.read_bytes() == remote.content
    assert remote.hub.count("GET", remote.part) == 2


def test_a_hash_that_is_known_beforehand_decides(hub: Hub) -> None:
    hub.add("org/name", {"model.safetensors": CONTENT})
    for known in (SHA256[:8], SHA256[:40], SHA256):
        assert fetch(HubFile(repo="org/name", sha256=known)).sha256 == SHA256
    path, gets = fetch(SOURCE).path, hub.count("GET")
    said = rf"^{path} is not the expected file hf-hub:org/name \(model.safetensors\): its SHA-256 is {SHA256}, expected 01234567\.$"
    for check in (fetch, check_cached):
        with pytest.raises(DamagedFileError, match=said):
            check(HubFile(repo="org/name", sha256="01234567"))
    assert path.read_bytes() == CONTENT, "a wrong hash does not cost others their file"
    assert hub.count("GET") == gets
    new = hub.add("org/name", {"model.safetensors": OTHER})
    assert fetch(HubFile(repo="org/name", sha256=hashlib.sha256(OTHER).hexdigest()[:8])).revision == new
    assert path.read_bytes() == CONTENT
    with pytest.raises(DamagedFileError, match=rf"SHA-256 is {SHA256}, expected 01234567\."):
        fetch(UrlFile(url=hub.put("w.pth", CONTENT), sha256="01234567"))


def test_a_small_file_is_checked_by_gits_hash(hub: Hub) -> None:
    source = HubFile(repo="org/name", file="config.json")
    hub.add("org/name", {"config.json": b'{"a": 1}'})
    path = fetch(source).path
    assert len(path.readlink().name) == 40
    path.write_bytes(b'{"a": 2}')
    assert fetch(source).path.read_bytes() == b'{"a": 1}'
    with pytest.raises(
        DamagedFileError, match=rf"^{path} is not the expected file hf-hub:org/name \(config.json\): .* expected 01234567\.$"
    ):
        fetch(HubFile(repo="org/name", file="config.json", sha256="01234567"))
    assert path.read_bytes() == b'{"a": 1}'


def test_without_symbolic_links_the_hubs_hash_counts_too(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    hub.add("org/name", {"model.safetensors": CONTENT})
    hub.fail("flip", method="GET", times=2)
    with pytest.raises(DamagedFileError):
        fetch(SOURCE)
    path = fetch(SOURCE).path
    assert not path.is_symlink()
    assert path.read_bytes() == CONTENT
    flip(path)
    assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert hub.count("GET") == 4


@pytest.fixture
def path(hub: Hub) -> Path:
    """A file in the cache."""
    hub.add("org/name", {"config.json": b"{}", "model.safetensors": CONTENT, "other.safetensors": OTHER})
    return fetch(SOURCE).path


def forget(folder: Path) -> None:
    """Remove the library's own notes, as if another program had filled the cache."""
    shutil.rmtree(folder / "own")


def test_a_blob_that_is_a_link_is_checked_by_its_own_name(path: Path, hub: Hub, tmp_path: Path) -> None:
    blob = path.parent / path.readlink()
    shared = tmp_path / ("0" * 64)  # a store that several repositories share, with hashes of another kind
    blob.rename(shared)
    blob.symlink_to(shared)
    assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert hub.count("GET") == 1


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize("pin", [None, SHA256])
def test_a_link_out_of_the_cache_is_replaced_and_its_file_stays(path: Path, tmp_path: Path, noted: bool, pin: str | None) -> None:
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(OTHER)
    path.unlink()
    path.symlink_to(mine)
    if not noted:
        forget(tmp_path)
    assert fetch(HubFile(repo="org/name", sha256=pin)).path.read_bytes() == CONTENT
    assert mine.read_bytes() == OTHER


def test_a_link_to_another_blob_is_replaced_and_the_blob_stays(path: Path) -> None:
    other = fetch(HubFile(repo="org/name", file="other.safetensors")).path
    target = other.readlink()
    path.unlink()
    path.symlink_to(target)
    assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert other.read_bytes() == OTHER


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


def test_a_copied_cache_is_checked_by_its_blobs(path: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def make_unknown(path: Path, folder: Path) -> None:
    """Leave the file alone in the cache, as the client does where there are no links, and forget its hash."""
    contents = path.resolve()
    path.unlink()
    contents.rename(path)
    forget(folder)


def test_the_hub_tells_the_hash_of_a_file_that_is_not_known(path: Path, hub: Hub, tmp_path: Path) -> None:
    make_unknown(path, tmp_path)
    with pytest.raises(DamagedFileError, match=r"cannot be verified in .*no hash of it is known"):
        check_cached(SOURCE)
    gets, heads = hub.count("GET"), hub.count("HEAD")
    for _ in range(2):
        assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert (hub.count("GET"), hub.count("HEAD")) == (gets, heads + 1), "it is asked once, and nothing is downloaded"
    assert check_cached(SOURCE) == fetch(SOURCE)


@pytest.mark.parametrize("way", ["offline", "down"])
def test_a_file_that_is_not_known_is_accepted_where_the_hub_cannot_be_asked(
    path: Path, hub: Hub, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_unknown(path, tmp_path)
    hub.fail("503")
    if way == "offline":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(SOURCE).sha256 == SHA256
    path.write_bytes(OTHER)
    with pytest.raises(DamagedFileError, match=rf"expected {SHA256}"):
        check_cached(HubFile(repo="org/name", sha256=SHA256))


def test_a_file_that_vanishes_while_it_is_read_is_downloaded_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256_of, gone = download._sha256, []

    def vanish(path: Path) -> tuple[str, list[int] | None]:
        if not gone:
            gone.append(path.resolve().unlink())
        return sha256_of(path)

    monkeypatch.setattr(download, "_sha256", vanish)
    path.touch()
    assert fetch(SOURCE).path.read_bytes() == CONTENT
    assert len(gone) == 1
    gone.clear()
    with pytest.raises(DamagedFileError, match=r"was deleted from .* while it was read. Try again"):
        check_cached(SOURCE)


def test_a_file_that_cannot_be_read_says_so(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch(remote.source).path
    other = UrlFile(url=remote.hub.put("spare.pth", b"spare"), sha256=hashlib.sha256(b"spare").hexdigest())
    open_file = download.open_file

    def guarded(wanted: Path) -> object:
        if wanted == path:
            raise PermissionError(13, "Permission denied", str(wanted))
        return open_file(wanted)

    monkeypatch.setattr(download, "open_file", guarded)
    path.touch()  # so that it is not remembered
    with pytest.raises(DownloadError, match=rf"Cannot read {path}: Permission denied. Make it readable, or set {remote.variable}"):
        fetch(remote.source)
    assert fetch_first([remote.source, other]).source == other


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were hashed."""
    hashed: list[str] = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: hashed.append(file.name) or digest(file, name))
    return hashed


def test_an_unchanged_file_is_not_hashed_again(remote: Remote, hashed: list[str], tmp_path: Path) -> None:
    fetched = fetch(remote.source)
    hashed.clear()
    assert fetch(remote.source) == fetched
    assert hashed == []
    for times in (1, 2):
        assert check_cached(remote.source) == fetched, "it is read all the same"
        assert len(hashed) == times
    fetched.path.touch()
    fetch(remote.source)
    assert len(hashed) == 3
    (note,) = (tmp_path / "own" / "checked").iterdir()
    good = note.read_bytes()
    for damaged in (b"", b"[]", b"null", b'{"sha256": 5}', good[:-5], good.replace(b"identity", b"id"), b"[" * 9000):
        note.write_bytes(damaged)
        before = len(hashed)
        assert fetch(remote.source).path.read_bytes() == remote.content
        assert len(hashed) == before + 1


@pytest.mark.parametrize("changed", range(5))
def test_a_file_with_another_size_time_or_inode_is_hashed_again(path: Path, changed: int, tmp_path: Path) -> None:
    fetched = fetch(SOURCE)
    (place,) = (tmp_path / "own" / "checked").iterdir()
    note = json.loads(place.read_bytes())
    place.write_text(json.dumps({**note, "sha256": "0" * 64}))
    assert fetch(SOURCE).sha256 == "0" * 64, "the note is believed"
    note["identity"][changed] += 1
    place.write_text(json.dumps({**note, "sha256": "0" * 64}))
    assert fetch(SOURCE) == fetched


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache has a copy of a file, whose content the source alone tells."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("RESNETLIB_CACHE", str(tmp_path / "own"))
    path = tmp_path / "hub" / "models--org--name" / "snapshots" / COMMIT / "model.safetensors"
    path.parent.mkdir(parents=True)
    return path


def pinned(content: bytes) -> HubFile:
    return HubFile(repo="org/name", revision=COMMIT, sha256=hashlib.sha256(content).hexdigest())


def test_a_file_that_changes_while_it_is_read_is_not_remembered(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone.write_bytes(CONTENT)
    digest = hashlib.file_digest

    def change(file: BinaryIO, name: str) -> object:
        found = digest(file, name)  # type: ignore[arg-type]
        alone.write_bytes(CONTENT + b"more")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", change)
        check_cached(pinned(CONTENT))
    with pytest.raises(DamagedFileError):
        check_cached(pinned(CONTENT))
    assert not cache_dir().exists()


def test_two_changes_in_one_tick_of_the_clock_are_told_apart(alone: Path) -> None:
    for content in (b"one", b"two", b"six"):
        alone.write_bytes(content)
        assert fetch(pinned(content)).path == alone
        assert time.time() - alone.stat().st_mtime >= download.CLOCK_TICK


def test_a_write_through_a_shared_mapping_is_noticed(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "CLOCK_TICK", 0.02)
    alone.write_bytes(bytes(10_000))
    with alone.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    mapped[0] = 1
    os.sync()
    before = alone.stat().st_mtime_ns
    mapped[0] = 2
    if alone.stat().st_mtime_ns == before:
        pytest.skip("this file system does not tell of writes through a mapping")
    for value in (3, 4, 5):
        mapped[0] = value
        content = alone.read_bytes()
        assert fetch(pinned(content)).sha256 == hashlib.sha256(content).hexdigest()
    mapped.close()


@pipes
def test_a_pipe_or_a_device_is_not_read(alone: Path) -> None:
    alone.symlink_to("/dev/zero")
    assert find_cached(pinned(b"")) is None
    for read in (download._sha256, download._git_sha1):
        with pytest.raises(ValueError, match=r"is a pipe, a socket or a device, expected a regular file"):
            read(alone)


@pipes
def test_pipes_among_the_notes_cost_time_alone(remote: Remote, tmp_path: Path) -> None:
    fetch(remote.source)
    for note in (tmp_path / "own").rglob("*.*"):
        replace_by_a_pipe(note)
    assert fetch(remote.source).path.read_bytes() == remote.content
    assert remote.hub.count("GET", remote.part) == 1


@pytest.mark.parametrize("own", ["a file", "nowhere", "homeless"])
def test_without_a_folder_for_notes_everything_works(
    remote: Remote, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    (tmp_path / "a file").touch()
    if own == "homeless":
        monkeypatch.delenv("RESNETLIB_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", homeless)
        assert cache_dir() == Path(os.devnull) / "resnetlib"
    else:
        monkeypatch.setenv("RESNETLIB_CACHE", str(tmp_path / "a file" if own == "a file" else "/proc/nowhere"))
    for _ in range(2):
        assert fetch(remote.source).path.read_bytes() == remote.content
    assert remote.hub.count("GET", remote.part) == 1


def test_training_does_not_change_the_file_that_a_network_was_mapped_from(hub: Hub, tmp_path: Path) -> None:
    save_model(create_model("cifar_resnet20"), tmp_path / "made")
    files = {name: (tmp_path / "made" / name).read_bytes() for name in ("config.json", "model.safetensors")}
    hub.add("org/name", files)
    net = create_model("hf-hub:org/name", mmap=True)
    maps = Path("/proc/self/maps")
    assert not maps.exists() or f"{tmp_path}/hf/hub" in maps.read_text()
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.add_(1)
    net.train()(torch.randn(2, 3, 32, 32)).sum().backward()
    torch.optim.SGD(net.parameters(), lr=1.0).step()
    path = fetch(SOURCE).path
    assert path.read_bytes() == files["model.safetensors"]
    assert check_cached(SOURCE) == fetch(SOURCE)
    again = load_file(path.parent, mmap=True)
    assert not torch.equal(next(again.parameters()), next(net.parameters()))
