"""Find and read the weights for `create_model`: by name and tag, in a file, a folder, or a repository of the hub."""

import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Literal

from resnetlib.config import EmbeddedFile, HubFile, PretrainedConfig, UrlFile
from resnetlib.config.spec import check_spec
from resnetlib.disk import local_path, sha256_file, unfinished
from resnetlib.errors import InputError, InputTypeError, MissingFileError, prefix_errors, printable
from resnetlib.models import Spec, spec_of
from resnetlib.models.catalog import SPECS, TIMM_NAMES
from resnetlib.weights.catalog import describe, pretrained_configs, read_embedded, tags_of
from resnetlib.weights.config_files import OURS, pretrained_config_of, read_json
from resnetlib.weights.dialects.compare import same_network
from resnetlib.weights.dialects.infer import infer_spec
from resnetlib.weights.dialects.rename import RecognizedState, check_dialect, recognize_dialect, resolve_dialect
from resnetlib.weights.download import HASH, fetch, fetch_first
from resnetlib.weights.errors import DamagedFileError
from resnetlib.weights.files import WeightsFile, read_weights

HUB = ("hf-hub:", "hf_hub:")
LOCAL = "local-dir:"
URL = ("https://", "http://")

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
"""Names of the file with the weights, in order of preference."""

WeightsLike = str | os.PathLike[str] | UrlFile | HubFile | Enum
"""Weights for a named network: a tag, torchvision's name or enum member, a path, a URL, or a file of the hub."""

Kind = Literal["network", "weights", "place"]

_TORCHVISION_TAGS = {"IMAGENET1K_V1": "tv_in1k", "IMAGENET1K_V2": "tv2_in1k"}
"""torchvision's name of weights -> the tag of the same file; DEFAULT is the last one."""

_ENDINGS = (".safetensors", ".pth", ".pt", ".th", ".bin", ".onnx", ".ckpt", ".tar")
"""Endings of file names, which no name of a network or of weights has."""

