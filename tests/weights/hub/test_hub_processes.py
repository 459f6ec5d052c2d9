"""Several processes that fetch, one that is killed, one that is interrupted, one that may use no network."""

import hashlib
import multiprocessing
import os
import random
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from loopback import Hub, point_at
from remotes import Remote

from resnetlib.config import HubFile, UrlFile
from resnetlib.weights.download import fetch, find_cached
from resnetlib.weights.errors import DownloadError

PROCESSES = 8


@pytest.fixture(scope="module")
def context() -> multiprocessing.context.BaseContext:
    """Processes that start fast: slow modules are imported once, before they fork."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["resnetlib.weights.download", "huggingface_hub.file_download", "loopback"])
    return context


def fetch_in_child(url: str, folder: Path, source: HubFile | UrlFile, largest: int, answers: Connection) -> None:
    """Fetch, with a limit to the size of files, and tell the result."""
    with pytest.MonkeyPatch.context() as patch:
        point_at(url, folder, patch)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
        try:
            answers.send(fetch(source))
        except Exception as error:  # noqa: BLE001 - the parent looks at it
            answers.send(error)


def start(
    context: multiprocessing.context.BaseContext, remote: Remote, largest: int = -1
) -> tuple[multiprocessing.Process, Connection]:
    """Start a process that fetches."""
    answers, end = context.Pipe(duplex=False)
    child = context.Process(target=fetch_in_child, args=(remote.hub.url, remote.folder, remote.source, largest, end))  # type: ignore[attr-defined]
    child.start()
    end.close()
    return child, answers


def finish(child: multiprocessing.Process, answers: Connection) -> object:
    """Return the result of a process."""
    assert answers.poll(60)
    answer = answers.recv()
    child.join(20)
    answers.close()
    child.close()
    return answer


def test_processes_that_fetch_one_file_download_it_once(remote: Remote, context: multiprocessing.context.BaseContext) -> None:
    remote.hub.fail("slow-start", method="GET")
    children = [start(context, remote) for _ in range(PROCESSES)]
    answers = [finish(*child) for child in children]
    assert remote.hub.count("GET", remote.part) == 1
    assert answers == [fetch(remote.source)] * PROCESSES
    assert answers[0].path.read_bytes() == remote.content  # type: ignore[attr-defined]


@pytest.mark.parametrize("damaged", [False, True])
def test_threads_that_fetch_one_file_download_it_once(remote: Remote, damaged: bool) -> None:
    if damaged:
        fetch(remote.source).path.write_bytes(b"damaged")
    with ThreadPoolExecutor(PROCESSES) as pool:
        answers = list(pool.map(fetch, [remote.source] * PROCESSES))
    assert remote.hub.count("GET", remote.part) == 1 + damaged
    assert len(set(answers)) == 1


def begun(remote: Remote) -> list[Path]:
    """Return the files that are being written."""
    return [path for path in remote.folder.rglob("*") if path.suffix in (".partial", ".incomplete")]


def test_a_download_of_a_killed_process_is_not_used(remote: Remote, context: multiprocessing.context.BaseContext) -> None:
    remote.hub.fail("stall", method="GET", times=1)
    child, answers = start(context, remote)
    end = time.monotonic() + 30
    while not (remote.hub.count("GET", remote.part) and begun(remote)) and time.monotonic() < end:
        time.sleep(0.01)
    child.kill()
    child.join()
    child.close()
    answers.close()
    assert [path.stat().st_size < len(remote.content) for path in begun(remote)] == [True]
    assert find_cached(remote.source) is None
    assert fetch(remote.source).path.read_bytes() == remote.content
    assert remote.kind == "hub" or begun(remote) == [], "the client leaves its temporary files"


def test_a_disk_that_takes_no_more_says_so_and_keeps_nothing(remote: Remote, context: multiprocessing.context.BaseContext) -> None:
    error = finish(*start(context, remote, largest=50_000))
    assert isinstance(error, DownloadError)
    assert "File too large. Make room there" in str(error)
    assert f"set {remote.variable} to another folder" in str(error)
    assert remote.left() == []


@pytest.fixture
def _keyboard() -> Iterator[None]:
    """Hear interrupts, also where the tests run in the background, which ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_keyboard")
def test_an_interrupt_from_the_keyboard_is_heard(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", 20)
    remote.hub.fail("hang")
    begin = time.monotonic()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        fetch(remote.source)
    assert time.monotonic() - begin < 5
    assert begun(remote) == []


def fetch_offline(url: str, folder: Path, sha256: str, answers: Connection) -> None:
    """Fetch offline, and tell the errors and the events of sockets, with one that is opened on purpose at the end."""
    events: list[str] = []
    said = []
    sys.addaudithook(lambda event, args: events.append(event) if event.startswith("socket.") else None)
    with pytest.MonkeyPatch.context() as patch:
        point_at(url, folder, patch)
        patch.setenv("HF_HUB_OFFLINE", "1")
        fetch(HubFile(repo="org/name"))
        fetch(UrlFile(url=f"{url}/files/weights.pth", sha256=sha256))
        missing = UrlFile(url=f"{url}/files/other.pth", sha256=sha256)
        for source in (HubFile(repo="org/other"), missing, HubFile(repo="org/name", file="other.json")):
            try:
                fetch(source, refresh=True)
            except DownloadError as error:
                said.append(str(error))
    before = list(events)
    socket.socket().close()
    answers.send((said, before, events))


def test_an_offline_process_opens_no_socket_at_all(hub: Hub, tmp_path: Path, context: multiprocessing.context.BaseContext) -> None:
    content = random.Random(0).randbytes(5000)
    hub.add("org/name", {"model.safetensors": content})
    url = UrlFile(url=hub.put("weights.pth", content), sha256=hashlib.sha256(content).hexdigest())
    fetch(url)
    fetch(HubFile(repo="org/name"))
    requests = hub.count()
    answers, end = context.Pipe(duplex=False)
    child = context.Process(target=fetch_offline, args=(hub.url, tmp_path, url.sha256, end))  # type: ignore[attr-defined]
    child.start()
    end.close()
    said, before, events = finish(child, answers)  # type: ignore[misc]
    assert [line.split(" is not in the cache")[0] for line in said] == [
        "hf-hub:org/other (model.safetensors)",
        f"{hub.url}/files/other.pth",
        "hf-hub:org/name (other.json)",
    ]
    assert before == []
    assert events != [], "the hook sees sockets"
    assert hub.count() == requests
