"""Image folders with a subfolder per class: find, split and read their images."""

import hashlib
import os
import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from resnetlib.disk import open_file
from resnetlib.distributed import Processes
from resnetlib.errors import InputError, MissingFileError
from resnetlib.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""torchvision's list of image files."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""The accepted formats, whatever a file's name is. Pillow has others, one of which starts a program."""

_MAX_RATIO = 100
"""The largest ratio of an image's sides: preprocessing enlarges the shorter one to a fixed size."""

_NOT_AN_IMAGE = "no images by their names"


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Paths of image files, and labels.

    Args:
        root: the folder.
        classes: the names of the labels: the subfolders, sorted.
        samples: for each image its path from `root`, and its label.
        passed_over: paths in the folder that are not used, and reasons.
        digest: hash of the contents of all images; "" before `try_images`.
        stamp: hash of the names, sizes and times of the files; "" before `try_images`.
    """

    root: Path
    classes: tuple[str, ...]
    samples: tuple[tuple[str, int], ...]
    passed_over: tuple[tuple[str, str], ...] = ()
    digest: str = ""
    stamp: str = ""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def check_result(self) -> dict[str, Any]:
        """The result of `try_images` as JSON values, for its next call on the same files."""
        return {"stamp": self.stamp, "digest": self.digest, "passed_over": [list(entry) for entry in self.passed_over]}

    @property
    def report(self) -> str:
        """The paths that are not used, with a line per reason."""
        reasons: dict[str, list[str]] = {}
        for path, why in self.passed_over:
            reasons.setdefault(why.partition(":")[0], []).append(path)
        return "\n".join(
            f"{len(paths)} passed over in {printable(self.root, 1000)}, {why}: "
            f"{', '.join(map(printable, paths[:5]))}{' ...' if len(paths) > 5 else ''}"
            for why, paths in reasons.items()
        )


def find_images(root: str | Path) -> ImageFiles:
    """Find the images in a folder with a subfolder per class, as torchvision's `ImageFolder` does.

    Hidden folders, files without an image's ending, images outside the subfolders, and links to folders found before are skipped.

    Args:
        root: the folder.

    Returns:
        The paths of the images; no file is opened.

    Raises:
        FileNotFoundError: if there is no such folder, no class in it, or a class without images.
        NotADirectoryError: if it is a file.
        ValueError: if two classes have the same name but for case, spaces and Unicode form.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("cat/1.png", "dog/1.png", "dog/2.png"):
        ...         _ = (Path(folder) / name).parent.mkdir(exist_ok=True), (Path(folder) / name).touch()
        ...     find_images(folder).samples
        (('cat/1.png', 0), ('dog/1.png', 1), ('dog/2.png', 1))
    """
    root = Path(root)
    if not root.exists():
        raise MissingFileError(f"there is no folder {root}")
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is a file, not a folder with a folder of images for each class")
    passed_over: list[tuple[str, str]] = []
    classes, visited = _classes(root, passed_over), {os.path.realpath(root)}
    found = {name: sorted(_walk(root, name, visited, passed_over)) for name in classes}
    if empty := [name for name, paths in found.items() if not paths]:
        raise MissingFileError(f"{root} has no image of {', '.join(empty)}: add some ({' '.join(ENDINGS)}), or delete the folders")
    samples = tuple((path, label) for label, name in enumerate(classes) for path in found[name])
    return ImageFiles(root, tuple(classes), samples, tuple(passed_over))


def _classes(root: Path, passed_over: list[tuple[str, str]]) -> list[str]:
    """Return the names of the class folders, sorted."""
    entries = sorted(root.iterdir(), key=lambda path: path.name)
    visible = [path for path in entries if not path.name.startswith((".", "__"))]
    classes = [path.name for path in visible if path.is_dir()]
    images = [path.name for path in visible if path.suffix.lower() in ENDINGS and path.is_file()]
    if not classes:
        what = f"holds {len(images):,} images, but no folder for each class" if images else "has no folders of images"
        raise MissingFileError(f"{root} {what}: it must look like {root / 'cat' / 'photo.jpg'}")
    passed_over += [(f"{path.name}/", "hidden folders") for path in entries if path not in visible and path.is_dir()]
    passed_over += [(name, "outside the folders of classes") for name in images]
    passed_over += [(path.name, _NOT_AN_IMAGE) for path in visible if not path.is_dir() and path.name not in images]
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(unicodedata.normalize("NFKC", name).casefold().strip(), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            raise InputError(f"{root} has several classes of one name: {', '.join(map(repr, names))}: merge or rename them")
    return classes


def _walk(root: Path, name: str, visited: set[str], passed_over: list[tuple[str, str]]) -> list[str]:
    """Return the images of a class, in its folder and subfolders."""

    def fail(error: OSError) -> None:
        raise error

    found = []
    for folder, inner, files in os.walk(root / name, followlinks=True, onerror=fail):
        real = os.path.realpath(folder)
        if real in visited:
            passed_over.append((f"{Path(folder).relative_to(root).as_posix()}/", "links to folders that are there already"))
            inner.clear()
            continue
        visited.add(real)
        inner[:] = sorted(each for each in inner if not each.startswith("."))
        for file in files:
            path = (Path(folder) / file).relative_to(root).as_posix()
            if file.lower().endswith(ENDINGS) and not file.startswith("."):
                found.append(path)
            elif not file.startswith("."):
                passed_over.append((path, _NOT_AN_IMAGE))
    return found


def check_same_classes(one: ImageFiles, other: ImageFiles) -> None:
    """Raise ValueError if two folders have different classes."""
    if one.classes != other.classes:
        apart = ", ".join(sorted(set(one.classes) ^ set(other.classes)))
        raise InputError(f"{one.root} and {other.root} must have the same classes; only one of them has {apart}")


def hold_out(files: ImageFiles, share: float, *, seed: int = 0) -> tuple[ImageFiles, ImageFiles]:
    """Split images at random into two parts, stratified by class.

    Args:
        files: the images.
        share: fraction of the images in the second part, in (0, 1); it gets at least one of each class.
        seed: seed of the split.

    Returns:
        The images to train on, and those held out.

    Raises:
        ValueError: if `share` is out of range, or a class has a single image.
    """
    if not 0 < share < 1:
        raise InputError(f"the share of images held out must be between 0 and 1, got {share}")
    generator = torch.Generator().manual_seed(seed)
    held: set[int] = set()
    of_class: list[list[int]] = [[] for _ in files.classes]
    for i, (_, label) in enumerate(files.samples):
        of_class[label].append(i)
    for name, places in zip(files.classes, of_class, strict=True):
        if len(places) < 2:
            raise InputError(
                f"{files.root} has one image of {name}, which cannot be split: add some, or make folders train and val"
            )
        count = min(len(places) - 1, max(1, round(share * len(places))))
        held |= {places[i] for i in torch.randperm(len(places), generator=generator)[:count].tolist()}
    first, second = (tuple(each for i, each in enumerate(files.samples) if (i in held) is part) for part in (False, True))
    return replace(files, samples=first), replace(files, samples=second, passed_over=())


def read_image(path: str | Path) -> "Image":
    """Read an image file. Several threads may call this at the same time.

    Args:
        path: a JPEG, PNG, BMP, PPM, TIFF, WebP or GIF.

    Returns:
        The image in RGB: the upper 8 of 16 bits, the first of several frames, and without the EXIF rotation, as in torchvision.

    Raises:
        ValueError: if the file cannot be read, its pixels have no known range, it has more pixels than Pillow's limit, or one side
            is more than 100 times as long as the other.
    """
    try:
        with open_file(path) as file:
            return _decode(file)
    except Exception as error:  # Pillow's decoders may raise anything
        raise InputError(f"{path} is no image that can be read: {error}") from error


def _decode(file: BinaryIO) -> "Image":
    from PIL import Image, UnidentifiedImageError

    with _pillow_warnings_ignored():
        try:
            image = Image.open(file, formats=_FORMATS)
        except UnidentifiedImageError as error:
            raise InputError(f"its content is none of {', '.join(_FORMATS)}") from error
        if not 0 < max(image.size) <= _MAX_RATIO * min(image.size):
            raise InputError(f"of {image.width} x {image.height} pixels, one side is more than {_MAX_RATIO} times the other")
        if image.mode in ("I", "F"):
            raise InputError(f"its pixels, of mode {image.mode}, have no known range: save it with 8 or 16 bits")
        if image.mode.startswith("I;16"):
            return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
        return image.convert("RGB")


@contextmanager
def _pillow_warnings_ignored() -> Iterator[None]:
    """Ignore Pillow's warnings, which do not name the file. Unlike `warnings.catch_warnings`, this works in several threads."""
    filters, ignore = cast("list[Any]", warnings.filters), ("ignore", None, Warning, re.compile(r"PIL\."), 0)
    filters.insert(0, ignore)
    try:
        yield
    finally:
        with suppress(ValueError):  # a `catch_warnings` that ended meanwhile has removed it
            filters.remove(ignore)


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """A data set that reads image files on access.

    Args:
        files: the images.
        transform: function from a PIL image in RGB to a tensor, such as a network's `preprocess`.
    """

    def __init__(self, files: ImageFiles, transform: "Callable[[Image], Tensor]") -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        path, label = self.files.samples[number]
        return self.transform(read_image(self.files.root / path)), label


