"""Getting files: from the hub and from URLs, verified, cached, one process at a time, bounded in time."""

from resnetlib.weights.fetch.errors import (
    CannotStoreError,
    DamagedError,
    FetchError,
    NoSuchRepositoryError,
    NotThereError,
    RefusedError,
    UnreachableError,
    UnreadableError,
    UnverifiedError,
    UnwantedError,
)
from resnetlib.weights.fetch.get import check_cached, fetch, fetch_first, fetch_repo_file, find_cached
from resnetlib.weights.fetch.look import Fetched

__all__ = [
    "CannotStoreError",
    "DamagedError",
    "FetchError",
    "Fetched",
    "NoSuchRepositoryError",
    "NotThereError",
    "RefusedError",
    "UnreachableError",
    "UnreadableError",
    "UnverifiedError",
    "UnwantedError",
    "check_cached",
    "fetch",
    "fetch_first",
    "fetch_repo_file",
    "find_cached",
]
