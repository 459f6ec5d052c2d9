"""From a source to a file on this computer: from the cache if it is there, else from the network, and verified either way."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resnetlib.weights.fetch.deadline import TRIES, Deadline
from resnetlib.weights.fetch.errors import CannotStoreError, DamagedError, FetchError, NotThereError, RefusedError, UnreachableError
from resnetlib.weights.fetch.hub import HubPlace, is_commit, is_offline
from resnetlib.weights.fetch.lock import locked
from resnetlib.weights.fetch.url import UrlPlace
from resnetlib.weights.sources import HubFile, UrlFile

LARGEST_CONFIG = 16 * 2**20
"""Bytes: a repository's small files are smaller."""


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


def fetch(source: HubFile | UrlFile, *, deadline: float = 1800.0, refresh: bool = False) -> Fetched:
    """Get a file: from its ecosystem's cache, without any network, or from its source into that cache.

    Its contents are verified either way. Damaged ones are removed, and downloaded once more.

    Args:
        source: where it is.
        deadline: seconds that it may take, whatever the server does.
        refresh: ask the source also where the cache has it: the hub for a branch's newest commit, a URL for the file.

    Returns:
        The file.

    Raises:
        NotThereError: if the server said that it is not there.
        RefusedError: if the server said that you may not have it.
        UnreachableError: if nobody answered in time, or `HF_HUB_OFFLINE` is set.
        DamagedError: if its contents are others than they should be, twice.
        CannotStoreError: if the cache cannot be written.

    Example:
        >>> fetch(HubFile(repo="timm/resnet18.a1_in1k")).path.name  # doctest: +SKIP
        'model.safetensors'
    """
    place = _place(source)
    return _fetch(place, Deadline(deadline, place.name), refresh=refresh)


def find_cached(source: HubFile | UrlFile) -> Path | None:
    """Look for a file in its cache, without any network.

    Args:
        source: where it would come from.

    Returns:
        Where it is, not yet verified: that is `fetch`'s work. None if it is not there.

    Example:
        >>> print(find_cached(UrlFile(url="https://example.org/nothing-01234567.pth", sha256="01234567")))
        None
    """
    return _place(source).look_up()


def check_cached(source: HubFile | UrlFile) -> Fetched | None:
    """Look for a file in its cache, and verify it, without any network; what is damaged stays where it is.

    Args:
        source: where it would come from.

    Returns:
        The file; None if it is not there.

    Raises:
        DamagedError: if its contents are others than they should be.

    Example:
        >>> print(check_cached(UrlFile(url="https://example.org/nothing-01234567.pth", sha256="01234567")))
        None
    """
    place = _place(source)
    path = place.look_up()
    return None if path is None else _checked(place, path)


def fetch_first(sources: Sequence[HubFile | UrlFile], *, deadline: float = 1800.0) -> Fetched:
    """Get a file that is in several places: the first one that the caches have, else the first one that can be fetched.

    Args:
        sources: where it is, the best first.
        deadline: seconds that it may take in all.

    Returns:
        The file.

    Raises:
        FetchError: if none of them has it, with what happened with each; UnreachableError if one could not be reached.
        ValueError: for no sources.

    Example:
        >>> fetch_first([])
        Traceback (most recent call last):
        ValueError: there are no sources to fetch from
    """
    if not sources:
        raise ValueError("there are no sources to fetch from")
    places = sorted((_place(source) for source in sources), key=lambda place: place.look_up() is None)
    whole = Deadline(deadline, places[0].name)
    errors: list[FetchError] = []
    for tried, place in enumerate(places):
        share = Deadline(max(whole.left, 0.05) / (len(places) - tried), place.name)
        try:
            return _fetch(place, share, refresh=False)
        except FetchError as error:
            errors.append(error)
    raise _all_of(errors)


