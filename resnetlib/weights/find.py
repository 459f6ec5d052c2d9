"""Resolve what `create_model` is asked for: a name, name.tag, a file, a folder, or a repository of the Hugging Face hub."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from resnetlib.config import EmbeddedFile, HubFile, PretrainedConfig
from resnetlib.disk import unfinished
from resnetlib.models import Spec, spec_of
from resnetlib.text import printable
from resnetlib.weights.catalog import describe, pretrained_configs, read_embedded, tags_of
from resnetlib.weights.configs import OURS, TIMM_NAMES, pretrained_config_of, read_json
from resnetlib.weights.dialects.compare import same_network
from resnetlib.weights.dialects.rename import resolve_dialect
from resnetlib.weights.files import WeightsFile, read_weights

HUB = ("hf-hub:", "hf_hub:")
LOCAL = "local-dir:"

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
"""Names of the file with the weights, in order of preference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Weights, and what is known about them.

    Args:
        label: what errors call them.
        spec: of the network; None to infer it.
        file: tensors and pretrained config; None for a network without weights.
        dialect: of the tensors' names; None to find it.
        known: whether a catalogue's entry describes them.
        pinned: whether the catalogue has the hash of their contents.
        by_name: whether the spec comes only from the name that the user gave together with a file.
    """

    label: str
    spec: Spec | None
    file: WeightsFile | None
    dialect: str | None = None
    known: bool = False
    pinned: bool = False
    by_name: bool = False


def find(name: str | Path, weights: str | Path | None, *, dialect: str | None, mmap: bool | None) -> Found:
    """Resolve a name, and read the weights.

    Args:
        name: of a network, with or without a tag; a path; `hf-hub:org/name@revision`.
        weights: a tag, a path or `hf-hub:...`, for the name of a network without a tag.
        dialect: of the names in a file; None to find it.
        mmap: map safetensors into memory; None for downloaded files only.

    Returns:
        The spec, and the weights if there are any.

    Raises:
        ValueError: for an unknown name, and for weights that contradict it.
    """
    if dialect is not None:
        resolve_dialect(dialect)
    text = str(name)
    if isinstance(name, str):
        network, dot, tag = name.partition(".")
        name = text = TIMM_NAMES.get(network, network) + dot + tag
    if weights is not None:
        if names_weights(name):
            raise ValueError(f"{text!r} names its weights itself: leave out weights=, or give the bare name of a network")
        return _with_given_weights(text, weights, dialect, mmap)
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
    """Return whether a name is more than a network's: a name with a tag, a path, a repository.

    Example:
        >>> names_weights("resnet50"), names_weights("resnet50.tv2_in1k")
        (False, True)
    """
    if not isinstance(name, str | Path):
        raise TypeError(f"name must be a str or a Path, got {type(name).__name__}")
    return _is_path(name) or any(mark in str(name) for mark in ".:")


def _is_path(name: str | Path) -> bool:
    return isinstance(name, Path) or "/" in name or os.sep in name


def _in_catalogue(full_name: str, mmap: bool | None) -> Found:
    """Read weights of the catalogue, from the first source that has them."""
    cfg = describe(full_name)
    if any(isinstance(source, EmbeddedFile) for source in cfg.sources):
        state = read_embedded(cfg.name, cfg.tag).state
        dialect, pinned = "resnetlib", True
    else:
        from resnetlib.weights.fetch import fetch_first

        fetched = fetch_first([source for source in cfg.sources if not isinstance(source, EmbeddedFile)])
        state = read_weights(fetched.path, mmap=mmap is not False).state
        dialect, pinned = fetched.source.dialect, fetched.source.sha256 is not None
    return Found(label=full_name, spec=cfg.spec, file=WeightsFile(state, cfg), dialect=dialect, known=True, pinned=pinned)


def _with_given_weights(name: str, weights: str | Path, dialect: str | None, mmap: bool | None) -> Found:
    """Read the weights that the user gives for a network's name."""
    tags, spec = tags_of(name), spec_of(name)
    if isinstance(weights, str) and weights in tags:
        if dialect is not None:
            raise ValueError(f"dialect={dialect!r} is for files, and {weights!r} is a tag, whose dialect is known")
        return _in_catalogue(f"{name}.{weights}", mmap)
    path = Path(weights).expanduser()
    if str(weights).startswith(HUB):
        found = _on_hub(str(weights).split(":", 1)[1], dialect, mmap is not False)
    elif str(weights) and path.exists():
        found = _at_path(path, dialect, bool(mmap))
    else:
        known = f"the tags {', '.join(map(repr, tags))}" if tags else "no tags"
        raise ValueError(f"{name} has {known}, and there is no file {weights}")
    if found.spec is not None and not same_network(found.spec, spec):
        cfg = found.file.pretrained_cfg if found.file else None
        kind = cfg.name if cfg is not None and cfg.name else "network without a name"
        raise ValueError(f"{weights} holds a {kind}, not a {name}:\n  {found.spec}\n  {spec}")
    return replace(found, spec=spec, by_name=found.spec is None)


