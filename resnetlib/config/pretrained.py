"""The config of a set of pretrained weights: network, preprocessing, classes, published figures and sources."""

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from resnetlib.config.preprocess import Preprocessing
from resnetlib.config.spec import Spec, spec_from_dict
from resnetlib.errors import InputError
from resnetlib.text import printable

_HEX = re.compile(r"[0-9a-f]{8,64}")
_REPO = re.compile(r"(?!.*(--|\.\.|[-.](/|$)))[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_LONGEST_REPO = 96
"""The hub's own rules for names of repositories."""

LONGEST_NAME = 200
MOST_STAGES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedFile:
    """A weights file in this package.

    Args:
        file: name of the file.
        sha256: SHA-256 of the content, in hexadecimal.

    Raises:
        ValueError: if the hash is malformed.
    """

    file: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        _check_hash(self.sha256)

    def __str__(self) -> str:
        return f"{self.file} in the package"


@dataclass(frozen=True, kw_only=True, slots=True)
class HubFile:
    """A weights file in a repository of the Hugging Face Hub, or of the mirror in `HF_ENDPOINT`.

    Args:
        repo: `org/name`.
        file: path in the repository.
        revision: a branch, a tag or a commit.
        dialect: whose names the tensors have.
        sha256: SHA-256 of the content, in hexadecimal, or its first digits; None for the one that the hub publishes.

    Raises:
        ValueError: if the repository, the path, the revision or the hash is malformed.
    """

    repo: str
    file: str = "model.safetensors"
    revision: str = "main"
    dialect: str = "torchvision"
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.repo, str) or not _REPO.fullmatch(self.repo) or len(self.repo) > _LONGEST_REPO:
            raise InputError(f"a repository of the hub is called org/name, got {printable(repr(self.repo), 200)}")
        if not _is_relative(self.file):
            raise InputError(f"a file of a repository has a path inside it, got {self.file!r}")
        if not _is_relative(self.revision):
            raise InputError(f"a revision is a branch, a tag or a commit, got {self.revision!r}")
        _check_hash(self.sha256)

    def __str__(self) -> str:
        return f"hf-hub:{self.repo}{'@' + self.revision if self.revision != 'main' else ''} ({self.file})"


@dataclass(frozen=True, kw_only=True, slots=True)
class UrlFile:
    """A weights file behind a URL.

    Args:
        url: an http or https URL.
        sha256: SHA-256 of the content, in hexadecimal, or at least its first eight digits.
        mib: published size, in MiB.
        dialect: whose names the tensors have.

    Raises:
        ValueError: if the URL has another protocol, a user name or a password, or the hash is malformed.
    """

    url: str
    sha256: str
    mib: float | None = None
    dialect: str = "torchvision"

    def __post_init__(self) -> None:
        if "@" in re.split(r"[/?#]", self.url.partition("://")[2], maxsplit=1)[0]:
            raise InputError("a URL must be without a user's name and a password: whoever reads an error would read them too")
        if not self.url.startswith(("https://", "http://")):
            raise InputError(f"a URL must begin with https:// or http://, got {self.url!r}")
        _check_hash(self.sha256)

    def __str__(self) -> str:
        return re.split(r"[?#]", self.url, maxsplit=1)[0]


