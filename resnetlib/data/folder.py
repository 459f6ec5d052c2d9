"""Image folders with a subfolder per class: find, split, match and read their images."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from resnetlib.config.integers import check_seed
from resnetlib.config.names import check_names
from resnetlib.data.cifar import LabeledImages
from resnetlib.disk import local_path, open_file
from resnetlib.distributed import Processes
from resnetlib.errors import InputError, InputTypeError, MissingFileError, NotAFolderError, printable
from resnetlib.images import ENDINGS, decode_image, read_ahead, read_image

if TYPE_CHECKING:
    from PIL.Image import Image

_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
    "unlabeled": ("pred", "predict"),
}
"""Names of the folders of a split data set; `_split_of` knows their variants."""

_MAX_NAMES = 12  # folders or classes that an error lists
_MAX_NESTED = 8  # folders that hold nothing but one folder; a link may lead back
_NOT_AN_IMAGE = "without an image's file ending"


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Paths of image files, and labels.

    Args:
        root: the folder.
        classes: the names of the labels: the subfolders, sorted.
        samples: for each image its path from `root`, and its label.
        skipped: paths of skipped files, and reasons.
        digest: hash of the contents of all images; "" before `verify_images`.
        stamp: hash of the names, sizes and times of the files; "" before `verify_images`.
        exif: whether to turn images upright by their EXIF orientation when they are read.
    """

    root: Path
    classes: tuple[str, ...]
    samples: tuple[tuple[str, int], ...]
    skipped: tuple[tuple[str, str], ...] = ()
    digest: str = ""
    stamp: str = ""
    exif: bool = True

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def check_result(self) -> dict[str, Any]:
        """The result of `verify_images` as JSON values, for its next call on the same files."""
        return {"stamp": self.stamp, "digest": self.digest, "skipped": [list(entry) for entry in self.skipped]}

    @property
    def report(self) -> str:
        """The skipped files as text, with one line per reason."""
        reasons: dict[str, list[str]] = {}
        for path, why in self.skipped:
            reasons.setdefault(why.partition(":")[0], []).append(path)
        return "\n".join(
            f"skipped {len(paths)} in {printable(self.root, 1000)}, {why}: "
            f"{', '.join(map(printable, paths[:5]))}{' ...' if len(paths) > 5 else ''}"
            for why, paths in reasons.items()
        )


def find_images(root: str | Path, *, exif: bool = True) -> ImageFiles:
    """Find the images in a folder with a subfolder per class, as torchvision's `ImageFolder` does.

    Hidden folders, files without an image's ending, images outside the subfolders, and links to folders found before are skipped.

    Args:
        root: the folder.
        exif: whether to turn images upright by their EXIF orientation when they are read.

    Returns:
        The paths of the images; no file is opened.

    Raises:
        FileNotFoundError: if there is no such folder, no class in it, or a class without images.
        NotADirectoryError: if it is a file.
        ValueError: if two classes have the same name but for case, spaces and Unicode form, or all folders hold the same
            subfolders, so that either may be the classes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("cat/1.png", "dog/1.png", "dog/2.png"):
        ...         _ = (Path(folder) / name).parent.mkdir(exist_ok=True), (Path(folder) / name).touch()
        ...     find_images(folder).samples
        (('cat/1.png', 0), ('dog/1.png', 1), ('dog/2.png', 1))
    """
    root = local_path(root)
    if not root.exists():
        raise MissingFileError(f"there is no folder {root}")
    if not root.is_dir():
        raise NotAFolderError(f"{root} is a file, not a folder with a folder of images for each class")
    skipped: list[tuple[str, str]] = []
    classes, visited = _classes(root, skipped), {os.path.realpath(root)}
    _check_levels(root, classes)
    found = {name: sorted(_walk(root, name, visited, skipped)) for name in classes}
    if empty := [name for name, paths in found.items() if not paths]:
        raise MissingFileError(f"{root} has no image of {', '.join(empty)}: add some ({' '.join(ENDINGS)}), or delete the folders")
    samples = tuple((path, label) for label, name in enumerate(classes) for path in found[name])
    return ImageFiles(root, tuple(classes), samples, tuple(skipped), exif=exif)


