"""`resnetlib finetune`, and what comes after it, as a person calls them."""

import csv
import json
import os
import re
from pathlib import Path

import pytest
from click.testing import Result
from commands import call, right
from pictures import draw, fill

from resnetlib import create_model
from resnetlib.data import cifar10
from resnetlib.train import recipe_of

NAME = "cifar_resnet20.resnetlib_c10"


FAST = ("--set", "epochs=2", "--set", "batch_size=6", "--device", "cpu", "--precision", "fp32")


def tune(data: Path, out: Path, *more: str) -> Result:
    return call("finetune", NAME, "--data", data, "--out", out, *FAST, *more)


def test_from_a_folder_to_a_table_of_guesses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = fill(tmp_path / "photos", 8)
    said = tune(data, Path("pets"), "--validation", "0.25", "--seed", "3")
    assert said.exit_code == 0, said.output
    assert said.output.splitlines()[-1].endswith("saved in pets")
    lines = [line for line in said.stderr.splitlines() if line.startswith("iteration ")]
    assert [line.partition(":")[0] for line in lines] == ["iteration 3 of 6, epoch 1", "iteration 6 of 6, epoch 2"]
    assert re.fullmatch(r".*: training error [\d.]+ %, validation error [\d.]+ %", lines[0])
    assert re.search(r"^the weights of iteration [36] are kept, which had the lowest validation error$", said.stderr, re.MULTILINE)
    run = json.loads(Path("pets/run.json").read_text())
    assert (run["images"], run["seed"], run["recipe"]["epochs"], run["recipe"]["batch_size"]) == (18, 3, 2, 6)
    draw(tmp_path / "new" / "a.png", 0, seed=50)
    draw(tmp_path / "new" / "b.png", 2, seed=51)
    right("predict", "pets", "new", "--out", "predictions.csv", "--top", "1")
    with Path("predictions.csv").open() as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["new/a.png", "new/b.png"]
    out = right("evaluate", "pets", "--data", data, "--confusion", "confusion.png")
    assert "on 24 images" in out
    assert Path("confusion.png").stat().st_size > 1000
    assert tune(data, Path("pets"), "--validation", "0.25", "--seed", "3").output.splitlines()[-1] == said.output.splitlines()[-1]


def test_an_early_end_is_reported(tmp_path: Path) -> None:
    changes = ("lr=1e-30", "patience=1", "head_only_fraction=0", "epochs=4")
    said = tune(fill(tmp_path / "photos", 8), tmp_path / "pets", *(word for change in changes for word in ("--set", change)))
    assert said.exit_code == 0, said.output
    assert re.search(
        r"^stopped early, after iteration \d+ of \d+; the weights of iteration \d+ are kept", said.stderr, re.MULTILINE
    )


@pytest.mark.parametrize(("change", "fraction"), [("lr=0.1", 0), ("head_only_fraction=0.5", 0.5)])
def test_from_scratch_all_layers_are_trained_from_the_beginning(change: str, fraction: float, tmp_path: Path) -> None:
    data, out = fill(tmp_path / "photos", 8), tmp_path / "out"
    right("finetune", "cifar_plain20", "--from-scratch", "--data", data, "--out", out, "--set", change, *FAST)
    used = json.loads((out / "run.json").read_text())["recipe"]
    assert (used["head_only_fraction"], used["stem_lr_scale"]) == (fraction, 1)


@pytest.mark.parametrize("recipe", ["he2015_imagenet", "mine.json"])
def test_from_scratch_every_recipe_trains_all_layers(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.json").write_text(recipe_of("finetune").to_json())
    options = ("--data", fill(tmp_path / "photos", 8), "--out", tmp_path / "out", "--recipe", recipe, *FAST)
    right("finetune", "cifar_plain20", "--from-scratch", *options)
    used = json.loads((tmp_path / "out" / "run.json").read_text())["recipe"]
    assert (used["head_only_fraction"], used["stem_lr_scale"]) == (0, 1)


def test_notes_are_printed_once_and_beside_the_output(tmp_path: Path) -> None:
    data = fill(tmp_path / "photos", 8)
    (data / "red" / "1.png").write_bytes(b"broken")
    said = tune(data, tmp_path / "pets", "--set", "batch_size=32")
    assert said.exit_code == 0, said.output
    for note in ("18 images do not fill a batch of 32: the batch size is 18", f"skipped 1 in {data}, cannot be read: red/1.png"):
        assert said.stderr.count(note) == 1
        assert note not in said.stdout


def test_gray_networks(tmp_path: Path) -> None:
    said = tune(fill(tmp_path / "photos", 8), tmp_path / "gray", "--in-chans", "1", "--input-rule", "repeat")
    assert said.exit_code == 0, said.output
    net = create_model(tmp_path / "gray")
    assert net.in_chans == 1
    assert "3 channels made 1 (repeat)" in net.pretrained_cfg.origin


def test_what_is_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    data = fill(tmp_path / "photos", 8)
    for args, message in (
        ((tmp_path / "nowhere", tmp_path / "out"), "there is no folder"),
        ((data, data / "out"), "so its files would be read as data: give another folder"),
        ((data, tmp_path / "out", "--validation", "2"), "must be between 0 and 1, got 2.0"),
        ((data, tmp_path / "out", "--set", "epoch=2"), "a recipe has no field 'epoch'"),
        ((data, tmp_path / "out", "--recipe", "one_cycle_cifar"), "folders of images are augmented by 'resized_crop_flip'"),
    ):
        result = tune(*args)  # type: ignore[arg-type]
        assert result.exit_code == 1
        assert message in result.output
        assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_recipes_that_are_none(tmp_path: Path) -> None:
    data, recipe = fill(tmp_path / "photos", 3), tmp_path / "recipe.json"
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe, a socket or a device" in tune(data, tmp_path / "out", "--recipe", str(tmp_path / "pipe")).output
    for content, message in (
        (b"\xff", "can't decode"),
        (b"{", "a recipe must be JSON"),
        (b'{"lr": 1e999}', "lr must be a number"),
    ):
        recipe.write_bytes(content)
        said = tune(data, tmp_path / "out", "--recipe", str(recipe)).output
        assert said.startswith(f"Error: {recipe}: ")
        assert message in said


def test_cifar10(cifar10_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetlib.finetuning.finetune.cifar10", lambda *args: cifar10(*args).first(200))
    options = ("--set", "head_only_fraction=1", "--validation", "0.5")
    result = tune(cifar10_folder, tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    assert "101 of CIFAR-10's training images are held out for validation; the test images are not used\n" in result.stderr
    net = create_model(tmp_path / "out")
    assert net.pretrained_cfg.recipe.startswith("finetune_cifar, epochs=2")
    assert net.pretrained_cfg.top1 > 80  # the classifier of these very classes is kept
