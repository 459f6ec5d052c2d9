"""Reading image files: all of them once, so that none stops a training later, and each when it is asked for."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from resnetlib.data.folder import ImageFiles
from resnetlib.disk import open_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from PIL.Image import Image


def read_image(path: str | Path) -> "Image":
    """Read an image file, whole.

    Args:
        path: the file.

    Returns:
        The image, in RGB; of 16 bits the upper eight. As in torchvision, it lies as it is stored, whatever its EXIF data say.

    Raises:
        ValueError: if it is no image that can be read, or its numbers have no known range.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode in ("I", "F"):
                raise ValueError(f"its pixels, of mode {image.mode}, have no known range: save it with 8 or 16 bits")
            if image.mode.startswith("I;16"):
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            return image.convert("RGB")
    except Exception as error:  # Pillow's decoders promise no set of errors
        raise ValueError(f"{path} is no image that can be read: {error}") from error


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Image files as a data set: each is read when it is asked for.

    Args:
        files: the images.
        transform: makes a tensor of an RGB image, as a network's `preprocess` does.
    """

    def __init__(self, files: ImageFiles, transform: "Callable[[Image], Tensor]") -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        """Count the images."""
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """Read an image, and return it with its label."""
        path, label = self.files.samples[number]
        return self.transform(read_image(self.files.root / path)), label


def try_images(files: ImageFiles) -> ImageFiles:
    """Read every image once, so that none that cannot be read stops a training later.

    Args:
        files: the images.

    Returns:
        Those that can be read, with the hash of their contents; the others are passed over.

    Raises:
        ValueError: if no image of a class can be read.
    """
    from tqdm import tqdm

    paths = [files.root / path for path, _ in files.samples]
    with ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1))) as pool:
        try:
            read = list(tqdm(pool.map(_try, paths), total=len(paths), desc="reading", unit="image", disable=None))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    complaints = [complaint for _, complaint in read]
    good = tuple(sample for sample, complaint in zip(files.samples, complaints, strict=True) if complaint is None)
    bad = [(sample[0], complaint) for sample, complaint in zip(files.samples, complaints, strict=True) if complaint is not None]
    lost = sorted(set(range(len(files.classes))) - {label for _, label in good})
    if lost:
        label_of = dict(files.samples)
        examples = [f"{path} ({why})" for path, why in bad if label_of[path] in lost]
        names = ", ".join(files.classes[label] for label in lost)
        raise ValueError(f"{files.root} has no image of {names} that can be read: {'; '.join(examples[:3])}")
    digest = hashlib.sha256(b"".join(content for content, complaint in read if complaint is None)).hexdigest()
    return replace(files, samples=good, passed_over=(*files.passed_over, *bad), digest=digest)


def _try(path: Path) -> tuple[bytes, str | None]:
    """Return the hash of an image file, and what is wrong with it."""
    try:
        read_image(path)
        with open_file(path) as file:  # from the system's cache
            return hashlib.file_digest(cast("Any", file), "sha256").digest(), None
    except ValueError as error:
        return b"", f"cannot be read: {error.__cause__}"
