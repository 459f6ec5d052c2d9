"""An end to waiting: a time by which work on the network is done or given up, whatever the server does."""

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

from resnetlib.weights.fetch.errors import UnreachableError

Result = TypeVar("Result")

TRIES = 3
"""How often a server is asked that does not answer."""


class Deadline:
    """A time by which something must be done.

    Args:
        seconds: from now on.
        what: shall be done by then, for the error.

    Raises:
        ValueError: for seconds that are not above 0.

    Example:
        >>> deadline = Deadline(60, "the lesson")
        >>> 59 < deadline.left <= 60
        True
        >>> deadline.run(lambda: 6 * 7)
        42
    """

    def __init__(self, seconds: float, what: str) -> None:
        if not seconds > 0:
            raise ValueError(f"a deadline must be above 0 seconds, got {seconds!r}")
        self.seconds = seconds
        self.what = what
        self._end = time.monotonic() + seconds
        self._stopped = Event()

    @property
    def left(self) -> float:
        """Seconds that are left; 0 when there are none, or when nobody waits any more."""
        return 0.0 if self._stopped.is_set() else max(0.0, self._end - time.monotonic())

    @property
    def timeout(self) -> float:
        """Seconds to wait for one answer, so that there is time to ask again: 10, or less where little is left."""
        return max(0.05, min(10.0, self.seconds / (2 * TRIES), self.left))

    def check(self) -> None:
        """Raise UnreachableError if no time is left."""
        if not self.left:
            raise self.passed()

    def passed(self) -> UnreachableError:
        """Return the error that says that the time is over."""
        return UnreachableError(
            f"{self.what} was not there after {self.seconds:g} seconds. Try again, or allow for more time with a longer deadline."
        )

    def pause(self, attempt: int) -> None:
        """Wait before another attempt: 1 second, 2, 4 ..., or less where little time is left."""
        self._stopped.wait(min(2.0**attempt, self.seconds / 20, self.left))
        self.check()

    def run(self, work: Callable[[], Result]) -> Result:
        """Do work in a thread of its own, and stop waiting for it when the time is over.

        Work that is given up is told so by `check`; where it cannot listen, it is left behind, and ends with the process.

        Args:
            work: what to do.

        Returns:
            What it returns.

        Raises:
            UnreachableError: when the time is over.
        """
        outcome: SimpleQueue[tuple[Result, None] | tuple[None, BaseException]] = SimpleQueue()

        def target() -> None:
            try:
                outcome.put((work(), None))
            except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
                outcome.put((None, error))

        Thread(target=target, name=f"fetch {self.what}", daemon=True).start()
        try:
            result, error = self._wait(outcome)
        except BaseException:
            self._stopped.set()
            raise
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def _wait(
        self, outcome: SimpleQueue[tuple[Result, None] | tuple[None, BaseException]]
    ) -> tuple[Result, None] | tuple[None, BaseException]:
        """Wait in small steps, so that Ctrl-C is heard on every system."""
        while self.left:
            try:
                return outcome.get(timeout=min(0.2, self.left))
            except Empty:
                continue
        raise self.passed()
