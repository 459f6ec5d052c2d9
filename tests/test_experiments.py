"""The degradation problem, trained at toy size."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pictures import fill

import resnetlib
from resnetlib.experiments import Degradation, degradation
from resnetlib.train import recipe_of

ERRORS = Degradation(
    families=("plain", "plain", "plain", "plain", "resnet", "resnet"),
    depths=(20, 20, 56, 56, 20, 56),
    seeds=(0, 1, 0, 1, 0, 0),
    train_error=(10.0, 12.0, 12.5, 20.0, 9.0, 9.0),
    test_error=(20.0, 20.0, 30.0, 30.0, 19.0, 18.0),
    images=0,
    recipe={},
)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    fill(tmp_path / "data" / "train", 4)
    fill(tmp_path / "data" / "val", 2, first=4)
    return tmp_path / "data"


RECIPE = recipe_of("he2015_imagenet", epochs=0, iterations=2, batch_size=6, train_size=32, test_size=32, test_resize=32)


def test_what_it_says_by_hand() -> None:
    assert ERRORS.errors("plain", 56) == (12.5, 20.0)
    assert ERRORS.errors("resnet", 20, "test") == (19.0,)
    assert ERRORS.degrades("plain")
    assert not ERRORS.degrades("resnet")
    trained = "there are plain 20, plain 56, resnet 20, resnet 56$"
    with pytest.raises(ValueError, match=f"degradation needs 'dense' trained at two depths or more; {trained}"):
        ERRORS.degrades("dense")
    with pytest.raises(ValueError, match="split must be one of train, test, got 'training'"):
        ERRORS.errors("plain", 20, "training")  # type: ignore[arg-type]
    for family, depth in (("plan", 20), ("plain", 32)):
        with pytest.raises(ValueError, match=f"there is no training of '{family}' with {depth} layers; {trained}"):
            ERRORS.errors(family, depth)


def test_it_degrades_only_if_the_ranges_are_apart() -> None:
    """With each seed the deeper network is worse, but not than the shallower one with the other seed."""
    assert not replace(ERRORS, train_error=(10.0, 12.0, 11.0, 20.0, 9.0, 9.0)).degrades("plain")


def test_a_recipe_for_images_in_memory_is_said_once_for_a_folder(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not by 'pad_crop_flip': choose a recipe for folders"):
        degradation((20,), data=pictures, out=tmp_path / "runs")
    with pytest.raises(ValueError, match=f"^images is an option for CIFAR-10 only, got 5: all images of {pictures} are used$"):
        degradation((20,), data=pictures, out=tmp_path / "runs", images=5)


def test_it_trains_and_goes_on_with_what_is_missing(pictures: Path, tmp_path: Path) -> None:
    found = resnetlib.degradation((20,), ("plain",), RECIPE, (0,), data=pictures, out=tmp_path / "runs", device="cpu")
    result = tmp_path / "runs" / "cifar_plain20-seed=0" / "result.json"
    assert found.train_error == (json.loads(result.read_text())["train_error"],)
    assert found.recipe["train_size"] == 32
    before = result.stat().st_mtime_ns
    more = resnetlib.degradation((20,), ("plain", "resnet"), RECIPE, (0,), data=pictures, out=tmp_path / "runs", device="cpu")
    assert more.families == ("plain", "resnet")
    assert more.errors("plain", 20) == found.train_error
    assert result.stat().st_mtime_ns == before
    large = recipe_of(RECIPE, batch_size=128) if isinstance(RECIPE, str) else replace(RECIPE, batch_size=128)
    few = degradation((20,), ("plain",), large, (0,), data=pictures, out=tmp_path / "few", device="cpu")
    assert (few.recipe["batch_size"], few.recipe["train_size"]) == (12, 32)  # as many as there are images
    found.save(tmp_path / "found.json")
    assert Degradation.load(tmp_path / "found.json").recipe == found.recipe
    with pytest.raises(ValueError, match=r"holds a Degradation: load it with Degradation\.load"):
        resnetlib.analysis.load_result(tmp_path / "found.json")
    other = replace(RECIPE, lr=0.2)
    with pytest.raises(
        RuntimeError, match=r"cifar_plain20-seed=0: .* holds another training: lr was 0.1 in that training, but is 0.2 now"
    ):
        degradation((20,), ("plain",), other, (0,), data=pictures, out=tmp_path / "runs", device="cpu")


def test_a_training_that_fails_is_named_and_the_others_are_kept(pictures: Path, tmp_path: Path) -> None:
    broken = tmp_path / "runs" / "cifar_resnet20-seed=0"
    broken.parent.mkdir()
    broken.write_text("in the way")
    with pytest.raises((RuntimeError, OSError), match="cifar_resnet20"):
        degradation((20,), ("plain", "resnet"), RECIPE, (0,), data=pictures, out=tmp_path / "runs", device="cpu")


def test_what_is_wrong_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    for arguments, message in (
        (((21,),), "cifar_plain21"),
        (((20,), ("fancy",)), "cifar_fancy20"),
        (((20,), ("plain",), "nothing"), "nothing"),
        (
            ((20,), ("plain",), RECIPE, (0, 0)),
            r"seeds must be a sequence of different integers of at least 0, 1 or more, got \(0, 0\)",
        ),
        (((20, 20), ("plain",)), "depths must be a sequence of different integers of at least 1, 1 or more, got"),
        ((20,), "depths must be a sequence of different integers of at least 1, 1 or more, got 20"),
        (((20,), "plain"), "families must be a sequence of different names, such as .* got 'plain'"),
        (((20,), ("plain", "plain")), "families must be a sequence of different names, such as"),
        (((20,), (["plain"],)), "families must be a sequence of different names, such as"),
        (((20,), ("plain",), RECIPE, 3), "seeds must be a sequence of different integers of at least 0, 1 or more, got 3"),
        (((20,), ("plain",), RECIPE, (2**63,)), r"seed must be an integer from 0 to 2\^63 - 1, got"),
        (((), ("plain",)), "depths must be a sequence of different integers of at least 1, 1 or more, got"),
    ):
        with pytest.raises(ValueError, match=message):
            degradation(*arguments, data=tmp_path, out=out)
    for images in (None, False, 0.0, -1):
        with pytest.raises(ValueError, match=f"^images must be an integer of at least 0, got {images}$"):
            degradation(data=tmp_path, out=out, images=images)  # type: ignore[arg-type]
    assert not out.exists()


def test_it_is_drawn() -> None:
    lines = ERRORS.plot().get_lines()
    assert [line.get_label() for line in lines if not line.get_label().startswith("_")] == [
        "plain, train",
        "plain, test",
        "resnet, train",
        "resnet, test",
    ]
    assert list(lines[0].get_ydata()) == [11.0, 16.25]
