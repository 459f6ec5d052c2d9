"""Images in a folder for each class: found, tried, and split, before any training begins."""

import os
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of the names of image files; torchvision's list."""


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Image files with labels, not read yet.

    Args:
        root: the folder.
        classes: the names of the labels: of the folders in it, sorted.
        samples: for each image its path from `root`, and its label.
        passed_over: what lies in the folder and is not used, and why.
    """

    root: Path
    classes: tuple[str, ...]
    samples: tuple[tuple[str, int], ...]
    passed_over: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        """Count the images."""
        return len(self.samples)

    @property
    def report(self) -> str:
        """What is not used, in a line for each reason; "" if everything is."""
        reasons: dict[str, list[str]] = {}
        for path, why in self.passed_over:
            reasons.setdefault(why.partition(":")[0], []).append(path)
        return "\n".join(
            f"{len(paths)} passed over in {self.root}, {why}: {_printable(paths[:5])}{' ...' if len(paths) > 5 else ''}"
            for why, paths in reasons.items()
        )


def _printable(paths: Iterable[str]) -> str:
    """List paths, also those whose names are no text."""
    return ", ".join(paths).encode(errors="backslashreplace").decode()


def find_images(root: str | Path) -> ImageFiles:
    """Find the images in a folder that has a folder for each class.

    Args:
        root: the folder. Hidden folders, files that are no images by their names, and images outside the classes are passed over.

    Returns:
        The images; none has been opened.

    Raises:
        FileNotFoundError: if there is no such folder, no class in it, or a class without images.
        NotADirectoryError: if it is a file.
        ValueError: for two classes with one name.

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
        raise FileNotFoundError(f"there is no folder {root}")
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is a file, not a folder with a folder of images for each class")
    passed_over: list[tuple[str, str]] = []
    classes = _classes(root, passed_over)
    samples, empty = [], []
    visited: set[str] = set()
    for label, name in enumerate(classes):
        found = sorted(_walk(root, name, visited, passed_over))
        samples += [(path, label) for path in found]
        if not found:
            empty.append(name)
    if empty:
        raise FileNotFoundError(f"{root} has no image of {', '.join(empty)}: add some ({' '.join(ENDINGS)}), or delete the folders")
    return ImageFiles(root, tuple(classes), tuple(samples), tuple(passed_over))


def _classes(root: Path, passed_over: list[tuple[str, str]]) -> list[str]:
    """Name the folders that are classes."""
    entries = sorted(root.iterdir(), key=lambda path: path.name)
    hidden = [path for path in entries if path.name.startswith((".", "__"))]
    classes = [path.name for path in entries if path.is_dir() and path not in hidden]
    loose = [path.name for path in entries if path.suffix.lower() in ENDINGS and path.is_file() and path not in hidden]
    if not classes:
        what = f"holds {len(loose):,} images, but no folder for each class" if loose else "has no folders of images"
        raise FileNotFoundError(f"{root} {what}: it must look like {root / 'cat' / 'photo.jpg'}")
    passed_over += [(f"{path.name}/", "hidden folders") for path in hidden if path.is_dir()]
    passed_over += [(name, "outside the folders of classes") for name in loose]
    others = [path.name for path in entries if not path.is_dir() and path not in hidden and path.name not in loose]
    passed_over += [(name, "no images by their names") for name in others]
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(unicodedata.normalize("NFKC", name).casefold().strip(), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            raise ValueError(f"{root} has several classes of one name: {', '.join(map(repr, names))}: merge or rename them")
    return classes


def _walk(root: Path, name: str, visited: set[str], passed_over: list[tuple[str, str]]) -> list[str]:
    """Find a class's images, in folders of its folder too."""
    found = []
    for folder, inner, files in os.walk(root / name, followlinks=True, onerror=_fail):
        real = os.path.realpath(folder)
        if real in visited:
            passed_over.append((f"{Path(folder).relative_to(root).as_posix()}/", "links to folders that are there already"))
            inner.clear()
            continue
        visited.add(real)
        inner[:] = sorted(each for each in inner if not each.startswith("."))
        for file in files:
            path = (Path(folder) / file).relative_to(root).as_posix()
            if file.startswith("."):
                continue
            if file.lower().endswith(ENDINGS):
                found.append(path)
            else:
                passed_over.append((path, "no images by their names"))
    return found


def _fail(error: OSError) -> None:
    raise error


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
    except Exception as error:
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
        Those that can be read; the others are passed over.

    Raises:
        ValueError: if no image of a class can be read.
    """
    from tqdm import tqdm

    paths = [files.root / path for path, _ in files.samples]
    with ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1))) as pool:
        complaints = list(tqdm(pool.map(_complaint, paths), total=len(paths), desc="reading", unit="image", disable=None))
    good = tuple(sample for sample, complaint in zip(files.samples, complaints, strict=True) if complaint is None)
    bad = [(sample[0], complaint) for sample, complaint in zip(files.samples, complaints, strict=True) if complaint is not None]
    lost = sorted(set(range(len(files.classes))) - {label for _, label in good})
    if lost:
        label_of = dict(files.samples)
        examples = [f"{path} ({why})" for path, why in bad if label_of[path] in lost]
        names = ", ".join(files.classes[label] for label in lost)
        raise ValueError(f"{files.root} has no image of {names} that can be read: {'; '.join(examples[:3])}")
    return replace(files, samples=good, passed_over=(*files.passed_over, *bad))


def _complaint(path: Path) -> str | None:
    try:
        read_image(path)
    except ValueError as error:
        return f"cannot be read: {error.__cause__}"
    return None


def check_same_classes(one: ImageFiles, other: ImageFiles) -> None:
    """Raise ValueError for two folders whose classes differ.

    Args:
        one: images.
        other: images.

    Raises:
        ValueError: with the classes that only one of them has.
    """
    if one.classes != other.classes:
        apart = ", ".join(sorted(set(one.classes) ^ set(other.classes)))
        raise ValueError(f"{one.root} and {other.root} must have the same classes; only one of them has {apart}")


def hold_out(files: ImageFiles, share: float, *, seed: int = 0) -> tuple[ImageFiles, ImageFiles]:
    """Split images in two, each class by itself, so that both parts have the classes in the same proportions.

    Args:
        files: the images.
        share: of the second part, between 0 and 1; each class gives it one image at least.
        seed: of the draw.

    Returns:
        The larger part to train on, and the one held out.

    Raises:
        ValueError: for a share that is none, or a class with a single image.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share of images held out must be between 0 and 1, got {share}")
    draws = torch.Generator().manual_seed(seed)
    held: set[int] = set()
    of_class: list[list[int]] = [[] for _ in files.classes]
    for i, (_, label) in enumerate(files.samples):
        of_class[label].append(i)
    for name, places in zip(files.classes, of_class, strict=True):
        if len(places) < 2:
            raise ValueError(
                f"{files.root} has one image of {name}, which cannot be split: add some, or make folders train and val"
            )
        count = min(len(places) - 1, max(1, round(share * len(places))))
        held |= {places[i] for i in torch.randperm(len(places), generator=draws)[:count].tolist()}
    return _chosen(files, set(range(len(files))) - held), replace(_chosen(files, held), passed_over=())


def _chosen(files: ImageFiles, places: Iterable[int]) -> ImageFiles:
    wanted = set(places)
    return replace(files, samples=tuple(sample for i, sample in enumerate(files.samples) if i in wanted))
