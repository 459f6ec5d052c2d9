"""From a source to a file on this computer: from the cache if it is there, else from the network, and verified either way."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from resnetlib.config import HubFile, UrlFile
from resnetlib.weights.fetch.deadline import TRIES, Deadline
from resnetlib.weights.fetch.errors import (
    CannotStoreError,
    DamagedError,
    FetchError,
    UnreachableError,
    UnwantedError,
    all_of,
)
from resnetlib.weights.fetch.hub import HubPlace, is_offline
from resnetlib.weights.fetch.lock import locked
from resnetlib.weights.fetch.look import Fetched, Place, checked, forbidden, look, look_for_newest
from resnetlib.weights.fetch.url import UrlPlace
from resnetlib.weights.fetch.verified import is_commit

LARGEST_CONFIG = 16 * 2**20
"""Bytes: a repository's small files are smaller."""

RESERVE = 60.0
"""Seconds, or a tenth of the deadline if that is less, that are kept for each of the other sources."""


def fetch(source: HubFile | UrlFile, *, deadline: float = 1800.0, refresh: bool = False) -> Fetched:
    """Get a file: from its ecosystem's cache, without any network, or from its source into that cache.

    Its contents are verified either way. Damaged ones are removed, and downloaded once more. What somebody copied into the cache,
    so that nothing is known of it, is compared with what the hub says of it; where the hub cannot be asked, it is taken as it is.

    Args:
        source: where it is.
        deadline: seconds that it may take, whatever the server does.
        refresh: ask the source also where the cache has it: the hub for a branch's newest commit, a URL for the file.

    Returns:
        The file.

    Raises:
        NotThereError: if the server said that it is not there; NoSuchRepositoryError if more is missing than the file.
        RefusedError: if the server said that you may not have it.
        UnreachableError: if nobody answered in time, or `HF_HUB_OFFLINE` is set.
        DamagedError: if its contents are others than they should be, twice; UnwantedError if it is another file, or too large.
        UnverifiedError: if the hub does not say what they should be.
        UnreadableError: if it is in the cache, and this user cannot read it.
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

    The file is read, whatever is remembered of it.

    Args:
        source: where it would come from.

    Returns:
        The file; None if it is not there.

    Raises:
        DamagedError: if its contents are others than they should be.
        UnverifiedError: if nothing is known of its contents.
        UnreadableError: if this user cannot read it.

    Example:
        >>> print(check_cached(UrlFile(url="https://example.org/nothing-01234567.pth", sha256="01234567")))
        None
    """
    place = _place(source)
    path = place.look_up()
    return None if path is None else checked(place, path, fresh=True)


def fetch_first(sources: Sequence[HubFile | UrlFile], *, deadline: float = 1800.0) -> Fetched:
    """Get a file that is in several places: the first one that the caches have, else the first one that can be fetched.

    A source that does not answer is left soon; one that does may take all of the time but for a reserve.

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
        reserve = min(RESERVE, deadline / 10) * (len(places) - tried - 1)
        share = Deadline(max(whole.left - reserve, 0.05), place.name)
        try:
            return _fetch(place, share, refresh=False)
        except FetchError as error:
            errors.append(error)
    raise all_of(errors)


def fetch_repo_file(repo: str, file: str, revision: str = "main", *, deadline: float = 120.0) -> Fetched:
    """Get a small file of any repository of the hub, such as its config.json.

    Fetch the weights at the commit that comes with it, and the two fit together.

    Args:
        repo: organisation and name, `org/name`.
        file: its name in the repository.
        revision: a commit, which the cache answers for if it can; or a branch or a tag, for which the hub is asked what is newest,
            and the cache answers where the hub cannot be reached, or what is newest cannot be stored.
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
    except (UnreachableError, CannotStoreError):
        if not cached:
            raise
    return _fetch(place, Deadline(deadline, place.name), refresh=False)


def _place(source: HubFile | UrlFile) -> Place:
    if isinstance(source, HubFile):
        return HubPlace(source)
    if isinstance(source, UrlFile):
        return UrlPlace(source)
    raise TypeError(f"source must be a HubFile or a UrlFile, got {type(source).__name__}")


def _fetch(place: Place, deadline: Deadline, *, refresh: bool, tries: int = TRIES) -> Fetched:
    """Look in the cache, and then ask the source."""
    if not refresh:
        found = look(place, deadline)
    elif is_offline():
        found = None
    else:
        found = look_for_newest(place, deadline, tries)
    if isinstance(found, Fetched):
        return found
    if is_offline():
        raise forbidden(place, found)
    with locked(place.name, deadline):
        if not refresh:
            found = look(place, deadline)  # another process may have fetched it
        return found if isinstance(found, Fetched) else _download(place, deadline, found, tries)


def _download(place: Place, deadline: Deadline, damage: DamagedError | None, tries: int) -> Fetched:
    """Download a file, and once more if it is damaged: in the cache, or on its way."""
    note = ""
    damaged = None if damage is None or isinstance(damage, UnwantedError) else place.look_up()
    for again in (False, True) if damaged is None else (True,):
        try:
            if damaged is not None:
                place.remove(damaged)
                note = " The file that was there is damaged, and has been removed."
            path = deadline.run(partial(place.download, deadline, again=again, tries=tries))
            damaged = path
            return checked(place, path)
        except DamagedError as error:
            if isinstance(error, UnwantedError):
                error.args = (f"{error}{note}",)
                raise
            damage = error
        except FetchError as error:
            error.args = (f"{error}{note}",)
            raise
    if damaged is not None:
        place.remove(damaged)
    raise DamagedError(
        f"{damage} It was downloaded again, and is no better. Tell those who publish it, or give the path of a file."
    )
