"""What lies in a cache that is no file, what killed processes left, and what is written through a mapping."""

import hashlib
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from loopback import Hub
from remotes import Remote

from resnetlib import create_model, load_file, save_model
from resnetlib.config import HubFile, UrlFile
from resnetlib.weights.fetch import check_cached, fetch, verified

pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESNETLIB_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(verified, "TICK", 0.02)
    return tmp_path


def replace_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pipes
@pytest.mark.parametrize("where", ["file", "contents"])
def test_a_pipe_in_a_cache_is_replaced_by_the_file(remote: Remote, where: str) -> None:
    path = fetch(remote.source).path
    replace_by_a_pipe(path if where == "file" else path.resolve())
    assert check_cached(remote.source) is None
    assert fetch(remote.source, deadline=20).path.read_bytes() == remote.content


@pipes
def test_a_pipe_or_a_device_is_not_hashed(alone: Path) -> None:
    os.mkfifo(alone / "pipe")
    (alone / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        for hashed in (verified.sha256_of, verified.git_sha1_of):
            with pytest.raises(ValueError, match=r"is a pipe, a socket or a device, expected a regular file"):
                hashed(alone / name)


@pipes
def test_pipes_among_this_librarys_notes_cost_time_alone(remote: Remote, tmp_path: Path) -> None:
    fetch(remote.source)
    for note in (tmp_path / "own").rglob("*.*"):
        replace_by_a_pipe(note)
    assert fetch(remote.source, deadline=20).path.read_bytes() == remote.content
    assert remote.hub.count("GET", remote.part) == 1


def write_through(path: Path, value: int) -> mmap.mmap:
    with path.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    mapped[0] = value
    return mapped


def test_what_is_written_through_a_shared_mapping_is_noticed(alone: Path) -> None:
    path = alone / "w.pth"
    path.write_bytes(bytes(10_000))
    mapped = write_through(path, 1)
    os.sync()
    before = path.stat().st_mtime_ns
    mapped[0] = 2
    if path.stat().st_mtime_ns == before:
        pytest.skip("this file system does not tell of what is written through a mapping")
    for value in (3, 4, 5):
        mapped[0] = value
        assert verified.sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    mapped.close()


@pytest.mark.parametrize("family", ["cifar_resnet20", "cifar_plain20", "cifar_preact_resnet20", "cifar_densenet40_k12"])
def test_a_network_that_is_trained_does_not_change_the_file_that_it_was_mapped_from(hub: Hub, tmp_path: Path, family: str) -> None:
    save_model(create_model(family), tmp_path / "made")
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
    path = fetch(HubFile(repo="org/name")).path
    assert path.read_bytes() == files["model.safetensors"]
    assert verified.sha256_of(path, fresh=True) == hashlib.sha256(files["model.safetensors"]).hexdigest()
    again = load_file(path.parent, mmap=True)
    assert not torch.equal(next(again.parameters()), next(net.parameters()))


def leave(folder: Path, what: str) -> subprocess.Popen[bytes]:
    """Start a process that downloads, and wait until it has begun."""
    code = f"from resnetlib.weights.fetch import fetch; from resnetlib.config import HubFile, UrlFile; fetch({what})"
    process = subprocess.Popen([sys.executable, "-c", code])  # noqa: S603
    while not begun(folder):
        assert process.poll() is None
    return process


def begun(folder: Path) -> list[Path]:
    return [*folder.rglob("*.partial"), *folder.rglob("*.incomplete")]


def test_what_a_killed_process_left_is_gone_after_the_next_call(remote: Remote, tmp_path: Path) -> None:
    remote.hub.fail("stall", method="GET", times=1)
    process = leave(tmp_path, repr(remote.source))
    process.kill()
    process.wait()
    assert begun(tmp_path)
    assert fetch(remote.source, deadline=20).path.read_bytes() == remote.content
    assert begun(tmp_path) == []


def test_what_another_process_is_writing_stays(hub: Hub, tmp_path: Path) -> None:
    content = bytes(10_000)
    source = UrlFile(url=hub.put("w.pth", content), sha256=hashlib.sha256(content).hexdigest())
    hub.fail("stall", method="GET", times=1)
    process = leave(tmp_path, repr(source))
    try:
        while not hub.count("GET", "w.pth"):  # by then it has locked its file
            assert process.poll() is None
        (tmp_path / "own").rename(tmp_path / "its own")  # where it holds its lock
        assert fetch(source, deadline=20).path.read_bytes() == content
        assert len(begun(tmp_path)) == 1
    finally:
        process.kill()
        process.wait()


def test_what_the_hubs_client_is_writing_in_another_process_stays(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/name", {"model.safetensors": b"one"})
    blobs = fetch(HubFile(repo="org/name")).path.resolve().parent
    name = hashlib.sha256(b"two").hexdigest()
    left = [blobs / f"{digit * 64}.01234567.incomplete" for digit in "ab"] + [blobs / f"{name}.01234567.incomplete"]
    for path in left:
        path.touch()
    hub.add("org/name", {"model.safetensors": b"two"})
    with FileLock(tmp_path / "hf" / "hub" / ".locks" / blobs.parent.name / f"{'b' * 64}.lock"):
        assert fetch(HubFile(repo="org/name"), refresh=True).path.read_bytes() == b"two"
    assert begun(tmp_path) == [left[1]]