def _at_path(path: Path, dialect: str | None, mmap: bool) -> Found:
    """Read a folder with config.json, or a single file."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file and no folder {path}")

    def get(name: str) -> Path:
        if not (path / name).exists():
            raise FileNotFoundError(f"there is no {name} in {path}")
        return path / name

    file = read_repository(get, str(path), mmap=mmap, folder=path) if path.is_dir() else read_weights(path, mmap=mmap)
    return _found(str(path), file, dialect)


def _on_hub(text: str, dialect: str | None, mmap: bool) -> Found:
    """Read a repository of the hub, all of its files at one commit."""
    from resnetlib.weights.fetch import NoSuchRepositoryError, UnreachableError, fetch, fetch_repo_file

    repo, _, revision = text.partition("@")
    config = fetch_repo_file(repo, CONFIG, revision or "main")

    def get(name: str) -> Path:
        if name == CONFIG:
            return config.path
        commit = config.revision or "main"
        try:
            if name.endswith(".json"):
                return fetch_repo_file(repo, name, commit).path
            return fetch(HubFile(repo=repo, file=name, revision=commit)).path
        except NoSuchRepositoryError as error:  # must not look like a missing file, for which another one would be read
            raise UnreachableError(f"hf-hub:{text} has just given its {CONFIG}, and is not there any more: {error}") from error

    return _found(f"hf-hub:{text}", read_repository(get, f"hf-hub:{text}", mmap=mmap), dialect)


def _found(label: str, file: WeightsFile, dialect: str | None) -> Found:
    return Found(label=label, spec=file.pretrained_cfg.spec if file.pretrained_cfg else None, file=file, dialect=dialect)


def read_repository(get: Callable[[str], Path], label: str, *, mmap: bool, folder: Path | None = None) -> WeightsFile:
    """Read config.json and the weights of a repository or folder.

    `get` returns the path of a file, and raises FileNotFoundError only if it is certain that there is none. The config counts; what
    the header of safetensors says must agree with it.
    """
    try:
        config = read_json(get(CONFIG))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{label} has no {CONFIG}, which says what network it is") from error
    preprocessor = None
    if config.get("model_type") == "resnet":
        with suppress(FileNotFoundError):
            preprocessor = read_json(get(PREPROCESSOR))
    try:
        cfg = pretrained_config_of(config, preprocessor)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{label}: {printable(error, 1000, lines=True)}") from error
    file = read_weights(_first(get, label), mmap=mmap)
    header = file.pretrained_cfg
    if header is not None and header != cfg:
        if folder is not None and _was_interrupted(header, folder):
            return file
        if OURS in config:
            ours, theirs = printable(cfg, 2000), printable(header, 2000)
            raise ValueError(f"{label} contradicts itself: {CONFIG} and weights say different things:\n  {ours}\n  {theirs}")
    return replace(file, pretrained_cfg=cfg)


def _was_interrupted(header: PretrainedConfig, folder: Path) -> bool:
    """Return whether saving was interrupted after the weights, so that their config has a temporary name (or by now its own)."""
    for path in (*unfinished(folder, CONFIG), folder / CONFIG):
        with suppress(OSError, ValueError):
            if pretrained_config_of(read_json(path)) == header:
                return True
    return False


def _first(get: Callable[[str], Path], label: str) -> Path:
    """Return the file with the weights: a pickle only if it is certain that there are no safetensors."""
    for name in WEIGHTS_NAMES:
        with suppress(FileNotFoundError):
            return get(name)
    raise FileNotFoundError(f"{label} has no weights: none of {', '.join(WEIGHTS_NAMES)}")
