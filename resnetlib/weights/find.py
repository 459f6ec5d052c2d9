"""Find and read the weights for `create_model`: by name and tag, in a file, a folder, or a repository of the hub."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from resnetlib.config import EmbeddedFile, HubFile, PretrainedConfig
from resnetlib.disk import unfinished
from resnetlib.errors import InputError, InputTypeError, MissingFileError, naming
from resnetlib.models import Spec, spec_of
from resnetlib.text import printable
from resnetlib.weights.catalog import describe, pretrained_configs, read_embedded, tags_of
from resnetlib.weights.configs import OURS, TIMM_NAMES, pretrained_config_of, read_json
from resnetlib.weights.dialects.compare import same_network
from resnetlib.weights.dialects.infer import infer_spec
from resnetlib.weights.dialects.rename import RecognizedState, check_dialect, recognize_dialect, resolve_dialect
from resnetlib.weights.files import WeightsFile, read_weights

HUB = ("hf-hub:", "hf_hub:")
LOCAL = "local-dir:"

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
"""Names of the file with the weights, in order of preference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Weights, and what is known about them."""

    label: str  # their name in error messages
    spec: Spec | None  # None if it must be inferred
    file: WeightsFile | None  # None for a network without weights
    dialect: str | None = None  # of the tensors' names, if known
    prefix: str | None = None  # of the network's names, if the file holds several networks
    known: bool = False  # from the catalogue, so that dialect and spec need no check
    pinned: bool = False  # the catalogue has the hash of their content
    by_name: bool = False  # only the name that the user gave with a file tells the spec


def find(name: str | Path, weights: str | Path | None, *, dialect: str | None, mmap: bool | None) -> Found:
    """Find and read the weights for `create_model`; `mmap` of None maps downloaded files only."""
    if dialect is not None:
        resolve_dialect(dialect)
    text = str(name)
    if isinstance(name, str):
        network, dot, tag = name.partition(".")
        name = text = TIMM_NAMES.get(network, network) + dot + tag
    if weights is not None:
        if names_weights(name):
            raise InputError(f"{text!r} names its weights itself: leave out weights=, or give the bare name of a network")
        return _with_given_weights(text, weights, dialect, mmap)
    if text.startswith((*HUB, LOCAL)) or _is_path(name):
        return _read(text, dialect, mmap)
    if dialect is not None:
        raise InputError(f"dialect={dialect!r} is for files of weights, and {text!r} is none")
    try:
        return _in_catalogue(text, mmap) if names_weights(name) else Found(label=text, spec=spec_of(text), file=None)
    except ValueError as error:
        if text and len(text) < 256 and text not in pretrained_configs() and Path(text).exists():
            raise InputError(f"{text!r} is no network, but there is such a file or folder: write './{text}' to load it") from error
        raise


def recognize(found: Found, spec: Spec | None = None) -> tuple[RecognizedState, Spec]:
    """Return the tensors under canonical names, and the spec: given, known, or inferred. Raise ValueError if they contradict."""
    assert found.file is not None  # noqa: S101 - for mypy
    if spec is not None and found.spec is not None and not same_network(found.spec, spec):
        raise InputError(f"{found.label} says that it is of another network:\n  {found.spec}\n  {spec}")
    with naming(found.label):
        state, spec = recognize_dialect(found.file.state, dialect=found.dialect, prefix=found.prefix), spec or found.spec
        if not state.state:
            raise InputError(
                f"it holds no network of this library: its {len(state.unknown)} names begin {state.unknown[:3]!r:.200}"
            )
        if spec is None:
            return state, infer_spec(state).spec
    if not found.known:
        if sum(spec.depths) > len(state.state):  # before a network of that size is built
            count = len(state.state)
            raise InputError(
                f"{found.label} holds {count} tensors that are known, too few for the {sum(spec.depths):,} blocks of {spec}"
            )
        check_dialect(state, spec, source=found.label, by_name=found.by_name)
    return state, spec


def names_weights(name: str | Path) -> bool:
    """Return whether a name is more than a network's: `resnet50.tv2_in1k`, a path, a repository."""
    if not isinstance(name, str | Path):
        raise InputTypeError(f"name must be a str or a Path, got {type(name).__name__}")
    return _is_path(name) or any(mark in str(name) for mark in ".:")


def _is_path(name: str | Path) -> bool:
    return isinstance(name, Path) or "/" in name or os.sep in name


def _in_catalogue(full_name: str, mmap: bool | None) -> Found:
    """Read weights of the catalogue, from the first source that has them."""
    cfg = describe(full_name)
    sources = [source for source in cfg.sources if not isinstance(source, EmbeddedFile)]
    if len(sources) < len(cfg.sources):
        state, dialect, pinned = read_embedded(cfg.name, cfg.tag).state, "resnetlib", True
    else:
        from resnetlib.weights.hub import fetch_first

        fetched = fetch_first(sources)
        state = read_weights(fetched.path, mmap=mmap is not False).state
        dialect, pinned = fetched.source.dialect, fetched.source.sha256 is not None
    return Found(label=full_name, spec=cfg.spec, file=WeightsFile(state, cfg), dialect=dialect, known=True, pinned=pinned)


