"""Folders of images: what is wrong with them is said at once, and what can be passed over is."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pictures import draw, fill
from PIL import Image

from resnetlib.data import ImageDataset, LabeledImages, find_images, hold_out, read_image, verify_images
from resnetlib.distributed import Processes
from resnetlib.finetuning.finetune import find_split
from resnetlib.train import recipe_of
from resnetlib.train.data import FolderLoader


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "data", 5)


def empty(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def missing(root: Path) -> None:
    shutil.rmtree(root)


def a_file(root: Path) -> None:
    shutil.rmtree(root)
    root.write_text("not a folder")


def loose(root: Path) -> None:
    for path in list(root.glob("*/*.png")):
        path.rename(root / f"{path.parent.name}{path.name}")
    for path in root.iterdir():
        if path.is_dir():
            path.rmdir()


def a_class_without_images(root: Path) -> None:
    for path in (root / "green").iterdir():
        path.unlink()


def a_class_of_other_files(root: Path) -> None:
    a_class_without_images(root)
    (root / "green" / "readme.txt").write_text("images will come")


def unreadable_class(root: Path) -> None:
    for path in (root / "green").iterdir():
        path.write_bytes(path.read_bytes()[:60])


def names_alike(root: Path) -> None:
    fill(root / "more", 1)
    (root / "more" / "red").rename(root / "Red ")
    shutil.rmtree(root / "more")


def names_of_other_unicode(root: Path) -> None:
    (root / "red").rename(root / "caf\u00e9")
    (root / "blue").rename(root / "cafe\u0301")


def one_image(root: Path) -> None:
    for path in list((root / "green").iterdir())[1:]:
        path.unlink()


def other_folders_beside_train(root: Path) -> None:
    empty(root)
    fill(root / "train", 2)
    fill(root / "more", 2)


def other_classes_in_val(root: Path) -> None:
    empty(root)
    fill(root / "train", 2)
    fill(root / "val", 2, classes=("red", "green"))


def val_alone(root: Path) -> None:
    empty(root)
    fill(root / "val", 2)


def val_without_images(root: Path) -> None:
    empty(root)
    fill(root / "train", 2)
    for name in ("red", "green", "blue"):
        (root / "val" / name).mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (missing, FileNotFoundError, "there is no folder"),
        (a_file, NotADirectoryError, "is a file, not a folder"),
        (empty, FileNotFoundError, r"has no folders of images: it must look like .*cat.photo\.jpg"),
        (loose, FileNotFoundError, "holds 15 images, but no folder for each class"),
        (a_class_without_images, FileNotFoundError, "has no image of green: add some"),
        (a_class_of_other_files, FileNotFoundError, "has no image of green: add some"),
        (unreadable_class, ValueError, r"^no image of class green in .* can be read: green/0.png \(cannot be read"),
        (names_alike, ValueError, "has duplicate class names: 'Red ', 'red': merge or rename them$"),
        (names_of_other_unicode, ValueError, "has duplicate class names: .*: merge or rename them$"),
        (one_image, ValueError, "has one image of green, which cannot be split"),
        (other_folders_beside_train, ValueError, "has the folders more, train: give train and val, train alone"),
        (other_classes_in_val, ValueError, "must have the same classes; only one of them has blue"),
        (val_alone, ValueError, "has the folders val: give train and val"),
        (val_without_images, FileNotFoundError, "has no image of blue, green, red"),
    ],
)
def test_what_is_wrong_is_said(spoil: Callable[[Path], None], error: type[Exception], message: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(error, match=message):
        find_split(folder)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def nothing_in_it(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("<html>404 not found</html>")


def a_bomb(path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(path)


def a_link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "gone.png")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("spoil", [truncated, nothing_in_it, text, a_bomb, a_link_to_nowhere])
def test_an_unreadable_image_is_passed_over_and_reported(spoil: Callable[[Path], None], folder: Path) -> None:
    spoil(folder / "red" / "3.png")
    train, held = find_split(folder)
    assert len(train) + len(held) == 14
    assert all(path != "red/3.png" for path, _ in (*train.samples, *held.samples))
    assert train.report == f"skipped 1 in {folder}, cannot be read: red/3.png"


def test_other_things_are_passed_over(folder: Path) -> None:
    (folder / ".ipynb_checkpoints").mkdir()
    draw(folder / ".ipynb_checkpoints" / "a-checkpoint.png", 0)
    (folder / "__MACOSX").mkdir()
    (folder / "labels.csv").write_text("a,b")
    draw(folder / "loose.png", 0)
    (folder / "red" / "notes.txt").write_text("notes")
    (folder / "red" / ".DS_Store").write_text("")
    a_folder(folder / "green" / "1.png")
    draw(folder / "blue" / "more" / "of" / "them.PNG".lower(), 2)
    files = verify_images(find_images(folder))
    assert files.classes == ("blue", "green", "red")
    assert Counter(files.classes[label] for _, label in files.samples) == {"red": 5, "green": 4, "blue": 6}
    assert files.report.splitlines() == [
        f"skipped 2 in {folder}, hidden folders: .ipynb_checkpoints/, __MACOSX/",
        f"skipped 1 in {folder}, outside the folders of classes: loose.png",
        f"skipped 2 in {folder}, without an image's file ending: labels.csv, red/notes.txt",
    ]
    assert find_images(fill(folder.parent / "clean", 1)).report == ""


def test_a_class_may_be_called_train(folder: Path) -> None:
    (folder / "red").rename(folder / "train")
    train, held = find_split(folder)
    assert train.classes == ("blue", "green", "train")
    assert len(train) + len(held) == 15


def test_links_bring_no_image_twice(folder: Path) -> None:
    (folder / "red" / "again").symlink_to(".")
    (folder / "green" / "more").symlink_to(folder / "blue")
    files = find_images(folder)
    assert len(files) == 15
    assert "skipped 2" in files.report
    assert "links to folders found before: green/more/, red/again/" in files.report


def test_names_that_are_no_text(folder: Path) -> None:
    red = os.fsencode(folder / "red")
    (folder / "red" / "0.png").rename(os.fsdecode(red + b"/\xff.png"))
    Path(os.fsdecode(red + b"/\xfe.png")).write_bytes(b"broken")
    train, held = find_split(folder)
    assert len(train) + len(held) == 15
    assert train.report.endswith("red/\\udcfe.png")
    feed = FolderLoader(
        train,
        held,
        recipe_of("finetune", batch_size=2),
        seed=0,
        processes=Processes(0, 1, torch.device("cpu"), torch.device("cpu")),
    )
    assert len(feed.digest) == 64


def test_deep_pixels_keep_their_shades(tmp_path: Path) -> None:
    ramp = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    assert (np.asarray(read_image(tmp_path / "deep.png"))[..., 0] == ramp >> 8).all()
    Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)).save(tmp_path / "float.tif")
    with pytest.raises(ValueError, match="pixels of mode F have no known range"):
        read_image(tmp_path / "float.tif")


def test_classes_are_torchvisions(folder: Path) -> None:
    from torchvision.datasets import ImageFolder

    theirs, ours = ImageFolder(str(folder)), find_images(folder)
    assert list(ours.classes) == theirs.classes
    assert [(os.fspath(folder / path), label) for path, label in ours.samples] == theirs.samples
    data = ImageDataset(ours, torch.zeros)  # type: ignore[arg-type]
    assert (data.classes, data.class_to_idx, data.targets) == (theirs.classes, theirs.class_to_idx, theirs.targets)


def test_what_is_held_out_is_stratified_and_drawn_by_the_seed(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", 4, classes=("red", "green"))
    fill(root, 20, classes=("blue",))
    files = find_images(root)
    train, held = hold_out(files, 0.25, seed=1)
    assert Counter(label for _, label in held.samples) == {0: 5, 1: 1, 2: 1}
    assert sorted((*train.samples, *held.samples)) == sorted(files.samples)
    assert hold_out(files, 0.25, seed=1)[1] == held
    assert hold_out(files, 0.25, seed=2)[1] != held
    assert Counter(label for _, label in hold_out(files, 0.01)[1].samples) == {0: 1, 1: 1, 2: 1}
    assert Counter(label for _, label in hold_out(files, 0.99)[0].samples) == {0: 1, 1: 1, 2: 1}
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match=f"must be between 0 and 1, got {share}"):
            hold_out(files, share)


def test_of_images_in_memory_the_same_are_held_out(tmp_path: Path) -> None:
    files = find_images(fill(tmp_path / "data", 4))
    pixels = torch.arange(len(files), dtype=torch.uint8)[:, None, None, None]
    images = LabeledImages(pixels, torch.tensor([label for _, label in files.samples]), files.classes)
    for ours, theirs in zip(hold_out(images, 0.25, seed=1), hold_out(files, 0.25, seed=1), strict=True):
        samples = tuple(files.samples[i] for i in ours.images.flatten().tolist())
        assert samples == theirs.samples
        assert ours.labels.tolist() == [label for _, label in samples]
        assert ours.classes == theirs.classes
    with pytest.raises(ValueError, match=r"^there is one image of blue, which cannot be split: add some$"):
        hold_out(images.first(1), 0.25)


def test_a_class_without_images_cannot_be_split() -> None:
    images = LabeledImages(torch.zeros(4, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 0, 1, 1]), ("a", "b", "c"))
    with pytest.raises(ValueError, match=r"^there is no image of c, which cannot be split: add some$"):
        hold_out(images, np.float32(0.5))  # type: ignore[arg-type]


def test_both_folders_are_used_as_they_are(tmp_path: Path) -> None:
    fill(tmp_path / "train", 3)
    fill(tmp_path / "val", 2, first=50)
    train, val = find_split(tmp_path)
    assert (len(train), len(val), train.root, val.root) == (9, 6, tmp_path / "train", tmp_path / "val")
    shutil.rmtree(tmp_path / "val")
    train, val = find_split(tmp_path, 0.34)
    assert (len(train), len(val), val.root) == (6, 3, tmp_path / "train")


def test_every_kind_of_image_is_read_as_rgb(tmp_path: Path) -> None:
    for mode, ending in (
        ("RGB", "png"),
        ("L", "jpg"),
        ("RGBA", "png"),
        ("P", "png"),
        ("CMYK", "jpg"),
        ("I;16", "png"),
        ("1", "bmp"),
    ):
        Image.new(mode, (4, 3)).save(tmp_path / f"a.{ending}")
        assert read_image(tmp_path / f"a.{ending}").mode == "RGB"
        assert read_image(tmp_path / f"a.{ending}").size == (4, 3)


def test_processes_read_again_unless_all_of_them_know_the_images(tmp_path: Path) -> None:
    files = find_images(fill(tmp_path, 2))
    previous = [verify_images(files).check_result]

    def read(stamp_of_another: str | None) -> list[object]:
        gathered: list[object] = []

        def gather(value: object) -> list[object]:
            gathered.append(value)
            return [value, stamp_of_another or value] if isinstance(value, str) else [value]

        processes: Any = SimpleNamespace(rank=0, world_size=1, gather=gather)
        assert verify_images(files, previous=previous, processes=processes).digest == previous[0]["digest"]
        return gathered

    assert len(read(None)) == 1
    assert len(read("another computer's copy")) == 2
