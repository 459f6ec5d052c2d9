"""Processes that are forked from this one: they begin at once, since everything is imported, and can be killed."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import torch


class Fork:
    """A process in a group of its own that runs a function. Its output is in a file.

    Args:
        function: what it runs.
        output: the file.
    """

    def __init__(self, function: Callable[[], object], output: Path) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.output, self._status = output, None
        self.pid = os.fork()
        if self.pid == 0:
            self._run(function)

    def _run(self, function: Callable[[], object]) -> NoReturn:
        status = 1
        try:
            os.setsid()
            torch.set_num_threads(1)  # the pool of threads is not forked
            signal.signal(signal.SIGINT, signal.default_int_handler)
            file = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            sys.stdout = sys.stderr = os.fdopen(file, "w", buffering=1)
            function()
            status = 0
        except BaseException:  # noqa: BLE001 - this process must not return into the tests
            traceback.print_exc()
        finally:
            os._exit(status)

    def poll(self) -> int | None:
        """Return the exit status, the negative signal that killed it, or None."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def wait(self, seconds: float = 300) -> int:
        """Wait for its end, and return the exit status."""
        assert wait_for(lambda: self.poll() is not None, seconds), self.output.read_text()
        assert self._status is not None
        return self._status

    def members(self) -> list[int]:
        """Return the living processes of its group."""
        return members(self.pid)

    def end(self) -> None:
        """Kill its group."""
        kill(self.members())
        self.wait()


def run(function: Callable[[], object], output: Path) -> int:
    """Run a function in another process, and return its exit status."""
    fork = Fork(function, output)
    try:
        return fork.wait()
    finally:
        fork.end()


def wait_for(what: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is true, and return whether it was."""
    end = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def kill(pids: list[int]) -> None:
    """Kill processes; some may have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def members(group: int) -> list[int]:
    """Return the living processes of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found
