"""Reading image files: all of them once, so that none stops a training later, and each when it is asked for."""

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from resnetlib.data.folder import ImageFiles
from resnetlib.disk import open_file
from resnetlib.distributed import Processes
from resnetlib.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image


_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What a file may be, whatever its name says. Pillow knows others, and starts another program for one of them."""

_LONGEST = 100
"""How many times as long as wide an image may be: its shorter side is what preprocessing enlarges."""


def read_image(path: str | Path) -> "Image":
    """Read an image file, whole.

    Args:
        path: a JPEG, PNG, BMP, PPM, TIFF, WebP or GIF.

    Returns:
        The image, in RGB; of 16 bits the upper eight, of several images the first. As in torchvision, it lies as it is stored,
        whatever its EXIF data say.

    Raises:
        ValueError: if it is no image that can be read, its numbers have no known range, it has more pixels than Pillow's limit, or
            one side is more than 100 times as long as the other.
    """
    with warnings.catch_warnings():
        _silence_pillow()
        return _read(path)


def _silence_pillow() -> None:
    """Ignore Pillow's warnings, which do not name the file: what can be read is read, and what cannot is said."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _read(path: str | Path) -> "Image":
    """Read an image, with Pillow's warnings."""
    try:
        with open_file(path) as file:
            return _decode(file)
    except Exception as error:  # Pillow's decoders promise no set of errors
        raise ValueError(f"{path} is no image that can be read: {error}") from error


def _decode(file: BinaryIO) -> "Image":
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError(f"its content is none of {', '.join(_FORMATS)}") from error
    if not 0 < max(image.size) <= _LONGEST * min(image.size):
        raise ValueError(f"of {image.width} x {image.height} pixels, one side is more than {_LONGEST} times the other")
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels, of mode {image.mode}, have no known range: save it with 8 or 16 bits")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


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


def try_images(files: ImageFiles, *, known: Sequence[Mapping[str, Any]] = (), processes: Processes | None = None) -> ImageFiles:
    """Read every image once, so that none that cannot be read stops a training later.

    Args:
        files: the images.
        known: `ImageFiles.check_result` of earlier calls. Files that have not changed since are not read again.
        processes: share the work among these processes; None to do all of it in this one.

    Returns:
        Those that can be read, with the hash of their contents; the others are passed over.

    Raises:
        ValueError: if no image of a class can be read.
    """
    stamp = _stamp_of(files)
    for result in known:
        if result.get("stamp") == stamp:
            passed_over = tuple((str(path), str(why)) for path, why in result["passed_over"])
            bad = {path for path, _ in passed_over}
            good = tuple(sample for sample in files.samples if sample[0] not in bad)
            return replace(files, samples=good, passed_over=passed_over, digest=result["digest"], stamp=stamp)
    rank, world = (processes.rank, processes.world_size) if processes else (0, 1)
    read = _try_all([files.root / path for path, _ in files.samples[rank::world]])
    if processes:
        parts = processes.gather(read)
        read = [parts[i % world][i // world] for i in range(len(files))]
    complaints = [complaint for _, complaint in read]
    good = tuple(sample for sample, complaint in zip(files.samples, complaints, strict=True) if complaint is None)
    bad_files = [(path, complaint) for (path, _), complaint in zip(files.samples, complaints, strict=True) if complaint is not None]
    lost = sorted(set(range(len(files.classes))) - {label for _, label in good})
    if lost:
        label_of = dict(files.samples)
        examples = [f"{path} ({why})" for path, why in bad_files if label_of[path] in lost]
        names = ", ".join(files.classes[label] for label in lost)
        raise ValueError(f"{files.root} has no image of {names} that can be read: {'; '.join(examples[:3])}")
    digest = hashlib.sha256(b"".join(content for content, complaint in read if complaint is None)).hexdigest()
    return replace(files, samples=good, passed_over=(*files.passed_over, *bad_files), digest=digest, stamp=stamp)


def _try_all(paths: list[Path]) -> list[tuple[bytes, str | None]]:
    from tqdm import tqdm

    with warnings.catch_warnings(), ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1))) as pool:
        _silence_pillow()  # once for all threads, since a filter is the whole process's
        try:
            return list(tqdm(pool.map(_try, paths), total=len(paths), desc="reading", unit="image", disable=None))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _stamp_of(files: ImageFiles) -> str:
    """Hash the names, sizes and times of files: a file whose content changes has another ctime."""
    digest = hashlib.sha256()
    for path, label in files.samples:
        try:
            stat = (files.root / path).stat()
            times = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
        except OSError:
            times = "gone"
        digest.update(os.fsencode(path) + f" {label} {times}\n".encode())
    return digest.hexdigest()


def _try(path: Path) -> tuple[bytes, str | None]:
    """Return the hash of an image file, and what is wrong with it."""
    try:
        with open_file(path) as file:
            _decode(file)
            file.seek(0)
            return hashlib.file_digest(file, "sha256").digest(), None
    except Exception as error:  # noqa: BLE001 - Pillow's decoders promise no set of errors
        return b"", f"cannot be read: {printable(error)}"
