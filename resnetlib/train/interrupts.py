"""Ctrl-C ends a training wherever it strikes, also where Python swallows what is raised."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class _Here(threading.local):
    """What a thread has seen: only the main one sees signals."""

    came = False
    holding = 0


_here = _Here()


@contextmanager
def heeding() -> Iterator[None]:
    """Raise KeyboardInterrupt for Ctrl-C at once; where it would be lost, in `__del__`, at the next `check`.

    In a thread that is not the main one, and where the caller handles SIGINT, signals are left alone.

    Yields:
        nothing.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    ours = os.getpid()

    def strike(number: int, frame: FrameType | None) -> None:
        if os.getpid() != ours:  # a reader, just forked
            return
        _here.came = True
        while frame is not None:
            if frame.f_code.co_name == "__del__":
                return
            frame = frame.f_back
        if not _here.holding:
            raise KeyboardInterrupt

    _here.came = False
    signal.signal(signal.SIGINT, strike)
    try:
        yield
        check()
    except Exception as error:
        if _here.came:  # such as of a reader that the signal ended
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _here.came = False


@contextmanager
def held() -> Iterator[None]:
    """Put Ctrl-C off to the next `check`.

    Yields:
        nothing.
    """
    _here.holding += 1
    try:
        yield
    finally:
        _here.holding -= 1


def check() -> None:
    """Raise KeyboardInterrupt if one was put off."""
    if _here.came:
        raise KeyboardInterrupt
