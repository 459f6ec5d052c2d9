"""Read image files, without torch."""

import os
import platform
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import numpy as np

from resnetlib.config import METADATA, prepare_image
from resnetlib.config.integers import check_count
from resnetlib.disk import open_file
from resnetlib.errors import InputError, InputTypeError, MissingFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

S = TypeVar("S")
T = TypeVar("T")

ENDINGS = (".jpg", ".jpeg", ".jfif", ".png", ".gif", ".webp", ".avif", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")
"""torchvision's list of image files, and GIF, JFIF and AVIF."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow has others, one of which starts a program
_BATCH = 32  # images that are classified at once
_MAX_RATIO = 100  # of an image's sides: preprocessing enlarges the shorter one to a fixed size


def read_image(path: str | Path | BinaryIO, *, exif: bool = True) -> "Image":
    """Read an image file. Several threads may call this at the same time.

    Args:
        path: a JPEG, PNG, BMP, PPM, TIFF, WebP, GIF or, where Pillow has it, AVIF; or a binary file object, such as `io.BytesIO`.
        exif: whether to turn the image upright by its EXIF orientation, which torchvision's `ImageFolder` ignores.

    Returns:
        The image in RGB: the upper 8 of 16 bits, and the first of several frames.

    Raises:
        TypeError: for bytes, which could be content or a path: give `io.BytesIO(data)` or a str.
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be read, its pixels have no known range, it has more than twice `PIL.Image.MAX_IMAGE_PIXELS`
            pixels, or one side is more than 100 times as long as the other.
    """
    if not isinstance(path, str | Path) and not hasattr(path, "read"):  # Pillow would open the file of a path in bytes
        kind = type(path).__name__
        raise InputTypeError(f"path must be a str, a Path or a binary file, got {kind}: give io.BytesIO(data) for a file's content")
    try:
        if not isinstance(path, str | Path):
            return decode_image(path, exif)
        with open_file(path) as file:
            return decode_image(file, exif)
    except MissingFileError:
        raise
    except Exception as error:  # Pillow's decoders may raise anything
        what = (str(path) or "''") if isinstance(path, str | Path) else "the content"
        raise InputError(f"{what} cannot be read as an image: {error}") from error


@cache
def _formats() -> tuple[str, ...]:
    return (*_FORMATS, *(["AVIF"] if find_spec("PIL.AvifImagePlugin") else []))  # since Pillow 11.3


def decode_image(file: BinaryIO, exif: bool = True) -> "Image":
    """Decode an image file, and convert it to RGB."""
    from PIL import Image, UnidentifiedImageError

    with _pillow_warnings_ignored():
        try:
            image = Image.open(file, formats=_formats())
        except UnidentifiedImageError as error:
            raise InputError(f"its content is none of {', '.join(_formats())}") from error
        if not 0 < max(image.size) <= _MAX_RATIO * min(image.size):
            raise InputError(f"one side is more than {_MAX_RATIO} times the other ({image.width} x {image.height} pixels)")
        rgb = prepare_image(image, exif=exif).convert("RGB")
        for key in METADATA:  # or the preprocessing would apply the orientation again
            rgb.info.pop(key, None)
        return rgb


@contextmanager
def _pillow_warnings_ignored() -> Iterator[None]:
    """Ignore Pillow's warnings, which do not name the file. Safe in threads, unlike `warnings.catch_warnings`."""
    filters, ignore = cast("list[Any]", warnings.filters), ("ignore", None, Warning, re.compile(r"PIL\."), 0)
    filters.insert(0, ignore)
    try:
        yield
    finally:
        with suppress(ValueError):  # a `catch_warnings` that ended meanwhile has removed it
            filters.remove(ignore)


def in_batches(images: Any) -> tuple[Iterator[list[Any]], bool]:
    """Return images in batches, and whether they are a single image; raise TypeError if they are neither."""
    single = isinstance(images, str | Path) or hasattr(images, "convert") or getattr(images, "ndim", 4) < 4
    if single:
        images = [images]
    elif isinstance(images, bytes | bytearray | memoryview | Mapping) or not (
        hasattr(images, "__len__") and hasattr(images, "__getitem__")
    ):
        raise InputTypeError(f"images must be an image or a sequence of images, got {type(images).__name__}")
    each = islice(images, len(images))
    return iter(lambda: list(islice(each, _BATCH)), []), single


def open_image(image: object, *, exif: bool = True) -> Any:
    """Read the image at a path, or convert a uint8 array to a PIL image; return anything else unchanged."""
    if isinstance(image, str | Path):
        return read_image(image, exif=exif)
    if not isinstance(image, np.ndarray):
        return image
    from PIL import Image

    try:
        return Image.fromarray(image)
    except TypeError as error:
        what = f"{image.dtype} of shape {image.shape}"
        raise InputError(f"an array must be a uint8 image (H, W) or (H, W, 3), got {what}") from error


def as_tensor(values: "Tensor | NDArray[Any]") -> "Tensor":
    """Return values as a tensor; an array that PyTorch cannot share, such as a flipped or a read-only one, is copied."""
    import torch

    if isinstance(values, np.ndarray):
        mapped = isinstance(values, np.memmap)  # which may be larger than the memory
        values = np.require(values, values.dtype.newbyteorder("="), ["A"] if mapped else ["A", "W"])
        values = values.copy() if min(values.strides, default=0) < 0 else values
    return torch.as_tensor(values)


def evenly_spaced(n: int, length: int) -> list[int]:
    """Return `n` indices spread evenly over a sequence; all of them if `n` is 0 or larger than the sequence."""
    n = min(n or length, length)
    return [i * length // n for i in range(n)]


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_name() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def count_workers(workers: int | None) -> int:
    """Return the number of workers that read images, by default one per core, up to 8; raise ValueError for other types."""
    return min(8, count_cores()) if workers is None else check_count("workers", workers, minimum=0)


def read_ahead(read: Callable[[S], T], items: Iterable[S], workers: int | None = None) -> Iterator[T]:
    """Yield `read(item)` for each item, in order, reading up to `workers` items ahead in threads."""
    workers = count_workers(workers)
    if not workers:
        yield from map(read, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        begun: deque[Future[T]] = deque()
        try:
            for item in items:
                begun.append(pool.submit(read, item))
                if len(begun) > workers:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