def _with_given_weights(name: str, weights: str | Path, dialect: str | None, mmap: bool | None) -> Found:
    """Read the weights that the user gives together with a network's name: a tag, or a place."""
    tags, spec = tags_of(name), spec_of(name)
    if isinstance(weights, str) and weights in tags:
        if dialect is not None:
            raise InputError(f"dialect={dialect!r} is for files, and {weights!r} is a tag, whose dialect is known")
        return _in_catalogue(f"{name}.{weights}", mmap)
    text = str(weights)
    if not text.startswith(HUB) and not (text and _path_of(text).exists()):
        known = f"the tags {', '.join(map(repr, tags))}" if tags else "no tags"
        raise InputError(f"{name} has {known}, and there is no file {text}")
    found = _read(text, dialect, mmap)
    if found.spec is not None and not same_network(found.spec, spec):
        cfg = found.file.pretrained_cfg if found.file else None
        kind = cfg.name if cfg is not None and cfg.name else "network without a name"
        raise InputError(f"{weights} holds a {kind}, not a {name}:\n  {found.spec}\n  {spec}")
    return replace(found, spec=spec, by_name=found.spec is None)


def _path_of(text: str) -> Path:
    """Return a path, with ~ for a home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"{text}: {error}") from error


def _read(place: str, dialect: str | None, mmap: bool | None) -> Found:
    """Read a repository of the hub, a folder or a file."""
    path = _path_of(place.removeprefix(LOCAL))
    if place.startswith(HUB):
        label, file = place, _read_hub(place.split(":", 1)[1], mmap is not False)
    elif not path.exists():
        raise MissingFileError(f"there is no file and no folder {path}")
    else:
        label, file = str(path), _read_folder(path, bool(mmap)) if path.is_dir() else read_weights(path, mmap=bool(mmap))
    return Found(label=label, spec=file.pretrained_cfg.spec if file.pretrained_cfg else None, file=file, dialect=dialect)


def _read_folder(folder: Path, mmap: bool) -> WeightsFile:
    def get(name: str) -> Path:
        if not (folder / name).exists():
            raise MissingFileError(f"there is no {name} in {folder}")
        return folder / name

    return _read_repository(get, str(folder), mmap=mmap, folder=folder)


def _read_hub(text: str, mmap: bool) -> WeightsFile:
    """Read a repository of the hub, all of its files at one commit."""
    from resnetlib.weights.hub import fetch

    repo, _, revision = text.partition("@")
    config = fetch(HubFile(repo=repo, file=CONFIG, revision=revision or "main"), refresh=True)

    def get(name: str) -> Path:
        return config.path if name == CONFIG else fetch(HubFile(repo=repo, file=name, revision=config.revision or "main")).path

    return _read_repository(get, f"hf-hub:{text}", mmap=mmap)


def _read_repository(get: Callable[[str], Path], label: str, *, mmap: bool, folder: Path | None = None) -> WeightsFile:
    """Read config.json and the weights of a repository or folder; the config must agree with the header of safetensors.

    `get` returns the path of a file, and raises FileNotFoundError only if it is certain that there is none.
    """
    try:
        config = read_json(get(CONFIG))
    except FileNotFoundError as error:
        raise MissingFileError(f"{label} has no {CONFIG}, which says what network it is") from error
    preprocessor = None
    if config.get("model_type") == "resnet":
        with suppress(FileNotFoundError):
            preprocessor = read_json(get(PREPROCESSOR))
    try:
        cfg = pretrained_config_of(config, preprocessor)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{label}: {printable(error, 1000, lines=True)}") from error
    for name in WEIGHTS_NAMES:
        with suppress(FileNotFoundError):
            path = get(name)
            break
    else:
        raise MissingFileError(f"{label} has no weights: none of {', '.join(WEIGHTS_NAMES)}")
    file = read_weights(path, mmap=mmap)
    header = file.pretrained_cfg
    if header is not None and header != cfg:
        if folder is not None and _was_interrupted(header, folder):
            return file
        if OURS in config:
            ours, theirs = printable(cfg, 2000), printable(header, 2000)
            raise InputError(f"{label} contradicts itself: {CONFIG} and weights say different things:\n  {ours}\n  {theirs}")
    return replace(file, pretrained_cfg=cfg)


def _was_interrupted(header: PretrainedConfig, folder: Path) -> bool:
    """Return whether saving was interrupted after the weights: their config then has a temporary name, or by now its own."""
    for path in (*unfinished(folder, CONFIG), folder / CONFIG):
        with suppress(OSError, ValueError):
            if pretrained_config_of(read_json(path)) == header:
                return True
    return False
