"""Which folders of a data set are its parts, and which labels its classes get, whatever they are called."""

import re
from pathlib import Path

import numpy as np
import pytest
from pictures import draw, fill

from resnetlib.data import (
    check_same_classes,
    evaluation_folder,
    find_images,
    match_classes,
    split_folders,
    training_folders,
)
from resnetlib.finetuning.finetune import find_split
from resnetlib.weights.catalog.tables import imagenet_classes, imagenet_ids


def make(root: Path, *names: str) -> Path:
    for name in names:
        fill(root / name, 2)
    return root


@pytest.mark.parametrize(
    ("names", "train", "validation", "note"),
    [
        (("train", "val"), "train", "val", ""),
        (("Train", "Val"), "Train", "Val", ""),
        (("TRAIN", "VALID"), "TRAIN", "VALID", ""),
        (("training", "validation"), "training", "validation", ""),
        (("train", "valid"), "train", "valid", ""),
        (("train", "test"), "train", "test", "test is used for validation"),
        (("Training", "Testing"), "Training", "Testing", "Testing is used for validation"),
        (("train", "val", "test"), "train", "val", "test is not used"),
        (("train", "valid", "test"), "train", "valid", "test is not used"),
        (("seg_train", "seg_test"), "seg_train", "seg_test", "seg_test is used for validation"),
        (("training_set", "test_set"), "training_set", "test_set", "test_set is used for validation"),
        (("seg_train/seg_train", "seg_test/seg_test"), "seg_train/seg_train", "seg_test/seg_test", "is used for validation"),
    ],
)
def test_parts_of_any_name(names: tuple[str, ...], train: str, validation: str, note: str, tmp_path: Path) -> None:
    folders, said = training_folders(make(tmp_path, *names))
    assert folders == [tmp_path / train, tmp_path / validation]
    assert note in said
    assert bool(note) == bool(said)
    one, other = find_split(tmp_path)
    assert (one.root, other.root) == (tmp_path / train, tmp_path / validation)
    assert one.classes == ("blue", "green", "red")
    measured, said = evaluation_folder(tmp_path)
    assert measured == tmp_path / validation
    assert f"taking {measured}" in said
    assert evaluation_folder(tmp_path, "train")[0] == tmp_path / train


@pytest.mark.parametrize("stray", ["overview.jpg", "._cat.jpg"])
@pytest.mark.parametrize("parts", [("train",), ("train", "val"), ("train/train",)])
@pytest.mark.parametrize("unlabeled", [None, "test", "test/test"])
def test_an_image_beside_the_classes_does_not_make_the_parts_classes(
    stray: str, parts: tuple[str, ...], unlabeled: str | None, tmp_path: Path
) -> None:
    make(tmp_path, *parts)
    for name in parts:
        draw(tmp_path / name / stray, 0)
    if unlabeled:
        (tmp_path / unlabeled).mkdir(parents=True)
        for i in range(3):
            draw(tmp_path / unlabeled / f"{i}.jpg", 0)
    folders, note = training_folders(tmp_path)
    assert folders == [tmp_path / name for name in parts]
    assert note == (f"{tmp_path / unlabeled} is not used" if unlabeled else "")
    train, _ = find_split(tmp_path)
    assert train.classes == ("blue", "green", "red")
    assert [path for path, _ in train.skipped] == ([] if stray.startswith(".") else [stray])


def test_what_is_left_aside_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    find_split(make(tmp_path, "train", "val", "test"))
    assert caplog.messages == [f"{tmp_path / 'test'} is not used"]


def test_test_images_without_labels_are_left_aside(tmp_path: Path) -> None:
    make(tmp_path, "train", "valid")
    fill(tmp_path, 3, classes=("red",))
    (tmp_path / "red").rename(tmp_path / "test")
    folders, said = training_folders(tmp_path)
    assert [folder.name for folder in folders] == ["train", "valid"]
    assert f"{tmp_path / 'test'} is not used" in said


def test_without_a_part_to_train_on(tmp_path: Path) -> None:
    make(tmp_path, "test", "valid")
    with pytest.raises(ValueError, match="has the folders valid, test: give train and val"):
        training_folders(tmp_path)
    assert evaluation_folder(tmp_path)[0] == tmp_path / "valid"
    with pytest.raises(ValueError, match=r"give the one to measure on, such as .*valid"):
        evaluation_folder(tmp_path, "train")
    for odd in ("val", None, ["test"]):
        with pytest.raises(ValueError, match=rf"^split must be 'train' or 'test', got {re.escape(repr(odd))}$"):
            evaluation_folder(tmp_path, odd)  # type: ignore[arg-type]


