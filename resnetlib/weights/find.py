"""What `create_model` may be asked for: a name, name.tag, a folder, a file, a repository of the hub."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from resnetlib.config import EmbeddedFile, HubFile
from resnetlib.models import Spec, spec_of
from resnetlib.weights.catalog import describe, pretrained_configs, read_embedded, tags_of
from resnetlib.weights.configs import TIMM_NAMES
from resnetlib.weights.dialects import dialect_named, simplest
from resnetlib.weights.files import WeightsFile, read_weights
from resnetlib.weights.repository import CONFIG, folder_getter, read_repository

HUB = ("hf-hub:", "hf_hub:")
LOCAL = "local-dir:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Weights, and what is known of them.

    Args:
        label: what to call them in errors.
        spec: of the network; None where only the names and shapes can tell.
        file: the tensors and the pretrained config; None for a network without weights.
        dialect: the names of the tensors, where it is known.
        pinned: whether their contents are known beforehand, by a hash in the catalogue.
        by_name: whether the spec is known by the name alone, which somebody gave together with a file.
    """

    label: str
    spec: Spec | None
    file: WeightsFile | None
    dialect: str | None = None
    pinned: bool = False
    by_name: bool = False


def find(name: str | Path, weights: str | Path | None, *, dialect: str | None, mmap: bool | None) -> Found:
    """Find out what a name means, and read the weights.

    Args:
        name: of a network, with or without a tag; a path; `hf-hub:org/name@revision`.
        weights: a tag or a file, for the bare name of a network.
        dialect: whose names a file's tensors have; None to find it out.
        mmap: map files of safetensors into memory; None for those in a cache alone.

    Returns:
        What was found.

    Raises:
        ValueError: for a name that means nothing, or more than one thing.
    """
    if dialect is not None:
        dialect_named(dialect)
    if isinstance(name, str):
        name = _ours(name)
    text = str(name)
    if weights is not None:
        if names_weights(name):
            raise ValueError(f"{text!r} names its weights itself: leave out weights=, or give the bare name of a network")
        return _given(text, weights, dialect, mmap)
    if text.startswith(HUB):
        return _on_hub(text.split(":", 1)[1], dialect, mmap is not False)
    if text.startswith(LOCAL) or _is_path(name):
        return _at_path(Path(text.removeprefix(LOCAL)).expanduser(), dialect, bool(mmap))
    if dialect is not None:
        raise ValueError(f"dialect={dialect!r} is for files of weights, and {text!r} is none")
    try:
        return _in_catalogue(text, mmap) if names_weights(name) else Found(label=text, spec=spec_of(text), file=None)
    except ValueError as error:
        if text and len(text) < 256 and text not in pretrained_configs() and Path(text).exists():
            raise ValueError(f"{text!r} is no network, but there is such a file or folder: write './{text}' to load it") from error
        raise


def names_weights(name: str | Path) -> bool:
    """Tell whether a name is more than a network's: a name with a tag, a path, a repository.

    Args:
        name: as `find` takes it.

    Returns:
        Whether it stands for weights.

    Example:
        >>> names_weights("resnet50"), names_weights("resnet50.tv2_in1k")
        (False, True)
    """
    if not isinstance(name, str | Path):
        raise TypeError(f"name must be a str or a Path, got {type(name).__name__}")
    return _is_path(name) or any(mark in str(name) for mark in ".:")


def _ours(name: str) -> str:
    """Replace timm's name of a network, with or without a tag, by ours."""
    network, dot, tag = name.partition(".")
    return TIMM_NAMES.get(network, network) + dot + tag


def _is_path(name: str | Path) -> bool:
    return isinstance(name, Path) or "/" in name or os.sep in name


def _in_catalogue(full_name: str, mmap: bool | None) -> Found:
    """Read weights of the catalogue, from the first of their sources that has them."""
    cfg = describe(full_name)
    if any(isinstance(source, EmbeddedFile) for source in cfg.sources):
        embedded = read_embedded(cfg.name, cfg.tag)
        return Found(label=full_name, spec=cfg.spec, file=WeightsFile(embedded.state, cfg), pinned=True)
    from resnetlib.weights.hub import fetch_first

    fetched = fetch_first([source for source in cfg.sources if not isinstance(source, EmbeddedFile)])
    return Found(
        label=full_name,
        spec=cfg.spec,
        file=WeightsFile(read_weights(fetched.path, mmap=mmap is not False).state, cfg),
        dialect=fetched.source.dialect,
        pinned=fetched.source.sha256 is not None,
    )


def _given(name: str, weights: str | Path, dialect: str | None, mmap: bool | None) -> Found:
    """Read the weights that go with a network's name: a tag, or a file."""
    tags, spec = tags_of(name), spec_of(name)
    if isinstance(weights, str) and weights in tags:
        if dialect is not None:
            raise ValueError(f"dialect={dialect!r} is for files, and {weights!r} is a tag, whose dialect is known")
        return _in_catalogue(f"{name}.{weights}", mmap)
    path = Path(weights).expanduser()
    if str(weights).startswith(HUB):
        found = _on_hub(str(weights).split(":", 1)[1], dialect, mmap is not False)
    elif path.is_dir() and str(weights):
        found = _at_path(path, dialect, bool(mmap))
    elif path.exists() and str(weights):
        found = Found(label=str(weights), spec=None, file=read_weights(path, mmap=bool(mmap)), dialect=dialect)
    else:
        known = f"the tags {', '.join(map(repr, tags))}" if tags else "no tags"
        raise ValueError(f"{name} has {known}, and there is no file {weights}")
    cfg = found.file.pretrained_cfg if found.file else None
    if cfg is not None and simplest(cfg.spec) != simplest(spec):
        raise ValueError(f"{weights} holds a {cfg.name or 'network without a name'}, not a {name}:\n  {cfg.spec}\n  {spec}")
    return replace(found, spec=spec, by_name=cfg is None)


def _at_path(path: Path, dialect: str | None, mmap: bool) -> Found:
    """Read a folder with config.json, or a file alone."""
    if path.is_dir():
        file = read_repository(folder_getter(path), str(path), mmap=mmap, folder=path)
    elif path.exists():
        file = read_weights(path, mmap=mmap)
    else:
        raise FileNotFoundError(f"there is no file and no folder {path}")
    return Found(label=str(path), spec=file.pretrained_cfg.spec if file.pretrained_cfg else None, file=file, dialect=dialect)


def _on_hub(text: str, dialect: str | None, mmap: bool) -> Found:
    """Read a repository of the hub: all of its files at one commit."""
    from resnetlib.weights.hub import fetch

    repo, _, revision = text.partition("@")
    config = fetch(HubFile(repo=repo, file=CONFIG, revision=revision or "main"), refresh=True)

    def get(name: str) -> Path:
        if name == CONFIG:
            return config.path
        return fetch(HubFile(repo=repo, file=name, revision=config.revision or "main")).path

    file = read_repository(get, f"hf-hub:{text}", mmap=mmap)
    return Found(label=f"hf-hub:{text}", spec=file.pretrained_cfg.spec if file.pretrained_cfg else None, file=file, dialect=dialect)
