"""Images in a folder for each class: found, and split, before any training begins."""

import os
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from resnetlib.text import printable

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
        digest: hash of the contents of all images that were read in the folder; "" before `try_images`.
        stamp: hash of the names, sizes and times of the files that `try_images` read; "" before.
    """

    root: Path
    classes: tuple[str, ...]
    samples: tuple[tuple[str, int], ...]
    passed_over: tuple[tuple[str, str], ...] = ()
    digest: str = ""
    stamp: str = ""

    def __len__(self) -> int:
        """Count the images."""
        return len(self.samples)

    @property
    def check_result(self) -> dict[str, Any]:
        """What `try_images` found, as JSON has it, for its next call on the same files."""
        return {"stamp": self.stamp, "digest": self.digest, "passed_over": [list(entry) for entry in self.passed_over]}

    @property
    def report(self) -> str:
        """What is not used, in a line for each reason; "" if everything is."""
        reasons: dict[str, list[str]] = {}
        for path, why in self.passed_over:
            reasons.setdefault(why.partition(":")[0], []).append(path)
        return "\n".join(
            f"{len(paths)} passed over in {printable(self.root, 1000)}, {why}: "
            f"{', '.join(map(printable, paths[:5]))}{' ...' if len(paths) > 5 else ''}"
            for why, paths in reasons.items()
        )


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
    visited = {os.path.realpath(root)}
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


def _chosen(files: ImageFiles, places: set[int]) -> ImageFiles:
    return replace(files, samples=tuple(sample for i, sample in enumerate(files.samples) if i in places))