logger = logging.getLogger("resnetlib")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Weights, and what is known about them."""

    label: str  # their name in error messages
    spec: Spec | None  # None if it must be inferred
    file: WeightsFile | None  # None for a network without weights
    dialect: str | None = None  # of the tensors' names, if known
    prefix: str | None = None  # of the network's names, if the file holds several networks
    known: bool = False  # from the catalog, so that dialect and spec need no check
    pinned: bool = False  # the catalog has the hash of their content
    by_name: bool = False  # the spec is known only from the name that the user gave with a file


def resolve(name: str | os.PathLike[str]) -> tuple[Kind, str]:
    """Return whether a name is a network, weights in the catalog or a place, such as a path, and the name to use.

    The catalog comes before files and folders of the same name; a path object, a separator or an ending such as `.pth` mean a
    path. As in timm, `timm/` before a name of the catalog is ignored.
    """
    if not isinstance(name, str) or name.startswith((*HUB, LOCAL, *URL)):
        return "place", _text_of(name, "name must be a str or a Path")
    network, dot, tag = (name if _exists(name) else name.removeprefix("timm/")).partition(".")
    known = TIMM_NAMES.get(network, network) + dot + tag
    if known in SPECS:
        return "network", known
    if dot and known in pretrained_configs():
        return "weights", known
    if "/" not in known and os.sep not in known and not name.lower().endswith(_ENDINGS) and not _exists(name):
        (describe if dot else spec_of)(known)  # raises ValueError with the nearest names
    return "place", name


def find(
    name: str | os.PathLike[str],
    weights: WeightsLike | None = None,
    *,
    pretrained: bool = False,
    dialect: str | None = None,
    mmap: bool | None = None,
) -> Found:
    """Find and read the weights for `create_model`; `mmap` of None maps downloaded files only."""
    if dialect is not None:
        resolve_dialect(dialect)
    kind, text = resolve(name)
    if kind == "network" and weights is None and pretrained:
        weights = _default_tag(text)
    if kind == "network" and weights is not None:
        return _with_given_weights(text, weights, dialect, mmap)
    if weights is not None:
        raise InputError(f"{text!r} already names its weights: leave out weights=, or give only the name of a network")
    if kind == "place":
        return _read(text, dialect, mmap)
    if dialect is not None:
        raise InputError(f"dialect={dialect!r} requires a weights file, but {text!r} is not one")
    return _in_catalog(text, mmap) if kind == "weights" else Found(label=text, spec=spec_of(text), file=None)


def recognize(found: Found, spec: Spec | None = None) -> tuple[RecognizedState, Spec]:
    """Return the tensors under canonical names, and the spec: given, known, or inferred. Raise ValueError if they contradict."""
    assert found.file is not None  # noqa: S101 - for mypy
    if spec is not None:
        check_spec(spec)
    if spec is not None and found.spec is not None and not same_network(found.spec, spec):
        raise InputError(f"{found.label} is for another network, according to its config:\n  {found.spec}\n  {spec}")
    spec = spec or found.spec
    with prefix_errors(found.label):
        state = recognize_dialect(found.file.state, dialect=found.dialect, prefix=found.prefix)
        if not state.state:
            whose = "network of this library" if found.dialect is None else f"tensors with the names of dialect={found.dialect!r}"
            raise InputError(f"it holds no {whose}: its tensors are {state.unknown[:3]!r:.200} ...")
        if spec is None:
            return state, infer_spec(state).spec
        if not found.known:
            blocks, tensors = sum(spec.depths), len(state.state)
            if blocks > tensors:  # before a network of that size is built
                raise InputError(f"it holds {tensors} tensors with known names, too few for the {blocks:,} blocks of {spec}")
            check_dialect(state, spec, source=found.label, by_name=found.by_name)
    return state, spec


def _exists(text: str) -> bool:
    """Return whether there is a file or folder with this path; False if the text is not a path."""
    with suppress(OSError, ValueError):
        return bool(text) and local_path(text).exists()
    return False


def _in_catalog(full_name: str, mmap: bool | None) -> Found:
    """Read weights of the catalog, from the first source that has them."""
    cfg = describe(full_name)
    sources = [source for source in cfg.sources if not isinstance(source, EmbeddedFile)]
    if len(sources) < len(cfg.sources):
        state, dialect, pinned = read_embedded(cfg.name, cfg.tag).state, "resnetlib", True
    else:
        fetched = fetch_first(sources)
        state = read_weights(fetched.path, mmap=mmap is not False).state
        dialect, pinned = fetched.source.dialect, fetched.source.sha256 is not None
    return Found(label=full_name, spec=cfg.spec, file=WeightsFile(state, cfg), dialect=dialect, known=True, pinned=pinned)


def _with_given_weights(name: str, weights: WeightsLike, dialect: str | None, mmap: bool | None) -> Found:
    """Read the weights that the user gives together with a network's name: a tag, torchvision's name of one, or a place."""
    tag = _tag(name, weights)
    if tag is not None:
        if dialect is not None:
            raise InputError(f"dialect={dialect!r} requires a weights file, but {weights!r} is a tag, whose dialect is known")
        return _in_catalog(f"{name}.{tag}", mmap)
    place = weights if isinstance(weights, UrlFile | HubFile) else _text_of(weights, "weights must be a tag, a path or a URL")
    if isinstance(place, str) and not place.startswith((*HUB, LOCAL, *URL)) and not _exists(place):
        if not isinstance(weights, str) or place.lower().endswith(_ENDINGS):
            raise MissingFileError(f"there is no file {place}")
        raise InputError(f"{name} has no weights {place!r}, and there is no file {place}: {_choices(name)}{_hub_advice(place)}")
    found, spec = _read(place, dialect, mmap), spec_of(name)
    if found.spec is not None and not same_network(found.spec, spec):
        kind = found.file and found.file.pretrained_cfg and found.file.pretrained_cfg.name
        raise InputError(f"{weights} holds a {kind or 'network without a name'}, not a {name}:\n  {found.spec}\n  {spec}")
    return replace(found, spec=spec, by_name=found.spec is None)


def _tag(name: str, weights: WeightsLike) -> str | None:
    """Return the tag for `weights`, or None if it is a path or a URL."""
    if not isinstance(weights, str | Enum):
        return None
    text = weights if isinstance(weights, str) else f"{type(weights).__name__}.{weights.name}"
    network, _, rest = text.partition(".")
    text = rest if TIMM_NAMES.get(network, network) == name else text
    tags = tags_of(name)
    if text in tags:
        return text
    owner, _, member = text.rpartition(".")
    if isinstance(weights, str) and member not in (*_TORCHVISION_TAGS, "DEFAULT"):
        return None
    if owner and owner.removesuffix("_Weights").lower() != name:
        raise InputError(f"{text} is not for {name}: {_choices(name)}")
    if member == "DEFAULT":
        return next((tag for tag in reversed(_TORCHVISION_TAGS.values()) if tag in tags), None) or _default_tag(name)
    tag = _TORCHVISION_TAGS.get(member)
    if tag not in tags:
        raise InputError(f"{name} has no weights {text!r}: {_choices(name)}")
    return tag


def _default_tag(name: str) -> str:
    """Return the tag that `pretrained=True` takes, and log it; raise ValueError for a network without weights."""
    tags = tags_of(name)
    if not tags:
        raise InputError(f"{name} has no pretrained weights: {_choices(name)}")
    logger.info("%s: loading the default weights, %s.%s", name, name, tags[0])
    return tags[0]


def _choices(name: str) -> str:
    """Return a message that lists a network's tags."""
    tags = tags_of(name)
    if not tags:
        return "give a file as weights; list_pretrained() lists the networks that have some"
    torchvisions = [*(known for known, tag in _TORCHVISION_TAGS.items() if tag in tags), "DEFAULT"]
    return f"its tags are {', '.join(tags)} (or torchvision's {', '.join(map(repr, torchvisions))})"