def fetch_repo_file(repo: str, file: str, revision: str = "main", *, deadline: float = 120.0) -> Fetched:
    """Get a small file of any repository of the hub, such as its config.json.

    Fetch the weights at the commit that comes with it, and the two fit together.

    Args:
        repo: organisation and name, `org/name`.
        file: its name in the repository.
        revision: a commit, which the cache answers for if it can; or a branch or a tag, for which the hub is asked what is newest,
            and the cache answers where the hub cannot be reached.
        deadline: seconds that it may take.

    Returns:
        The file, and its commit.

    Raises:
        FetchError: if it is not to be had.

    Example:
        >>> fetch_repo_file("timm/resnet18.a1_in1k", "config.json").path.name  # doctest: +SKIP
        'config.json'
    """
    source = HubFile(repo=repo, file=file, revision=revision)
    place = HubPlace(source, largest=LARGEST_CONFIG)
    asks = not is_commit(revision) and not is_offline()
    cached = asks and place.look_up() is not None
    try:
        return _fetch(place, Deadline(deadline, place.name), refresh=asks, tries=1 if cached else TRIES)
    except UnreachableError:
        if not cached:
            raise
    return _fetch(place, Deadline(deadline, place.name), refresh=False)


def _place(source: HubFile | UrlFile) -> HubPlace | UrlPlace:
    if isinstance(source, HubFile):
        return HubPlace(source)
    if isinstance(source, UrlFile):
        return UrlPlace(source)
    raise TypeError(f"source must be a HubFile or a UrlFile, got {type(source).__name__}")


def _fetch(place: HubPlace | UrlPlace, deadline: Deadline, *, refresh: bool, tries: int = TRIES) -> Fetched:
    """Look in the cache, and then ask the source."""
    found = None if refresh else _look(place)
    if isinstance(found, Fetched):
        return found
    if is_offline():
        raise _offline(place, found)
    with locked(place.name, deadline):
        found = None if refresh else _look(place)  # another process may have fetched it
        return found if isinstance(found, Fetched) else _download(place, deadline, found, tries)


def _checked(place: HubPlace | UrlPlace, path: Path) -> Fetched:
    """Verify a file, and say what it is."""
    return Fetched(path=path, sha256=place.check(path), revision=place.revision_of(path), source=place.source)


def _look(place: HubPlace | UrlPlace) -> Fetched | DamagedError | None:
    """Return what the cache has: the file, or what is wrong with it."""
    path = place.look_up()
    if path is not None:
        try:
            return _checked(place, path)
        except DamagedError as error:
            return error
    if place.is_known_missing():
        raise place.not_there()
    return None


def _download(place: HubPlace | UrlPlace, deadline: Deadline, damage: DamagedError | None, tries: int) -> Fetched:
    """Download a file, and once more if it is damaged: in the cache, or on its way."""
    note = ""
    damaged = place.look_up() if damage else None
    for again in (True,) if damage else (False, True):
        try:
            if damaged is not None:
                place.remove(damaged)
                note = " The file that was there is damaged, and has been removed."
            path = deadline.run(partial(place.download, deadline, again=again, tries=tries))
            damaged = path
            return _checked(place, path)
        except DamagedError as error:
            damage = error
        except FetchError as error:
            error.args = (f"{error}{note}",)
            raise
    if damaged is not None:
        place.remove(damaged)
    raise DamagedError(
        f"{damage} It was downloaded again, and is no better. Tell those who publish it, or give the path of a file."
    )


def _offline(place: HubPlace | UrlPlace, damage: DamagedError | None) -> FetchError:
    """Return the error for what would need a network where none may be used."""
    kind: type[FetchError] = DamagedError if damage else UnreachableError
    found = str(damage) if damage else f"{place.name} is not in the cache, {place.folder}."
    return kind(
        f"{found} HF_HUB_OFFLINE forbids to download it: unset it; or run `resnetlib weights fetch NAME` on a computer with a "
        "network, and copy that folder from there; or give the path of a file."
    )


def _all_of(errors: Sequence[FetchError]) -> FetchError:
    """Return one error for all places: it says that the file is not there only if every place said so."""
    if len(errors) == 1:
        return errors[0]
    kinds = (UnreachableError, DamagedError, CannotStoreError, RefusedError, NotThereError)
    kind = next(kind for kind in kinds if any(isinstance(error, kind) for error in errors))
    return kind("None of these places has the file:\n" + "\n".join(f"  {error}" for error in errors))