Source = EmbeddedFile | HubFile | UrlFile
"""A place where weights are stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainedConfig:
    """The description of a set of weights. None and "" mean that a value is not known.

    Args:
        name: name of the network, or "" if it has none.
        tag: name of the weights among those of this network, or "" if they are not in the catalogue.
        spec: the architecture.
        classes: names of the logits.
        class_ids: identifiers of the classes, such as WordNet's for ImageNet.
        preprocess: the preprocessing that the weights were evaluated with.
        params: number of parameters.
        gmacs: 10^9 multiply-accumulate operations for an image of 224 x 224 (ImageNet) or 32 x 32 (CIFAR).
        top1: top-1 accuracy, in percent, published or measured.
        top5: top-5 accuracy, in percent.
        train_top1: top-1 accuracy on the training images, in percent, evaluated in the same way.
        evaluated_on: the images and the pipeline of these figures.
        recipe: how the weights were trained.
        license: licence of the weights.
        origin: who trained them.
        sources: where they are stored, in the order in which the sources are tried.

    Raises:
        ValueError: if a value has another type, or is out of range.
    """

    name: str
    tag: str
    spec: Spec
    classes: tuple[str, ...] | None = None
    class_ids: tuple[str, ...] | None = None
    preprocess: Preprocessing | None = None
    params: int | None = None
    gmacs: float | None = None
    top1: float | None = None
    top5: float | None = None
    train_top1: float | None = None
    evaluated_on: str = ""
    recipe: str = ""
    license: str = ""
    origin: str = ""
    sources: tuple[Source, ...] = ()

    def __post_init__(self) -> None:
        for field in ("name", "tag", "evaluated_on", "recipe", "license", "origin"):
            if not isinstance(getattr(self, field), str):
                raise InputError(f"{field} must be a str, got {getattr(self, field)!r}")
        for field in ("name", "tag"):  # they appear in error messages
            if not getattr(self, field).isprintable() or len(getattr(self, field)) > LONGEST_NAME:
                shown = printable(getattr(self, field), 80)
                raise InputError(f"{field} must be at most {LONGEST_NAME} printable characters, got '{shown}'")
        if not isinstance(self.spec, Spec):
            raise InputError(f"spec must be a ResNetSpec or a DenseNetSpec, got {type(self.spec).__name__}")
        if self.preprocess is not None and not isinstance(self.preprocess, Preprocessing):
            raise InputError(f"preprocess must be a Preprocessing or None, got {type(self.preprocess).__name__}")
        if len(self.spec.depths) > MOST_STAGES:
            raise InputError(f"a network has at most {MOST_STAGES} stages, got {len(self.spec.depths):,}")
        for field in ("classes", "class_ids"):
            names = getattr(self, field)
            if names is not None and (not isinstance(names, tuple) or not all(isinstance(name, str) for name in names)):
                raise InputError(f"{field} must be a tuple of strs, got {names!r}")
        for field in ("top1", "top5", "train_top1"):
            share = getattr(self, field)
            if share is not None and (not isinstance(share, float) or not 0 <= share <= 100):
                raise InputError(f"{field} must be a float, in percent, got {share!r}")
        if self.params is not None and (not isinstance(self.params, int) or self.params < 1):
            raise InputError(f"params must be an int above 0, got {self.params!r}")
        if self.gmacs is not None and (not isinstance(self.gmacs, float) or not self.gmacs > 0):
            raise InputError(f"gmacs must be a float above 0, got {self.gmacs!r}")
        if not isinstance(self.sources, tuple) or not all(isinstance(source, Source) for source in self.sources):
            raise InputError(f"sources must be a tuple of sources, got {self.sources!r}")
        if self.class_ids is not None and len(self.class_ids) != len(self.classes or ()):
            raise InputError(f"a pretrained config names {len(self.classes or ())} classes and {len(self.class_ids)} class_ids")

    @property
    def full_name(self) -> str:
        """Name and tag, as `create_model` takes them: `resnet50.tv2_in1k`."""
        return f"{self.name}.{self.tag}" if self.tag else self.name

    def to_json(self) -> str:
        """Return the config as JSON on one line, without the sources, which say where the weights were found."""
        values = asdict(self)
        del values["sources"]
        return json.dumps({**values, "spec": json.loads(self.spec.to_json())})


def pretrained_config_from_json(text: str) -> PretrainedConfig:
    """Read the JSON of `PretrainedConfig.to_json`; raise ValueError for anything else."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the pretrained config cannot be read: {printable(repr(error))}") from error
    return pretrained_config_from_dict(values)


def pretrained_config_from_dict(values: dict[str, Any]) -> PretrainedConfig:
    """Create a pretrained config from a JSON object; raise ValueError for unknown or missing fields and for invalid values."""
    try:
        unknown = sorted(set(values) - ({field.name for field in fields(PretrainedConfig)} - {"sources"}))
        if unknown:
            raise InputError(f"unknown fields: {', '.join(unknown)}")
        preprocess = values.get("preprocess")
        return PretrainedConfig(
            **{
                **_tuples(values),
                "spec": spec_from_dict(values["spec"]),
                "preprocess": None if preprocess is None else Preprocessing(**_tuples(preprocess)),
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"the pretrained config cannot be read: {printable(repr(error), 1000)}") from error


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Convert the lists of a JSON object back to tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def _is_relative(path: object) -> bool:
    """Tell whether a path stays inside its folder, on every operating system."""
    if not isinstance(path, str) or not path or "\\" in path or ":" in path or not path.isprintable():
        return False
    return all(part not in ("", ".", "..") for part in path.split("/"))


def _check_hash(sha256: str | None) -> None:
    if sha256 is not None and (not isinstance(sha256, str) or not _HEX.fullmatch(sha256)):
        raise InputError(f"sha256 must be 8 to 64 hexadecimal digits, in lower case, got {sha256!r}")
