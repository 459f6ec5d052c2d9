"""Images in memory, and CIFAR-10, which is read from the published files."""

import hashlib
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from resnetlib.config import CIFAR10_CLASSES
from resnetlib.config.integers import MAX_INT, check_count
from resnetlib.config.names import check_names
from resnetlib.disk import local_path, read_file
from resnetlib.errors import InputError, InputTypeError, MissingFileError
from resnetlib.images import as_tensor

if TYPE_CHECKING:
    from PIL.Image import Image

CHECKSUMS = {  # SHA-256 of the binary files, MD5 of the pickles
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}

_FILES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
_PIXELS = 3 * 32 * 32
_MAX_BYTES = 2**28  # eight times a published file


@dataclass(frozen=True, slots=True, eq=False)
class LabeledImages:
    """Images in memory, with labels.

    Args:
        images: `(N, C, H, W)`, a tensor or an array of integers from 0 to 255, converted to uint8.
        labels: `(N,)`, a tensor or an array of integers of any width from 0 to the number of classes - 1, converted to int64.
        classes: names of the labels, each once, converted to a tuple.

    Raises:
        TypeError: for arguments of other types.
        ValueError: if images are not integers from 0 to 255, labels are not indices of the classes, or the shapes do not match.

    Example:
        >>> LabeledImages(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.tensor([1, 0]), ["cat", "dog"]).classes
        ('cat', 'dog')
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        images, labels = _to_tensor("images", self.images), _to_tensor("labels", self.labels)
        if not _is_integer(labels):
            raise InputError(f"labels must be integers, got {labels.dtype}: convert them with .to(torch.int64)")
        if images.ndim != 4 or labels.shape != images.shape[:1]:
            shapes = f"{tuple(images.shape)} and {tuple(labels.shape)}"
            raise InputError(f"images must be (N, C, H, W) and labels (N,), got {shapes}")
        if images.shape[1] > 4 and images.shape[3] in (1, 3):
            raise InputError(f"images must be (N, C, H, W), got {tuple(images.shape)}: move the channels to the second dimension")
        classes = check_names("classes", self.classes)
        if twice := sorted({name for name in classes if classes.count(name) > 1}):
            raise InputError(f"classes must be unique, got {', '.join(twice)} several times")
        labels = labels.long()
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
            raise InputError(
                f"labels must be 0 to {len(classes) - 1}, the classes' indices, got {int(labels.min())} to {int(labels.max())}"
            )
        object.__setattr__(self, "images", _to_bytes(images))
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "classes", classes)

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "LabeledImages":
        """Return the first `count` images, or all if there are fewer, without a copy."""
        count = check_count("count", count, minimum=1, maximum=MAX_INT)
        return replace(self, images=self.images[:count], labels=self.labels[:count])

    def batches(self, preprocess: Callable[[Tensor], Tensor], size: int = 250) -> list[tuple[Tensor, Tensor]]:
        """Preprocess all images, for `evaluate` or an analysis.

        Args:
            preprocess: function of uint8 images, such as `transform_for(net)`.
            size: images in a batch; the last one may be smaller.

        Returns:
            The inputs and labels of each batch.

        Raises:
            ValueError: if the size is below 1.
        """
        size = min(check_count("size", size, minimum=1, maximum=MAX_INT), max(1, len(self)))
        pairs = zip(self.images.split(size), self.labels.split(size), strict=True)
        return [(preprocess(images), labels) for images, labels in pairs]


def _to_tensor(name: str, values: object) -> Tensor:
    if not isinstance(values, Tensor | np.ndarray):
        raise InputTypeError(f"{name} must be a tensor or an array, got {type(values).__name__}")
    try:
        return as_tensor(values)
    except TypeError as error:  # an array of objects or texts
        raise InputTypeError(f"{name} must be numbers, got an array of {values.dtype}") from error


def _is_integer(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() and not tensor.is_complex() and tensor.dtype != torch.bool


def _to_bytes(images: Tensor) -> Tensor:
    """Convert images to uint8; raise ValueError if they are not integers from 0 to 255."""
    if images.dtype == torch.uint8:
        return images
    wanted = f"images must be torch.uint8, got {images.dtype}"
    if images.is_complex() or images.dtype == torch.bool or not images.numel():
        raise InputError(wanted)
    smallest, largest = (value.item() for value in images.to(torch.int64 if _is_integer(images) else images.dtype).aminmax())
    values = f"with values from {smallest:.4g} to {largest:.4g}"
    if not 0 <= smallest <= largest <= 255:
        raise InputError(f"{wanted} {values}: give pixels from 0 to 255, before any normalization")
    if not _is_integer(images):
        convert = "(x * 255).round()" if largest <= 1 else "x.round()"
        raise InputError(f"{wanted} {values}: convert them with {convert}.to(torch.uint8)")
    return images.to(torch.uint8)


def cifar10(folder: str | Path, split: Literal["train", "test"], *, verify: bool = True) -> LabeledImages:
    """Read CIFAR-10.

    Args:
        folder: `cifar-10-batches-bin` or `cifar-10-batches-py`, as published, or their parent folder.
        split: "train" (50,000 images) or "test" (10,000).
        verify: compare the checksums of the binary files with the published ones. Those of the pickled files are always compared,
            since unpickling could run code.

    Returns:
        The images, in the order of the files.

    Raises:
        FileNotFoundError: if the folder or one of its files is missing.
        ValueError: if a file is not the published one, or `split` is unknown.

    Source:
        https://www.cs.toronto.edu/~kriz/cifar.html
    """
    if split not in _FILES:
        raise InputError(f"split must be 'train' or 'test', got {split!r}")
    found = _find(folder := local_path(folder))
    if found is None:
        what = "has no test_batch or test_batch.bin" if folder.is_dir() else "is not a folder"
        raise MissingFileError(
            f"{folder} {what}: give the folder cifar-10-batches-bin or cifar-10-batches-py, or the one around it"
        )
    batches, ending = found
    labels, images = zip(*(_read(batches / f"{name}{ending}", verify) for name in _FILES[split]), strict=True)
    return LabeledImages(torch.cat(images), torch.cat(labels), CIFAR10_CLASSES)


def samples() -> LabeledImages:
    """Read the ten images in the package: the first test images of CIFAR-10.

    Returns:
        The images, in the order of the test set.

    Example:
        >>> found = samples()
        >>> found.images.shape, found.classes[found.labels[0]]
        (torch.Size([10, 3, 32, 32]), 'cat')
    """
    names, images = zip(*sample_images(), strict=True)
    labels = [CIFAR10_CLASSES.index(name.removesuffix(".png").rpartition("_")[2]) for name in names]
    pixels = np.stack([np.asarray(image) for image in images])
    return LabeledImages(torch.from_numpy(pixels).movedim(3, 1), torch.tensor(labels), CIFAR10_CLASSES)


def sample_images() -> list[tuple[str, "Image"]]:
    """Return the file names of the ten images in the package, such as "test_0_cat.png", and the images."""
    from PIL import Image

    found = sorted(files("resnetlib.data").joinpath("samples").iterdir(), key=lambda file: file.name)
    return [(each.name, Image.open(io.BytesIO(each.read_bytes())).convert("RGB")) for each in found if each.name.endswith(".png")]


def is_cifar10(folder: str | Path) -> bool:
    """Return whether a folder holds CIFAR-10, so that `cifar10` can read it."""
    return _find(local_path(folder)) is not None


def _find(folder: Path) -> tuple[Path, str] | None:
    """Return the folder with the files, and the ending of their names; None if there are none."""
    for candidate in (folder, folder / "cifar-10-batches-bin", folder / "cifar-10-batches-py"):
        for ending in (".bin", ""):
            if (candidate / f"test_batch{ending}").is_file():
                return candidate, ending
    return None


def _read(path: Path, verify: bool) -> tuple[Tensor, Tensor]:
    """Return the labels and images of a file, from the same bytes that are hashed."""
    try:
        content = read_file(path, _MAX_BYTES)
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} is missing, though other files of CIFAR-10 are there: unpack the archive again") from error
    binary = path.suffix == ".bin"
    if verify or not binary:
        digest = hashlib.new("sha256" if binary else "md5", content, usedforsecurity=False).hexdigest()
        if digest != CHECKSUMS[path.name]:
            advice = "" if binary else "; another pickle is never read, since it could run code: use the binary form"
            raise InputError(
                f"{path} is damaged or not the published file: its checksum is {digest}, not {CHECKSUMS[path.name]}{advice}"
            )
    if not binary:
        batch = pickle.loads(content, encoding="bytes")  # noqa: S301 - its checksum is the published one
        return torch.tensor(batch[b"labels"]), torch.from_numpy(batch[b"data"].copy()).reshape(-1, 3, 32, 32)
    if not content or len(content) % (1 + _PIXELS):
        raise InputError(f"{path} is truncated: {len(content):,} bytes are not a whole number of records of {1 + _PIXELS:,}")
    records = torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(-1, 1 + _PIXELS)
    if int(records[:, 0].max()) > 9:
        raise InputError(f"{path} is damaged: it holds the label {int(records[:, 0].max())}, but CIFAR-10's are 0 to 9")
    return records[:, 0].long(), records[:, 1:].clone().reshape(-1, 3, 32, 32)
