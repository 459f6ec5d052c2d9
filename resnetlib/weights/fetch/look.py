"""What a cache has, verified: the file, nothing, or what is wrong with it."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resnetlib.config import HubFile, UrlFile
from resnetlib.weights.fetch.deadline import TRIES, Deadline
from resnetlib.weights.fetch.errors import DamagedError, FetchError, UnreachableError, UnreadableError, UnverifiedError
from resnetlib.weights.fetch.hub import HubPlace, is_offline
from resnetlib.weights.fetch.url import UrlPlace
from resnetlib.weights.fetch.verified import sha256_of

Place = HubPlace | UrlPlace


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A file that is here, and is what it should be.

    Args:
        path: where it is.
        sha256: of its contents, in full.
        revision: the commit that it belongs to; None for a URL's.
        source: where it comes from.
    """

    path: Path
    sha256: str
    revision: str | None
    source: HubFile | UrlFile


def checked(place: Place, path: Path, *, fresh: bool = False) -> Fetched:
    """Verify a file, and say what it is."""
    try:
        sha256 = place.check(path, fresh=fresh)
    except FileNotFoundError:
        raise UnreachableError(f"{place.name} was removed from the cache while it was read. Try again.") from None
    except FetchError:
        raise
    except ValueError as error:
        raise DamagedError(f"{place.name} is not in the cache: {error}.") from None
    except OSError as error:
        raise UnreadableError(
            f"Cannot read {path}: {error.strerror or error}. Make it readable, or let {place.variable} name another folder."
        ) from None
    return Fetched(path=path, sha256=sha256, revision=place.revision_of(path), source=place.source)


def look(place: Place, deadline: Deadline) -> Fetched | DamagedError | None:
    """Return what the cache has: the file, or what is wrong with it."""
    for _ in range(TRIES):
        path = place.look_up()
        if path is None:
            break
        try:
            return checked(place, path)
        except DamagedError as error:
            return error
        except UnverifiedError:
            return _unverified(place, path, deadline)
        except UnreachableError:
            continue
    if place.is_known_missing():
        raise place.not_there()
    return None


def _unverified(place: Place, path: Path, deadline: Deadline) -> Fetched | DamagedError:
    """Let the hub say what a file should be; where it cannot be asked, take the file as it is."""
    if isinstance(place, HubPlace) and not is_offline():
        try:
            place.take_unverified(path, Deadline(max(0.05, min(10.0, deadline.left)), place.name))
            return checked(place, path)
        except DamagedError as error:
            return error
        except FetchError:
            pass
    return Fetched(path=path, sha256=sha256_of(path), revision=place.revision_of(path), source=place.source)


def look_for_newest(place: Place, deadline: Deadline, tries: int) -> Fetched | DamagedError | None:
    """Ask for what is newest, and return it if the cache has it."""
    if place.look_up() is None:
        return None
    path = deadline.run(partial(place.newest, deadline, tries))
    if path is None:
        return None
    try:
        return checked(place, path)
    except DamagedError as error:
        return error


def forbidden(place: Place, damage: DamagedError | None) -> FetchError:
    """Return the error for what would need a network where none may be used."""
    kind: type[FetchError] = DamagedError if damage else UnreachableError
    found = str(damage) if damage else f"{place.name} is not in the cache, {place.folder}."
    return kind(
        f"{found} HF_HUB_OFFLINE forbids to download it: unset it; or run `resnetlib weights fetch NAME` on a computer with a "
        "network, and copy that folder from there; or give the path of a file."
    )
