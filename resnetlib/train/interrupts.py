"""Stop a training on Ctrl-C at any moment, even where Python would discard the exception."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from weakref import WeakSet, WeakValueDictionary

_CALLBACKS = {kind.__init__.__code__.co_filename for kind in (WeakSet, WeakValueDictionary)}
"""The files of callbacks of weak references, in which, as in `__del__`, Python discards exceptions."""


class _State(threading.local):  # only the main thread receives signals
    received = False
    deferred = 0


_state = _State()


@contextmanager
def interrupts() -> Iterator[None]:
    """Stop on Ctrl-C at once, or at the next `check_interrupt` if the exception is deferred or would be lost.

    Signals are left alone outside the main thread, and where the caller has its own handler of SIGINT.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    pid = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() != pid:  # a data loader worker that was just forked
            return
        _state.received = True
        while frame is not None:
            if frame.f_code.co_name == "__del__" or frame.f_code.co_filename in _CALLBACKS:
                return
            frame = frame.f_back
        if not _state.deferred:
            raise KeyboardInterrupt

    _state.received = False
    signal.signal(signal.SIGINT, handle)
    try:
        yield
        check_interrupt()
    except Exception as error:
        if _state.received:  # for example a worker that the signal stopped
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _state.received = False


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Defer Ctrl-C to the next `check_interrupt`."""
    _state.deferred += 1
    try:
        yield
    finally:
        _state.deferred -= 1


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was deferred."""
    if _state.received:
        raise KeyboardInterrupt
