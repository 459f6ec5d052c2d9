"""One process at a time fetches a file; the others wait and find it there."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from resnetlib.weights.fetch.deadline import Deadline
from resnetlib.weights.fetch.errors import UnreachableError
from resnetlib.weights.fetch.verified import own_cache


@contextmanager
def locked(what: str, deadline: Deadline) -> Iterator[None]:
    """Hold the lock of something that must be done once.

    Where nothing can be locked, because the folder is read-only or the file system knows no locks, the work is done all the same:
    it may then be done twice, but never by halves.

    Args:
        what: the thing.
        deadline: until when to wait for others.

    Yields:
        Nothing.

    Raises:
        UnreachableError: if another process holds it until then.
    """
    from filelock import FileLock, Timeout

    folder = own_cache() / "locks"
    lock = FileLock(folder / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=deadline.left)
    except Timeout:
        raise UnreachableError(
            f"{what} was not there after {deadline.seconds:g} seconds: another process has been fetching it. Wait for that one, "
            f"or end it."
        ) from None
    except (OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        lock.release()
