"""Processes that run a function, and can be killed.

The tests' own process cannot be forked: after a backward pass, autograd does not work in its children. A server that has imported
everything, and run nothing, forks them.
"""

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["torchvision.transforms.v2", "matplotlib.figure", "PIL.Image", "pytest", "resnetlib.train", "resnetlib.finetuning.finetune"]
)


def _run(function: Callable[[], object], output: Path) -> None:
    os.setsid()
    multiprocessing.set_start_method("fork", force=True)  # as in a process that a shell starts
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.stdout = sys.stderr = os.fdopen(file, "w", buffering=1)
    status = 1
    try:
        function()
        status = 0
    except BaseException:  # noqa: BLE001 - printed where the tests look
        traceback.print_exc()
    finally:
        os._exit(status)


class Fork:
    """A process in a group of its own that runs a function of a module, or a `partial` of one. Its output is in a file."""

    def __init__(self, function: Callable[[], object], output: Path) -> None:
        self.output = output
        self._process = _CONTEXT.Process(target=_run, args=(function, output))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit status, the negative signal that killed it, or None."""
        return self._process.exitcode

    def wait(self, seconds: float = 300) -> int:
        """Wait for its end, and return the exit status."""
        self._process.join(seconds)
        status = self._process.exitcode
        assert status is not None, self.output.read_text()
        return status

    def members(self) -> list[int]:
        """Return the living processes of its group."""
        return members(self.pid)

    def end(self) -> None:
        """Kill its group."""
        kill([self.pid, *self.members()] if self.poll() is None else self.members())
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