def _text_of(place: object, expected: str) -> str:
    """Return a name or a path as text; raise TypeError for anything else."""
    text = os.fspath(place) if isinstance(place, os.PathLike) else place
    if isinstance(text, str):
        return f"./{text}" if text is not place and text.startswith((*HUB, LOCAL, *URL)) else text
    hint = ""
    if isinstance(text, bytes):
        hint = f": write {text.decode(errors='replace')!r}"
    elif isinstance(text, Mapping):
        hint = ": create the network first, then load_state(net, state) of resnetlib.weights"
    elif isinstance(text, bool):
        hint = f": write pretrained={text}"
    elif isinstance(text, type) and issubclass(text, Enum):
        hint = f": choose a member, such as {text.__name__}.DEFAULT"
    raise InputTypeError(f"{expected}, got {type(text).__name__}{hint}")


def _hub_advice(place: str) -> str:
    """Suggest `hf-hub:` for a path that could be the name of a repository."""
    repo = re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", place)
    return f"; for the repository on the Hugging Face Hub, write 'hf-hub:{place}'" if repo and place[0] not in "./~" else ""


def _url_file(url: str) -> UrlFile:
    """Return the source for a URL with a hash: `name-<hash>.pth` or `name.pth#sha256=<hash>`."""
    address, _, fragment = url.partition("#")
    named = HASH.search(address.partition("?")[0].rpartition("/")[2])
    sha256 = fragment.removeprefix("sha256=").lower() or (named[1] if named else "")
    if not sha256:
        raise InputError(
            f"{address} has no SHA-256 of the file: append it, as in '{address}#sha256=0123abcd...', or download the file and give "
            "its path"
        )
    return UrlFile(url=address, sha256=sha256)


def _fetch_url(url: str) -> tuple[UrlFile, Path]:
    """Fetch the file behind a URL; if its hash is wrong, say that the digits in its name may not be the hash."""
    source = _url_file(url)
    try:
        return source, fetch(source).path
    except DamagedFileError as error:
        if "#" in url:
            raise
        advice = f"If {source.sha256} in its name is not its SHA-256, append that: '{source}#sha256=0123abcd...'."
        raise DamagedFileError(f"{error} {advice}") from None


def _read(place: str | UrlFile | HubFile, dialect: str | None, mmap: bool | None) -> Found:
    """Read a repository of the hub, a folder or a file."""
    if isinstance(place, str) and place.startswith(URL):
        source, path = _fetch_url(place)
        label, file = str(source), read_weights(path, mmap=mmap is not False)
    elif not isinstance(place, str):
        label, file = str(place), read_weights(fetch(place).path, mmap=mmap is not False)
    elif place.startswith(HUB):
        label, file = place, _read_hub(place.split(":", 1)[1], mmap is not False)
    else:
        path = local_path(place.removeprefix(LOCAL))
        if not path.exists():
            raise MissingFileError(f"there is no file and no folder {path}{_hub_advice(place)}")
        label, file = str(path), _read_folder(path, bool(mmap)) if path.is_dir() else _read_file(path, bool(mmap))
    return Found(label=label, spec=file.pretrained_cfg.spec if file.pretrained_cfg else None, file=file, dialect=dialect)


def _read_file(path: Path, mmap: bool) -> WeightsFile:
    """Read a file; one with the name and SHA-256 of a file of the catalog gets the catalog's config."""
    file = read_weights(path, mmap=mmap)
    if file.pretrained_cfg is None and HASH.search(path.name):
        for cfg in pretrained_configs().values():
            urls = [source for source in cfg.sources if isinstance(source, UrlFile) and source.url.rpartition("/")[2] == path.name]
            if any(sha256_file(path).startswith(source.sha256) for source in urls):
                return replace(file, pretrained_cfg=cfg)
    return file


def _read_folder(folder: Path, mmap: bool) -> WeightsFile:
    def get(name: str) -> Path:
        if not (folder / name).exists():
            raise MissingFileError(f"there is no {name} in {folder}")
        return folder / name

    return _read_repository(get, str(folder), mmap=mmap, folder=folder)


def _read_hub(text: str, mmap: bool) -> WeightsFile:
    """Read a repository of the hub, with all files from the same commit."""
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
        raise MissingFileError(f"{label} has no {CONFIG}, which describes the network") from error
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
            raise InputError(f"{label}: {CONFIG} and the header of the weights differ:\n  {ours}\n  {theirs}")
    return replace(file, pretrained_cfg=cfg)


def _was_interrupted(header: PretrainedConfig, folder: Path) -> bool:
    """Return whether saving stopped after the weights: a temporary config.json, or by now config.json itself, matches them."""
    for path in (*unfinished(folder, CONFIG), folder / CONFIG):
        with suppress(OSError, ValueError):
            if pretrained_config_of(read_json(path)) == header:
                return True
    return False