def try_images(files: ImageFiles, *, known: Sequence[Mapping[str, Any]] = (), processes: Processes | None = None) -> ImageFiles:
    """Read every image once, so that an unreadable one does not stop a training later.

    Args:
        files: the images.
        known: `ImageFiles.check_result` of earlier calls. Files that have not changed since are not read again.
        processes: processes that share the work; None for this one alone.

    Returns:
        The readable images, with the hash of their contents; the others are in `passed_over`.

    Raises:
        ValueError: if no image of a class can be read.
    """
    stamp = _stamp_of(files)
    stamps = set(processes.gather(stamp) if processes else [stamp])  # on several computers, copies have different times
    for result in known:
        if stamps == {result["stamp"]}:
            passed_over = tuple((str(path), str(why)) for path, why in result["passed_over"])
            skipped = {path for path, _ in passed_over}
            good = tuple(sample for sample in files.samples if sample[0] not in skipped)
            return replace(files, samples=good, passed_over=passed_over, digest=result["digest"], stamp=stamp)
    rank, world = (processes.rank, processes.world_size) if processes else (0, 1)
    own = _try_all([files.root / path for path, _ in files.samples[rank::world]])
    parts = processes.gather(own) if processes else [own]
    read = [parts[i % world][i // world] for i in range(len(files))]
    good = tuple(sample for sample, (_, error) in zip(files.samples, read, strict=True) if error is None)
    bad = [(sample, error) for sample, (_, error) in zip(files.samples, read, strict=True) if error is not None]
    if lost := sorted(set(range(len(files.classes))) - {label for _, label in good}):
        examples = [f"{path} ({error})" for (path, label), error in bad if label in lost]
        names = ", ".join(files.classes[label] for label in lost)
        raise InputError(f"{files.root} has no image of {names} that can be read: {'; '.join(examples[:3])}")
    digest = hashlib.sha256(b"".join(content for content, error in read if error is None)).hexdigest()
    passed_over = (*files.passed_over, *((path, error) for (path, _), error in bad))
    return replace(files, samples=good, passed_over=passed_over, digest=digest, stamp=stamp)


def _stamp_of(files: ImageFiles) -> str:
    """Hash the names, sizes and times of files; a file whose content changes gets another ctime."""
    digest = hashlib.sha256()
    for path, label in files.samples:
        times = "missing"
        with suppress(OSError):
            stat = (files.root / path).stat()
            times = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
        digest.update(os.fsencode(path) + f" {label} {times}\n".encode())
    return digest.hexdigest()


def _try_all(paths: list[Path]) -> list[tuple[bytes, str | None]]:
    with ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1))) as pool:
        try:
            return list(tqdm(pool.map(_try, paths), total=len(paths), desc="reading", unit="image", disable=None))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _try(path: Path) -> tuple[bytes, str | None]:
    """Return the hash of an image file, and the error if it cannot be read."""
    try:
        with open_file(path) as file:
            _decode(file)
            file.seek(0)
            return hashlib.file_digest(file, "sha256").digest(), None
    except Exception as error:  # noqa: BLE001 - Pillow's decoders may raise anything
        return b"", f"cannot be read: {printable(error)}"