def test_two_folders_for_one_part(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has several folders for val, val, validation"):
        split_folders(make(tmp_path, "train", "val", "validation"))


def test_classes_are_no_parts(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    (tmp_path / "red").rename(tmp_path / "train")  # beside ships and cars, say
    assert split_folders(tmp_path) == {}
    assert find_images(tmp_path).classes == ("blue", "green", "train")


def test_classes_in_both_levels(tmp_path: Path) -> None:
    make(tmp_path, "part 1", "part 2")
    for look in (find_images, find_split):
        with pytest.raises(ValueError, match="has the folders part 1, part 2, and all of them hold the folders blue, green, red"):
            look(tmp_path)
    make(tmp_path / "by class", "cat/train", "cat/val", "dog/train", "dog/val")
    with pytest.raises(ValueError, match="all of them hold the folders train, val: which are the classes"):
        find_split(tmp_path / "by class")


@pytest.mark.parametrize(
    "folders",
    [
        ("mine/cat", "mine/dog", "mine/cow", "yours/cat", "yours/dog"),
        ("fold 1/cat", "fold 1/dog", "fold 2/cat", "fold 2/dog", "fold 2/empty"),
        ("a/x/cat", "a/x/dog", "b/x/cat", "b/x/dog"),
    ],
)
@pytest.mark.parametrize("stray", [False, True])
def test_folders_that_share_most_of_their_subfolders_are_no_classes(folders: tuple[str, ...], stray: bool, tmp_path: Path) -> None:
    for name in folders:
        draw(tmp_path / name / "1.png", 0, seed=1)
    first = tmp_path / folders[0].partition("/")[0]
    if stray and not folders[0].startswith("a/x"):
        draw(first / "overview.png", 0, seed=1)
    with pytest.raises(ValueError, match=r"all of them hold the folders cat, dog: which are the classes\? Give a folder whose"):
        find_images(tmp_path)


def test_classes_may_have_the_same_subfolders_beside_their_images(tmp_path: Path) -> None:
    for name in ("cat", "cat/front", "cat/back", "dog", "dog/front", "dog/back"):
        draw(tmp_path / name / "1.png", 0, seed=1)
    (tmp_path / "dog" / "loop").symlink_to(tmp_path / "dog")
    assert find_images(tmp_path).classes == ("cat", "dog")
    (tmp_path / "loops" / "cat").mkdir(parents=True)
    (tmp_path / "loops" / "cat" / "itself").symlink_to(tmp_path / "loops" / "cat")
    with pytest.raises(FileNotFoundError, match="has no image of cat"):
        find_images(tmp_path / "loops")


def test_images_beside_the_classes_of_a_part(tmp_path: Path) -> None:
    make(tmp_path, "train", "val")
    for part in ("train", "val"):
        draw(tmp_path / part / "preview.png", 0, seed=1)
    assert [path.name for path in training_folders(tmp_path)[0]] == ["train", "val"]
    (tmp_path / "val" / "preview.png").unlink()
    assert [path.name for path in training_folders(tmp_path)[0]] == ["train", "val"]


@pytest.mark.parametrize("parts", [["train2017", "val2017"], ["train_dir", "val_dir"], ["Training folder", "Validation folder"]])
def test_parts_of_other_names(parts: list[str], tmp_path: Path) -> None:
    make(tmp_path, *parts)
    assert [path.name for path in training_folders(tmp_path)[0]] == parts


def test_parts_within_classes_and_parts_without_classes(tmp_path: Path) -> None:
    for name in ("cat/train", "cat/val", "dog/train", "dog/val"):
        draw(tmp_path / name / "1.png", 0, seed=1)
    with pytest.raises(ValueError, match=r"Move the images to .*train.cat and so on"):
        find_images(tmp_path)
    with pytest.raises(
        ValueError, match=r"train, val, which hold no folder for each class: it must look like .*train.cat.photo.jpg"
    ):
        training_folders(tmp_path / "cat")


def test_one_folder_of_images_in_each_class_is_usual(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        fill(tmp_path / name, 2, classes=("red",))
    assert find_images(tmp_path).classes == ("cat", "dog")


def test_parts_with_other_classes(tmp_path: Path) -> None:
    make(tmp_path, "train")
    fill(tmp_path / "val", 2, classes=("red", "green"))
    with pytest.raises(ValueError, match="only one of them has blue"):
        check_same_classes(*map(find_images, training_folders(tmp_path)[0]))


def test_names_are_matched_whatever_their_case_and_separators() -> None:
    classes = ("airplane", "Fire truck", "dog")
    assert match_classes(["Dog", "fire-truck", "AIRPLANE", "fire_truck"], classes) == [2, 1, 0, 1]
    with pytest.raises(ValueError, match="the network has no class car: its classes are airplane, Fire truck, dog"):
        match_classes(["dog", "car"], classes)
    assert match_classes(["dog", "Dog"], ("Dog", "dog")) == [1, 0]


def test_names_in_an_array_or_a_dict_are_matched() -> None:
    ids = np.array(["n1", "n2"])
    assert match_classes(np.array(["n2", "b"]), {"a": 0, "b": 1}, ids) == [1, 1]  # type: ignore[arg-type]


def test_imagenets_folders_are_matched_by_wordnet_ids_or_names() -> None:
    classes, ids = imagenet_classes(), imagenet_ids()
    assert match_classes(ids, classes, ids) == list(range(1000))
    assert match_classes(["great_white_shark", "tench"], classes, ids) == [classes.index("great white shark"), 0]
    assert match_classes(["cardigan", "Cardigan"], classes, ids) == [474, 264]  # a jacket and a dog
    with pytest.raises(ValueError, match="several of the network's classes are called CARDIGAN: name the folders by their ids"):
        match_classes(["CARDIGAN"], classes, ids)
    with pytest.raises(ValueError, match=r"n00000000, .* \.\.\. \(20 in all\): its classes are tench, .* \.\.\. \(1,000 in all\)"):
        match_classes([f"n{i:08}" for i in range(20)], classes, ids)
