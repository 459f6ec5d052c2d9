"""Several processes that fetch, one that is killed, one that may not write, one that is interrupted."""

import _thread
import multiprocessing
import resource
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from loopback import point_at
from remotes import Remote

from resnetlib.config import HubFile, UrlFile
from resnetlib.weights.fetch import fetch, find_cached
from resnetlib.weights.fetch.errors import CannotStoreError, UnreachableError

PROCESSES = 8


@pytest.fixture(scope="module")
def context() -> multiprocessing.context.BaseContext:
    """Processes that start fast: what is slow to import is imported once, before they fork."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["resnetlib.weights.fetch", "huggingface_hub.file_download", "loopback"])
    return context


def fetch_in_child(url: str, folder: Path, source: HubFile | UrlFile, largest: int, answers: Connection) -> None:
    """Fetch, with a limit to the size of files, and say how it went."""
    with pytest.MonkeyPatch.context() as patch:
        point_at(url, folder, patch)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
        try:
            answers.send(fetch(source, deadline=60))
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
    """Return how a process's fetch went."""
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


def test_threads_that_fetch_one_file_download_it_once(remote: Remote) -> None:
    remote.hub.fail("slow-start", method="GET")
    with ThreadPoolExecutor(PROCESSES) as pool:
        answers = list(pool.map(fetch, [remote.source] * PROCESSES))
    assert remote.hub.count("GET", remote.part) == 1
    assert len(set(answers)) == 1


def begun(remote: Remote) -> list[Path]:
    """Return the files that are being written."""
    return [path for path in remote.folder.rglob("*") if path.suffix in (".partial", ".incomplete")]


def test_what_a_killed_process_leaves_is_not_taken_for_whole(remote: Remote, context: multiprocessing.context.BaseContext) -> None:
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
    assert fetch(remote.source, deadline=20).path.read_bytes() == remote.content


def test_a_disk_that_takes_no_more_says_so_and_keeps_nothing(remote: Remote, context: multiprocessing.context.BaseContext) -> None:
    error = finish(*start(context, remote, largest=50_000))
    assert isinstance(error, CannotStoreError)
    assert "File too large. Make room there" in str(error)
    assert f"let {remote.variable} name another folder" in str(error)
    assert remote.left() == []


def test_a_process_that_waits_for_another_has_an_end_too(remote: Remote) -> None:
    remote.hub.fail("stall", method="GET")
    first = threading.Thread(target=pytest.raises, args=(UnreachableError, fetch, remote.source), kwargs={"deadline": 1})
    first.start()
    while not remote.hub.count("GET", remote.part):
        time.sleep(0.01)
    with pytest.raises(UnreachableError, match=r"was not there after 0.3 seconds: another process has been fetching it"):
        fetch(remote.source, deadline=0.3)
    first.join()


@pytest.fixture
def _keyboard() -> Iterator[None]:
    """Hear interrupts, also where the tests run in the background, which ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_keyboard")
def test_an_interrupt_from_the_keyboard_is_heard(remote: Remote) -> None:
    remote.hub.fail("hang")
    begin = time.monotonic()
    threading.Timer(0.3, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        fetch(remote.source, deadline=30)
    assert time.monotonic() - begin < 5


def test_a_cache_that_cannot_be_written_is_read(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch(remote.source).path
    requests = remote.hub.count()

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(30, "Read-only file system")

    for name in ("mkdir", "replace", "unlink", "touch"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr("os.mkdir", refuse)
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    monkeypatch.setenv("RESNETLIB_CACHE", str(remote.folder / "another"))
    assert fetch(remote.source).path == path
    assert remote.hub.count() == requests
    with path.open("r+b") as file:
        file.write(bytes([remote.content[0] ^ 1]))
    with pytest.raises(
        CannotStoreError, match=rf"Read-only file system. Make room there, or let {remote.variable} name another folder"
    ):
        fetch(remote.source)