def _classes(root: Path, skipped: list[tuple[str, str]]) -> list[str]:
    """Return the names of the class folders, sorted."""
    entries = sorted(root.iterdir(), key=lambda path: path.name)
    visible = [path for path in entries if not path.name.startswith((".", "__"))]
    classes = [path.name for path in visible if path.is_dir()]
    images = [path.name for path in visible if path.suffix.lower() in ENDINGS and path.is_file()]
    if not classes:
        what = f"holds {len(images):,} images, but no folder for each class" if images else "has no folders of images"
        raise MissingFileError(f"{root} {what}: it must look like {root / 'cat' / 'photo.jpg'}")
    skipped += [(f"{path.name}/", "hidden folders") for path in entries if path not in visible and path.is_dir()]
    skipped += [(name, "outside the folders of classes") for name in images]
    skipped += [(path.name, _NOT_AN_IMAGE) for path in visible if not path.is_dir() and path.name not in images]
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(unicodedata.normalize("NFKC", name).casefold().strip(), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            raise InputError(f"{root} has duplicate class names: {', '.join(map(repr, names))}: merge or rename them")
    return classes


def _check_levels(root: Path, classes: Sequence[str]) -> None:
    """Raise ValueError if the folders look like parts of a data set: they share subfolders, and one has no images of its own."""
    inner = [_subfolders(_innermost(root / name)) for name in classes]
    names = sorted(set.intersection(*({path.name for path in folders} for folders in inner)))
    if len(classes) < 2 or len(names) < 2 or all(_holds_images(root / name) for name in classes):
        return
    advice = f"Give a folder whose subfolders are the classes, such as {inner[0][0].parent}"
    if all(map(_split_of, names)):
        advice = f"Move the images to {root / names[0] / classes[0]} and so on"
    raise InputError(
        f"{root} has the folders {_listed(classes)}, and all of them hold the folders {_listed(names)}: which are the classes? "
        f"{advice}"
    )


def _innermost(folder: Path) -> Path:
    """Follow folders that hold nothing but one folder, and return the last one."""
    for _ in range(_MAX_NESTED):
        if len(inside := _subfolders(folder)) != 1 or _holds_images(folder):
            break
        folder = inside[0]
    return folder


def _subfolders(folder: Path) -> list[Path]:
    """Return the visible folders in a folder, sorted."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _holds_images(folder: Path) -> bool:
    return any(path.suffix.lower() in ENDINGS and not path.name.startswith(".") for path in folder.iterdir())


def _listed(names: Sequence[str]) -> str:
    more = f" ... ({len(names):,} in all)" if len(names) > _MAX_NAMES else ""
    return ", ".join(printable(name, 60) for name in names[:_MAX_NAMES]) + more


def split_folders(root: str | Path) -> dict[str, Path]:
    """Find the parts of a split data set, such as `train/`, `valid/` and `test/`.

    Args:
        root: the folder.

    Returns:
        The folders of "train", "val", "test" and, for test images without folders of classes, "unlabeled", as far as they exist.
        Empty if the folder is not split, but has a subfolder per class.

    Raises:
        ValueError: if a part has two folders, or there are other folders beside the parts.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("Training/cat", "Training/dog", "test/cat", "test/dog"):
        ...         (Path(folder) / name).mkdir(parents=True)
        ...     [(part, path.name) for part, path in split_folders(folder).items()]
        [('train', 'Training'), ('test', 'test')]
    """
    root = local_path(root)
    inside = {path: _subfolders(path) for path in map(_part_folder, _subfolders(root))} if root.is_dir() else {}
    parts = {path: part for path in inside if (part := _split_of(path.name)) is not None}
    if len(parts) == len(inside) > 1 and not any(inside.values()):
        raise InputError(
            f"{root} has the folders {_listed([path.name for path in inside])}, which hold no folder for each class: it must look "
            f"like {next(iter(inside)) / 'cat' / 'photo.jpg'}"
        )
    split = len(parts) == len(inside) or len({part for path, part in parts.items() if inside[path]}) > 1
    found: dict[str, list[Path]] = {}
    others = []
    for path, folders in inside.items():
        part = parts.get(path)
        holds_images = _holds_images(path) and not (folders and split)  # images beside the folders of classes are skipped
        if part in ("test", "unlabeled") and holds_images:
            found.setdefault("unlabeled", []).append(path)
        elif part is None or holds_images:
            others.append(path.name)
        else:
            found.setdefault(part, []).append(path)
    if not {"train", "val"} & set(found) and (others or "test" not in found):
        return {}
    if others:
        raise _wrong_parts(root, [*others, *(path.name for paths in found.values() for path in paths)])
    for part, paths in found.items():
        if len(paths) > 1 and part != "unlabeled":
            raise InputError(f"{root} has several folders for {part}, {_listed([path.name for path in paths])}: leave one of them")
    return {part: found[part][0] for part in _SPLITS if part in found}


def _part_folder(folder: Path) -> Path:
    """Step into train/train/, which some archives have."""
    inside = _subfolders(folder)
    return inside[0] if _split_of(folder.name) and [path.name for path in inside] == [folder.name] else folder


def _wrong_parts(root: str | Path, names: Sequence[str]) -> InputError:
    return InputError(
        f"{root} has the folders {_listed(names)}: give train and val, train alone, or a folder of images for each class"
    )


def _split_of(name: str) -> str | None:
    """Return the part of a data set that a folder's name means, such as "val" for "Valid_set" or "val2017"; or None."""
    found = re.fullmatch("(?:seg_)?([a-z]+?)(?:[ _-]?(?:set|data|dir|folder|images))?(?:[ _-]?(?:19|20)[0-9]{2})?", name.casefold())
    return next((part for part, names in _SPLITS.items() if found and found[1] in names), None)


def training_folders(root: str | Path) -> tuple[list[Path], str]:
    """Choose the folders to train and to validate on.

    Args:
        root: a folder with a subfolder per class, or with parts as for `split_folders`.

    Returns:
        The folders of the training and, if there are any, the validation images; and a note for the user, or "".

    Raises:
        ValueError: if the folder is split, but has no part to train on, and as `split_folders` does.
    """
    parts = split_folders(root)
    if not parts:
        return [local_path(root)], ""
    if "train" not in parts:
        raise _wrong_parts(root, [path.name for path in parts.values()])
    validation = next((part for part in ("val", "test") if part in parts), None)
    aside = [printable(path, 1000) for part, path in parts.items() if part not in ("train", validation)]
    notes = [f"{', '.join(aside)} is not used"] if aside else []
    if validation == "test":
        chosen = "if the best weights are chosen by it, its error is not that of unseen images"
        notes.insert(0, f"there is no val/, and {printable(parts['test'], 1000)} is used for validation: {chosen}")
    return [parts["train"], *([parts[validation]] if validation else [])], "; ".join(notes)


def evaluation_folder(root: str | Path, split: str = "test") -> tuple[Path, str]:
    """Choose the folder to measure on.

    Args:
        root: a folder with a subfolder per class, or with parts as for `split_folders`.
        split: "test" for the validation images, or without these the test images; "train" for the training images.

    Returns:
        The folder, and a note for the user, or "".

    Raises:
        ValueError: if `split` is neither 'train' nor 'test', or the folder is split, but has no such part, and as `split_folders`
            does.
    """
    if split not in ("train", "test"):
        raise InputError(f"split must be 'train' or 'test', got {split!r:.200}")
    parts = split_folders(root)
    if not parts:
        return local_path(root), ""
    there = _listed([path.name for path in parts.values()])
    for part in ("train",) if split == "train" else ("val", "test"):
        if part in parts:
            return parts[part], f"{printable(Path(root), 1000)} has the folders {there}: taking {printable(parts[part], 1000)}"
    raise InputError(f"{root} has the folders {there}: give the one to measure on, such as {next(iter(parts.values()))}")


def match_classes(names: Sequence[str], classes: Sequence[str], ids: Sequence[str] | None = None) -> list[int]:
    """Match class names to labels, ignoring case, spaces, hyphens and underscores.

    Args:
        names: names of folders, for example.
        classes: names of a network's classes, such as `net.classes`.
        ids: other names of the same classes, such as WordNet's.

    Returns:
        The index in `classes` of each name.

    Raises:
        TypeError: if an argument is not a sequence of strs.
        ValueError: if a name matches no class, or several.

    Example:
        >>> match_classes(["Fire-Truck", "dog"], ("cat", "dog", "fire truck"))
        [2, 1]
    """
    names, classes = check_names("names", names), check_names("classes", classes)
    ids = () if ids is None else check_names("ids", ids)
    exact: dict[str, set[int]] = {}
    loose: dict[str, set[int]] = {}
    for label, name in (*enumerate(classes), *enumerate(ids)):
        exact.setdefault(name, set()).add(label)
        loose.setdefault(_key(name), set()).add(label)
    found = {name: exact.get(name) or loose.get(_key(name), set()) for name in names}
    if several := [name for name, labels in found.items() if len(labels) > 1]:
        raise InputError(f"several of the network's classes are called {_listed(several)}: name the folders by their ids")
    if unknown := [name for name, labels in found.items() if not labels]:
        raise InputError(f"the network has no class {_listed(unknown)}: its classes are {_listed(classes)}")
    return [next(iter(found[name])) for name in names]


def _key(name: str) -> str:
    return re.sub(r"[\s_-]", "", unicodedata.normalize("NFKC", name).casefold())


def _walk(root: Path, name: str, visited: set[str], skipped: list[tuple[str, str]]) -> list[str]:
    """Return the images of a class, in its folder and subfolders."""

    def fail(error: OSError) -> None:
        raise error

    found = []
    for folder, inner, files in os.walk(root / name, followlinks=True, onerror=fail):
        real = os.path.realpath(folder)
        if real in visited:
            skipped.append((f"{Path(folder).relative_to(root).as_posix()}/", "links to folders found before"))
            inner.clear()
            continue
        visited.add(real)
        inner[:] = sorted(each for each in inner if not each.startswith("."))
        for file in files:
            path = (Path(folder) / file).relative_to(root).as_posix()
            if file.lower().endswith(ENDINGS) and not file.startswith("."):
                found.append(path)
            elif not file.startswith("."):
                skipped.append((path, _NOT_AN_IMAGE))
    return found


def check_same_classes(one: ImageFiles, other: ImageFiles) -> None:
    """Raise ValueError if two folders have different classes."""
    _check_files(one, other)
    if one.classes != other.classes:
        apart = ", ".join(sorted(set(one.classes) ^ set(other.classes)))
        raise InputError(f"{one.root} and {other.root} must have the same classes; only one of them has {apart}")


Images = TypeVar("Images", ImageFiles, LabeledImages)


def _check_files(*folders: object) -> None:
    """Raise TypeError unless each is an `ImageFiles`."""
    for files in folders:
        if not isinstance(files, ImageFiles):
            raise InputTypeError(f"expected ImageFiles, as find_images(folder) returns them, got {type(files).__name__}")


def hold_out(images: Images, share: float, *, seed: int = 0) -> tuple[Images, Images]:
    """Split images at random into two parts, stratified by class.

    Args:
        images: the images, in a folder or in memory.
        share: fraction of the images in the second part, in (0, 1); it gets at least one of each class.
        seed: seed of the split.

    Returns:
        The images to train on, and those held out.

    Raises:
        ValueError: if `share` is out of range, or a class has a single image.
    """
    if not isinstance(share, Real) or not 0 < share < 1:
        raise InputError(f"the share of images held out must be between 0 and 1, got {share!r:.200}")
    seed = check_seed(seed)
    if isinstance(images, LabeledImages):
        labels, where, advice = images.labels.tolist(), "there is", "add some"
    else:
        _check_files(images)
        labels, where = [label for _, label in images.samples], f"{images.root} has"
        advice = "add some, or make folders train and val"
    generator = torch.Generator().manual_seed(seed)
    held: set[int] = set()
    of_class: list[list[int]] = [[] for _ in images.classes]
    for i, label in enumerate(labels):
        of_class[label].append(i)
    for name, places in zip(images.classes, of_class, strict=True):
        if len(places) < 2:
            raise InputError(f"{where} {'one' if places else 'no'} image of {name}, which cannot be split: {advice}")
        count = min(len(places) - 1, max(1, round(share * len(places))))
        held |= {places[i] for i in torch.randperm(len(places), generator=generator)[:count].tolist()}
    kept, chosen = [i for i in range(len(labels)) if i not in held], sorted(held)
    if isinstance(images, LabeledImages):
        one, other = (replace(images, images=images.images[each], labels=images.labels[each]) for each in (kept, chosen))
        return one, other
    training = replace(images, samples=tuple(images.samples[i] for i in kept))
    return training, replace(images, samples=tuple(images.samples[i] for i in chosen), skipped=())


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """A data set that reads image files on access.

    Args:
        files: the images.
        transform: function from a PIL image in RGB to a tensor, such as a network's `preprocess`.

    Attributes:
        classes, class_to_idx, targets: the names of the labels, the labels by name, and each image's label, as in `ImageFolder`.
    """

    def __init__(self, files: ImageFiles, transform: Callable[["Image"], Tensor]) -> None:
        _check_files(files)
        self.files, self.transform = files, transform
        self.classes = list(files.classes)
        self.class_to_idx = {name: label for label, name in enumerate(files.classes)}
        self.targets = [label for _, label in files.samples]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        path, label = self.files.samples[number]
        return self.transform(read_image(self.files.root / path, exif=self.files.exif)), label


def verify_images(
    files: ImageFiles, *, previous: Sequence[Mapping[str, Any]] = (), processes: Processes | None = None
) -> ImageFiles:
    """Read every image once, so that no unreadable image stops a training later.

    Args:
        files: the images.
        previous: `ImageFiles.check_result` of earlier calls. Files that have not changed since are not read again.
        processes: processes that share the work; None for only this one.

    Returns:
        The readable images, with the hash of their contents, and the others in `skipped`.

    Raises:
        ValueError: if no image of a class can be read.
    """
    _check_files(files)
    stamp = _stamp_of(files)
    stamps = set(processes.gather(stamp) if processes else [stamp])  # on several computers, copies have different times
    for result in previous:
        if stamps == {result["stamp"]}:
            skipped = tuple((str(path), str(why)) for path, why in result["skipped"])
            broken = {path for path, _ in skipped}
            good = tuple(sample for sample in files.samples if sample[0] not in broken)
            return replace(files, samples=good, skipped=skipped, digest=result["digest"], stamp=stamp)
    rank, world = (processes.rank, processes.world_size) if processes else (0, 1)
    paths = [files.root / path for path, _ in files.samples[rank::world]]
    results = read_ahead(_try, paths, min(32, 2 * (os.cpu_count() or 1)))
    own = list(tqdm(results, total=len(paths), desc="reading", unit="image", disable=None))
    parts = processes.gather(own) if processes else [own]
    read = [parts[i % world][i // world] for i in range(len(files))]
    good = tuple(sample for sample, (_, error) in zip(files.samples, read, strict=True) if error is None)
    bad = [(sample, error) for sample, (_, error) in zip(files.samples, read, strict=True) if error is not None]
    if lost := sorted(set(range(len(files.classes))) - {label for _, label in good}):
        examples = [f"{path} ({error})" for (path, label), error in bad if label in lost]
        names = ", ".join(files.classes[label] for label in lost)
        raise InputError(f"no image of class {names} in {files.root} can be read: {'; '.join(examples[:3])}")
    digest = hashlib.sha256(b"".join(content for content, error in read if error is None)).hexdigest()
    skipped = (*files.skipped, *((path, error) for (path, _), error in bad))
    return replace(files, samples=good, skipped=skipped, digest=digest, stamp=stamp)


def _stamp_of(files: ImageFiles) -> str:
    """Hash the names, sizes and times of files, which tell whether any has changed."""
    digest = hashlib.sha256()
    for path, label in files.samples:
        times = "missing"
        with suppress(OSError):
            stat = (files.root / path).stat()
            times = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
        digest.update(os.fsencode(path) + f" {label} {times}\n".encode())
    return digest.hexdigest()


def _try(path: Path) -> tuple[bytes, str | None]:
    """Return the hash of an image file, and the error if it cannot be read."""
    try:
        with open_file(path) as file:
            decode_image(file)
            file.seek(0)
            return hashlib.file_digest(file, "sha256").digest(), None
    except Exception as error:  # noqa: BLE001 - Pillow's decoders may raise anything
        return b"", f"cannot be read: {printable(error)}"
