"""Configs of pretrained weights: network, preprocessing, classes, published figures and sources."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from math import floor
from typing import Any

from resnetlib.config.preprocess import MEAN_STD, Normalization, Preprocessing
from resnetlib.config.spec import NUM_CLASSES, Spec, Stem, parse_object, spec_from_dict
from resnetlib.errors import InputError, InputTypeError, printable

_HEX = re.compile(r"[0-9a-f]{8,64}")
_REPO = re.compile(r"(?!.{97})(?!.*(--|\.\.|\.git$|[-.](/|$)))[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
"""The hub's rules for names of repositories: `org/name`, 96 characters at most."""

MAX_NAME_LENGTH = 200
MAX_STAGES = 32

DEFAULT_PREPROCESSING: Mapping[Stem, Preprocessing] = {
    "imagenet": Preprocessing(
        resize=256, size=224, mean=MEAN_STD["imagenet"][0], std=MEAN_STD["imagenet"][1], interpolation="bicubic"
    ),
    "cifar": Preprocessing.named("cifar10", resize=32, size=32),
}
"""The usual preprocessing for each stem, which timm's tools assume if that of the weights is unknown."""


def classes_of_timm(values: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Read the names of the classes from timm's keys; None if there are none."""
    names, descriptions = values.get("label_names"), values.get("label_descriptions") or {}
    if isinstance(names, Mapping):
        names = [names[key] for key in sorted(names, key=int)]
    return tuple(str(descriptions.get(name, name)) for name in names) if names else None


def preprocessing_of_timm(values: Mapping[str, Any]) -> Preprocessing | None:
    """Read the preprocessing from timm's keys; None if it crops in another way."""
    _, size, width = values["input_size"]
    if size != width or values.get("crop_mode", "center") != "center":
        return None
    return Preprocessing(
        resize=floor(size / values.get("crop_pct", 0.875)),
        size=size,
        mean=tuple(map(float, values["mean"])),
        std=tuple(map(float, values["std"])),
        interpolation=values.get("interpolation", "bilinear"),
    )


def preprocessing_for(stem: Stem, normalization: Normalization | None = None) -> Preprocessing:
    """Return the usual preprocessing: 224 pixels after resizing to 256, or 32 for CIFAR's stem."""
    if stem == "imagenet":
        return Preprocessing.named(normalization or "imagenet", resize=256, size=224)
    return Preprocessing.named(normalization or "cifar10", resize=32, size=32)


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedFile:
    """A weights file in this package.

    Args:
        file: name of the file.
        sha256: SHA-256 of the content, in hexadecimal.
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
        dialect: naming scheme of the tensors.
        sha256: SHA-256 of the content, in hexadecimal, or its first digits; None for the one that the hub publishes.
    """

    repo: str
    file: str = "model.safetensors"
    revision: str = "main"
    dialect: str = "torchvision"
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.repo, str) or not _REPO.fullmatch(self.repo):
            raise InputError(
                f"a repository of the hub is called org/name, without .git at the end, got {printable(repr(self.repo), 200)}"
            )
        if not _is_relative(self.file):
            raise InputError(f"a file of a repository must have a path inside it, got {self.file!r}")
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
        dialect: naming scheme of the tensors.
    """

    url: str
    sha256: str
    mib: float | None = None
    dialect: str = "torchvision"

    def __post_init__(self) -> None:
        if not isinstance(self.url, str):
            raise InputTypeError(f"url must be a str, got {self.url!r:.200}")
        if "@" in re.split(r"[/?#]", self.url.partition("://")[2], maxsplit=1)[0]:
            raise InputError("a URL must not contain a user name or a password, since error messages would show them")
        if not self.url.startswith(("https://", "http://")):
            raise InputError(f"a URL must begin with https:// or http://, got {self.url!r}")
        _check_hash(self.sha256)

    def __str__(self) -> str:
        return re.split(r"[?#]", self.url, maxsplit=1)[0]


Source = EmbeddedFile | HubFile | UrlFile
"""Where weights are stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainedConfig(Mapping[str, Any]):
    """A description of weights. None and "" mean that a value is unknown.

    It is also a read-only mapping with the keys of timm's `pretrained_cfg` (`input_size`, `mean`, `crop_pct`, `classifier` ...), so
    that timm's tools understand it. Where the preprocessing is unknown, the mapping has the usual one for the network's stem.

    Args:
        name: name of the network, or "" if it has none.
        tag: name of the weights, or "" if they are not in the catalog.
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
        license: license of the weights.
        origin: who trained them.
        sources: where they are stored, in the order in which the sources are tried.
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
        if not isinstance(self.spec, Spec):
            raise InputError(f"spec must be a ResNetSpec or a DenseNetSpec, got {type(self.spec).__name__}")
        if len(self.spec.depths) > MAX_STAGES:
            raise InputError(f"a network has at most {MAX_STAGES} stages, got {len(self.spec.depths):,}")
        if self.preprocess is not None and not isinstance(self.preprocess, Preprocessing):
            raise InputError(f"preprocess must be a Preprocessing or None, got {type(self.preprocess).__name__}")
        short = f"a str of at most {MAX_NAME_LENGTH} printable characters"  # they appear in messages
        self._check("name tag", short, lambda v: isinstance(v, str) and v.isprintable() and len(v) <= MAX_NAME_LENGTH)
        self._check("evaluated_on recipe license origin", "a str", lambda v: isinstance(v, str))
        self._check("classes class_ids", "a tuple of strs or None", lambda v: v is None or _is_tuple_of(str, v))
        self._check("params", "an int above 0 or None", lambda v: v is None or (isinstance(v, int) and v > 0))
        self._check("gmacs", "a float above 0 or None", lambda v: v is None or (isinstance(v, float) and v > 0))
        self._check(
            "top1 top5 train_top1", "a float in percent or None", lambda v: v is None or (isinstance(v, float) and 0 <= v <= 100)
        )
        self._check("sources", "a tuple of sources", lambda v: _is_tuple_of(Source, v))
        if self.class_ids is not None and len(self.class_ids) != len(self.classes or ()):
            raise InputError(
                f"class_ids and classes must have the same length, got {len(self.class_ids)} and {len(self.classes or ())}"
            )

    def _check(self, names: str, expected: str, valid: Callable[[Any], bool]) -> None:
        for name in names.split():
            if not valid(getattr(self, name)):
                raise InputError(f"{name} must be {expected}, got {printable(repr(getattr(self, name)), 200)}")

    @property
    def full_name(self) -> str:
        """Name and tag, as `create_model` takes them: `resnet50.tv2_in1k`."""
        return f"{self.name}.{self.tag}" if self.tag else self.name

    def to_timm(self) -> dict[str, Any]:
        """Return the config with timm's keys.

        >>> from resnetlib import create_model
        >>> cfg = create_model("cifar_resnet20.resnetlib_c10").pretrained_cfg.to_timm()
        >>> cfg["input_size"], cfg["crop_pct"], cfg["classifier"]
        ((3, 32, 32), 1.0, 'fc')
        """
        steps = self.preprocess or DEFAULT_PREPROCESSING[self.spec.stem]
        stride = (4 if self.spec.stem == "imagenet" else 1) * 2 ** (len(self.spec.depths) - 1)
        dense = self.spec.family == "densenet"
        return {
            "architecture": self.name or self.spec.family,
            "tag": self.tag,
            "input_size": (steps.channels, steps.size, steps.size),
            "fixed_input_size": False,
            "interpolation": steps.interpolation,
            "crop_pct": steps.size / steps.resize,
            "crop_mode": "center",
            "mean": steps.mean,
            "std": steps.std,
            "num_classes": len(self.classes) if self.classes else NUM_CLASSES[self.spec.stem],
            "pool_size": (-(-steps.size // stride),) * 2,
            "first_conv": "features.conv0" if dense else "conv1",
            "classifier": "classifier" if dense else "fc",
            "license": self.license or None,
        }

    def __getitem__(self, key: str) -> Any:
        return self.to_timm()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.to_timm())

    def __len__(self) -> int:
        return len(self.to_timm())

    def to_json(self) -> str:
        """Return the config as JSON, on one line, without the sources."""
        values = asdict(self)
        del values["sources"]
        return json.dumps({**values, "spec": json.loads(self.spec.to_json())})


def pretrained_config_from_json(text: str) -> PretrainedConfig:
    """Read the JSON of `PretrainedConfig.to_json`; raise ValueError for anything else."""
    return pretrained_config_from_dict(parse_object(text, "a pretrained config"))


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
                "preprocess": None if preprocess is None else Preprocessing(**preprocess),
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"the pretrained config cannot be read: {printable(repr(error), 1000)}") from error


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Convert the lists of a JSON object back to tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def _is_tuple_of(kind: Any, values: object) -> bool:
    return isinstance(values, tuple) and all(isinstance(value, kind) for value in values)


def _is_relative(path: object) -> bool:
    """Return whether a path stays inside its folder, on every operating system."""
    if not isinstance(path, str) or not path or "\\" in path or ":" in path or not path.isprintable():
        return False
    return all(part not in ("", ".", "..") for part in path.split("/"))


def _check_hash(sha256: str | None) -> None:
    if sha256 is not None and (not isinstance(sha256, str) or not _HEX.fullmatch(sha256)):
        raise InputError(f"sha256 must be 8 to 64 hexadecimal digits, in lower case, got {sha256!r}")
