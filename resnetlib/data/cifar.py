"""CIFAR-10 in memory, from the folders in which it is published."""

import hashlib
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from resnetlib.data.checksums import CIFAR10_MD5, CIFAR10_SHA256
from resnetlib.disk import read_file

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_FILES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
_PIXELS = 3 * 32 * 32
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_LARGEST = 2**28
"""The most bytes read of a file: eight times the published ones."""


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Images and what they show, in memory.

    Args:
        images: `(N, 3, H, W)`, uint8, RGB.
        labels: `(N,)`, integers; they become int64.
        classes: the name of each label, a sequence; it becomes a tuple.

    Raises:
        TypeError: for other types.
        ValueError: for tensors of another dtype, or of shapes that do not fit.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check types, dtypes and shapes."""
        for name in ("images", "labels"):
            if not isinstance(tensor := getattr(self, name), Tensor):
                raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
        if self.images.dtype != torch.uint8:
            raise ValueError(f"images must be torch.uint8, got {self.images.dtype}: convert them with .to(torch.uint8)")
        if self.labels.dtype not in _INTEGERS:
            raise ValueError(f"labels must be integers, got {self.labels.dtype}: convert them with .to(torch.int64)")
        if self.images.ndim != 4 or self.labels.shape != self.images.shape[:1]:
            shapes = f"{tuple(self.images.shape)} and {tuple(self.labels.shape)}"
            raise ValueError(f"images must be (N, 3, H, W) and labels (N,), got {shapes}")
        listed = isinstance(self.classes, Sequence) and not isinstance(self.classes, str)
        if not listed or not all(isinstance(name, str) for name in self.classes):
            raise TypeError(f"classes must be a sequence of names, got {self.classes!r:.200}")
        object.__setattr__(self, "labels", self.labels.long())
        object.__setattr__(self, "classes", tuple(self.classes))

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def first(self, count: int) -> "LabelledImages":
        """Take the first images.

        Args:
            count: how many; all, if there are fewer.

        Returns:
            They, without a copy.

        Raises:
            ValueError: if that is less than one.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        return replace(self, images=self.images[:count], labels=self.labels[:count])

    def batches(self, preprocess: Callable[[Tensor], Tensor], size: int = 250) -> list[tuple[Tensor, Tensor]]:
        """Preprocess all images, for `evaluate` or an analysis.

        Args:
            preprocess: `transform_for(net)`, or another function of uint8 images.
            size: images in a batch; in the last one may be fewer.

        Returns:
            Inputs and labels of each batch.

        Raises:
            ValueError: for a size below one.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        pairs = zip(self.images.split(size), self.labels.split(size), strict=True)
        return [(preprocess(images), labels) for images, labels in pairs]


def cifar10(folder: str | Path, split: Literal["train", "test"], *, verify: bool = True) -> LabelledImages:
    """Read CIFAR-10.

    Args:
        folder: `cifar-10-batches-bin` or `cifar-10-batches-py`, as published, or the folder that holds one of them.
        split: "train" (50,000 images) or "test" (10,000).
        verify: compare each file's checksum with the published file's. Without it, only sizes and labels of the binary form are
            checked; the pickled form is compared all the same, since to unpickle other bytes could run code.

    Returns:
        The images, in the order of the files.

    Raises:
        FileNotFoundError: if the folder or one of its files is not there.
        ValueError: for a file that is short, damaged or not the published one, or another split.

    Source:
        https://www.cs.toronto.edu/~kriz/cifar.html
    """
    if split not in _FILES:
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    folder, binary = _find(Path(folder))
    records = [_read(folder / (name + ".bin" if binary else name), binary, verify) for name in _FILES[split]]
    labels = torch.cat([labels for labels, _ in records])
    images = torch.cat([images for _, images in records])
    return LabelledImages(images, labels, CIFAR10_CLASSES)


def is_cifar10(folder: str | Path) -> bool:
    """Tell whether a folder is CIFAR-10's, or the one around it."""
    return _candidate(Path(folder)) is not None


def _candidate(folder: Path) -> tuple[Path, bool] | None:
    """Return the folder that holds the files, and whether they are the binary ones; None where there are none."""
    for candidate in (folder, folder / "cifar-10-batches-bin", folder / "cifar-10-batches-py"):
        for name, binary in (("test_batch.bin", True), ("test_batch", False)):
            if (candidate / name).is_file():
                return candidate, binary
    return None


def _find(folder: Path) -> tuple[Path, bool]:
    """Return the folder that holds the files, and whether they are the binary ones."""
    found = _candidate(folder)
    if found is not None:
        return found
    what = "has no test_batch or test_batch.bin" if folder.is_dir() else "is no folder"
    raise FileNotFoundError(f"{folder} {what}: give the folder cifar-10-batches-bin or cifar-10-batches-py, or the one around it")


def _read(path: Path, binary: bool, verify: bool) -> tuple[Tensor, Tensor]:
    """Return the labels and the images of one file, from the same bytes that are hashed."""
    try:
        content = read_file(path, _LARGEST)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is not there, though other files of CIFAR-10 are: unpack the archive again") from error
    if verify or not binary:
        published = CIFAR10_SHA256 if binary else CIFAR10_MD5
        digest = hashlib.new("sha256" if binary else "md5", content, usedforsecurity=False).hexdigest()
        if digest != published[path.name]:
            advice = "" if binary else "; another pickle is never read, since it could run code: use the binary form"
            raise ValueError(
                f"{path} is damaged or not the published file: its checksum is {digest}, not {published[path.name]}{advice}"
            )
    labels, pixels = _from_binary(path, content) if binary else _from_published_pickle(content)
    return labels.long(), pixels.reshape(-1, 3, 32, 32)


def _from_binary(path: Path, content: bytes) -> tuple[Tensor, Tensor]:
    """Split records of a label byte and 3,072 pixel bytes."""
    if not content or len(content) % (1 + _PIXELS):
        raise ValueError(f"{path} is short: {len(content):,} bytes are no whole number of records of {1 + _PIXELS:,}")
    records = torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(-1, 1 + _PIXELS)
    if int(records[:, 0].max()) > 9:
        raise ValueError(f"{path} is damaged: it holds the label {int(records[:, 0].max())}, and CIFAR-10's are 0 to 9")
    return records[:, 0].clone(), records[:, 1:].clone()


def _from_published_pickle(content: bytes) -> tuple[Tensor, Tensor]:
    """Unpickle a batch whose checksum is the published one's."""
    batch = pickle.loads(content, encoding="bytes")  # noqa: S301 - its checksum says that these bytes are known
    return torch.tensor(batch[b"labels"]), torch.from_numpy(batch[b"data"].copy())
