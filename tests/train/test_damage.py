"""What lies beside the checkpoints is written anew from them where it is damaged, or an error names it; so is another's."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import draw, fill

from resnetlib import Backbone, create_model, finetune, save_model
from resnetlib.train import Result, fit, recipe_from_json, recipe_of
from resnetlib.train.checkpoint import Checkpoints, read_run
from resnetlib.train.metrics import read_result
from resnetlib.train.run import Run
from resnetlib.weights import read_weights

pytestmark = pytest.mark.usefixtures("no_curves")

BESIDE = ("log.jsonl", "result.json", "model.safetensors", "best.safetensors")


def train(out: Path, *, net: Backbone | None = None, seed: int = 0, images: int = 0, **changes: Any) -> Result:
    sets = tiny.images(seed=images), tiny.images(30, seed=1)
    return fit(net or tiny.network(), *sets, tiny.recipe(**changes), out, seed=seed, device="cpu", precision="fp32")


class StoppedError(Exception):
    """Stands for whatever ends a process."""


def stop(out: Path, at: int, **options: Any) -> Path:
    """Train until the measurement of an iteration is saved."""
    measure = Run._measure

    def stopped(self: Run, *args: Any) -> None:
        measure(self, *args)
        if self.trainer.iteration >= at:
            raise StoppedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_measure", stopped)
        with pytest.raises(StoppedError):
            train(out, **options)
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training."""
    out = tmp_path_factory.mktemp("whole") / "out"
    train(out)
    return out


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, stopped behind its third measurement."""
    return stop(tmp_path_factory.mktemp("half") / "out", 18)


def what_matters(out: Path) -> dict[str, Any]:
    """All that must not depend on what happened on the way."""
    timed = ("seconds", "images_per_second")
    log = [
        {key: value for key, value in record.items() if key not in timed}
        for record in map(json.loads, (out / "log.jsonl").read_text().splitlines())
    ]
    figures = json.loads((out / "result.json").read_text())
    weights = {
        (name, key): tensor.numpy().tobytes()
        for name in ("model.safetensors", "best.safetensors")
        for key, tensor in read_weights(out / name).state.items()
    }
    return {"log": log, **{key: value for key, value in figures.items() if key not in ("seconds", "sha256")}, **weights}


def flipped(path: Path, place: float, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(content)


def copy(out: Path, name: str, tmp: Path) -> Path:
    shutil.rmtree(tmp / name, ignore_errors=True)
    return Path(shutil.copytree(out, tmp / name))


@pytest.mark.parametrize("place", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("name", ["log.jsonl", "best.safetensors"])
def test_a_flipped_bit_beside_the_checkpoints_changes_nothing(
    name: str, place: float, half: Path, whole: Path, tmp_path: Path
) -> None:
    out = copy(half, "out", tmp_path)
    flipped(out / name, place, 2)
    train(out)
    assert what_matters(out) == what_matters(whole)


@pytest.mark.parametrize("name", BESIDE)
def test_a_flipped_bit_of_a_finished_training_is_undone_or_said(
    name: str, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected, result = what_matters(whole), train(whole)
    for place in (0.0, 0.6):
        out = copy(whole, "out", tmp_path)
        flipped(out / name, place, 0)
        assert train(out) == result
        assert what_matters(out) == expected
        assert f"{out / name} is damaged" in caplog.text
    shutil.rmtree(out / "checkpoints")
    for place in (0.0, 0.3, 0.6, 1.0):
        flipped(out / name, place, 3)
        with pytest.raises(ValueError, match=rf"{name} is damaged: .* No checkpoint can replace it"):
            train(out)
        flipped(out / name, place, 3)


TEXTS = ["{}", "[]", "null", "", "\0", '{"sessions": 3}', "[" * 100_000, '{"iterations": NaN}', "\udcff"]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:20])
def test_other_json(text: str, whole: Path, tmp_path: Path) -> None:
    content = text.encode(errors="surrogateescape")
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"result.json is damaged: "):
        read_result(tmp_path / "result.json", Result)
    out = copy(whole, "out", tmp_path)
    (out / "run.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"run.json cannot be read: .* Delete it to continue"):
        train(out)


@pytest.mark.parametrize("name", ["result.json", "log.jsonl"])
def test_other_json_is_written_anew(name: str, whole: Path, half: Path, tmp_path: Path) -> None:
    out = copy(half if name == "log.jsonl" else whole, "out", tmp_path)
    (out / name).write_bytes(b'{"sessions": \xff')
    train(out)
    assert what_matters(out) == what_matters(whole)


def test_weights_that_somebody_changed_are_kept(whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = copy(whole, "out", tmp_path)
    edited = create_model(f"{out}/")
    edited.fc.bias.data += 1
    save_model(edited, out, overwrite=True)
    mine = (out / "model.safetensors").read_bytes()
    train(out)
    assert what_matters(out) == what_matters(whole)
    assert (out / "model.safetensors.damaged").read_bytes() == mine
    assert "kept as model.safetensors.damaged" in caplog.text


def test_a_damaged_config_of_a_finished_training_is_written_anew(whole: Path, tmp_path: Path) -> None:
    out = copy(whole, "out", tmp_path)
    (out / "config.json").write_text("{")
    train(out)
    assert create_model(f"{out}/").num_classes == 3


def test_a_finished_training_needs_no_log(whole: Path, tmp_path: Path) -> None:
    out = copy(whole, "out", tmp_path)
    shutil.rmtree(out / "checkpoints")
    (out / "log.jsonl").unlink()
    assert train(out) == train(whole)


@pytest.mark.parametrize("finished", [False, True])
def test_a_lost_run_json_is_written_again(finished: bool, half: Path, whole: Path, tmp_path: Path) -> None:
    out = copy(whole if finished else half, "out", tmp_path)
    (out / "run.json").unlink()
    train(out)
    assert what_matters(out) == what_matters(whole)


@pytest.mark.parametrize("name", ["run.json", "result.json", "log.jsonl", "best.safetensors", "checkpoint"])
def test_pipes(name: str, half: Path, tmp_path: Path) -> None:
    """Nothing waits for a pipe that nobody writes into."""
    out = copy(half, "out", tmp_path)
    path = max((out / "checkpoints").iterdir()) if name == "checkpoint" else out / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(ValueError, match="is a pipe, a socket"):
        train(out)
    assert path.is_fifo()


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"net": tiny.plain()}, {"images": 2}, {"lr": 0.2}, {"label_smoothing": 0.1}],
    ids=lambda other: next(iter(other)),
)
def test_checkpoints_of_another_training_are_refused(other: dict[str, Any], half: Path, tmp_path: Path) -> None:
    if "net" in other:
        other = {"net": tiny.network(other["net"])}
    out, theirs = copy(half, "out", tmp_path), stop(tmp_path / "theirs", 6, **other)
    shutil.rmtree(out / "checkpoints")
    shutil.copytree(theirs / "checkpoints", out / "checkpoints")
    with pytest.raises(ValueError, match=r"000000006-\w+.pt belongs to another training"):
        train(out)


def test_the_result_of_another_training_is_refused(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(out, seed=1)
    shutil.rmtree(out / "checkpoints")
    shutil.copy(whole / "run.json", out)
    with pytest.raises(ValueError, match=r"result.json belongs to another training"):
        train(out)


def test_images_of_the_same_size_are_other_images(tmp_path: Path) -> None:
    data, options = fill(tmp_path / "data", 5), {"recipe": recipe_of("finetune", epochs=1, batch_size=6), "device": "cpu"}
    out = tmp_path / "out"
    finetune("cifar_resnet20.resnetlib_c10", data, out, **options)  # type: ignore[arg-type]
    path = data / "red" / "1.png"
    before = path.read_bytes()
    draw(path, 0, seed=99)
    path.write_bytes(path.read_bytes()[: len(before)] + bytes(max(0, len(before) - path.stat().st_size)))
    assert path.stat().st_size == len(before)
    with pytest.raises(ValueError, match="holds another training: the images differ"):
        finetune("cifar_resnet20.resnetlib_c10", data, out, **options)  # type: ignore[arg-type]
    path.write_bytes(before)
    finetune("cifar_resnet20.resnetlib_c10", data, out, **options)  # type: ignore[arg-type]


def test_what_killed_writers_left_is_deleted_and_nothing_else(half: Path, tmp_path: Path) -> None:
    out = copy(half, "out", tmp_path)
    halves = [".best.safetensors.0123abcd", ".run.json.00000000", ".model.safetensors.ffffffff", ".curves.png.12345678"]
    halves += [".result.json.12345678", ".log.jsonl.12345678", "checkpoints/.000000018-0123456789abcdef.pt.12345678"]
    mine = [".best.safetensors", ".notes.12345678", "best.safetensors.12345678"]
    for name in halves + mine:
        (out / name).write_bytes(b"half")
    train(out)
    assert not [name for name in halves if (out / name).exists()]
    assert all((out / name).exists() for name in mine)


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """The same bytes with some changed, cut, doubled or put in."""
    spot = st.integers(0, len(content))

    def change(spots: list[tuple[int, int]], piece: bytes) -> bytes:
        new = content
        for a, b in spots:
            new = new[:a] + piece + new[b:]
        return new

    return st.builds(change, st.lists(st.tuples(spot, spot), min_size=1, max_size=2), st.binary(max_size=6))


READERS: dict[str, Callable[[Path], Any]] = {
    "run.json": read_run,
    "result.json": lambda path: read_result(path, Result),
    "recipe.json": lambda path: recipe_from_json(path.read_bytes().decode()),
}


@pytest.mark.parametrize("name", READERS)
def test_readers_of_damaged_files_raise_value_errors(name: str, whole: Path, tmp_path: Path) -> None:
    content = tiny.recipe().to_json().encode() if name == "recipe.json" else (whole / name).read_bytes()
    path = tmp_path / name

    @settings(max_examples=60)
    @given(mutated(content))
    def check(new: bytes) -> None:
        path.write_bytes(new)
        with suppress(ValueError, OSError):
            READERS[name](path)

    check()


def test_damaged_checkpoints_raise_value_errors_whatever_their_names_say(half: Path, tmp_path: Path) -> None:
    content = max((half / "checkpoints").iterdir()).read_bytes()
    draws = np.random.default_rng(0)

    @settings(max_examples=25)
    @given(mutated(content))
    def check(new: bytes) -> None:
        folder = tmp_path / str(draws.integers(2**60))
        kept = Checkpoints(folder)
        path = kept.save(18, {})
        path.unlink()
        path.with_name(f"000000018-{hashlib.sha256(new).hexdigest()[:16]}.pt").write_bytes(new)
        with suppress(ValueError, OSError):
            kept.load()

    check()


@pytest.mark.parametrize("value", [10**400, -(10**400), [1], {"a": 1}, None, True, "x", 1e999], ids=lambda value: repr(value)[:9])
@pytest.mark.parametrize("field", ["lr", "batch_size", "optimizer", "milestones", "decay_all", "head_only_fraction"])
def test_recipes_of_other_values(field: str, value: Any) -> None:
    text = json.dumps({**json.loads(tiny.recipe().to_json()), field: value})
    if (field, value) in (("decay_all", True), ("batch_size", 10**400)):
        recipe_from_json(text)
        return
    with pytest.raises(ValueError, match=field if field != "milestones" else "milestones"):
        recipe_from_json(text)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"net": None}, TypeError, "expected a network of this library, got NoneType"),
        ({"net": torch.nn.Linear(2, 2)}, TypeError, "expected a network of this library, got Linear"),
        ({"train": None}, TypeError, "must both be in memory or both in folders, got NoneType, LabeledImages"),
        ({"train": 3, "test": 3}, TypeError, "images must be LabeledImages, ImageFiles or the path of a folder, got int"),
        ({"recipe": 3}, TypeError, r"recipe must be a Recipe, such as recipe_of\('one_cycle_cifar'\), or its name, got 3"),
        ({"recipe": "fast"}, ValueError, "there is no recipe 'fast'; choose one of he2015_cifar, "),
        ({"out": ""}, ValueError, "out must name a folder, got ''"),
        ({"out": None}, TypeError, "out must be the path of a folder, got NoneType"),
        ({"out": "a\0b"}, ValueError, "out must name a folder"),
        ({"out": __file__}, NotADirectoryError, "test_damage.py is a file: give a folder"),
        ({"device": "foo"}, ValueError, "device 'foo' cannot be used: Expected one of cpu"),
        ({"device": "mps"}, ValueError, "device 'mps' cannot be used"),
        ({"device": "meta"}, ValueError, "device 'meta' cannot be used"),
        ({"device": "cuda:99"}, ValueError, "device 'cuda:99' cannot be used"),
        ({"device": 1.5}, ValueError, "device 1.5 cannot be used"),
        ({"seed": True}, ValueError, r"seed must be an integer from 0 to 2\^63 - 1, got True"),
        ({"keep": None}, ValueError, "keep must be an integer of at least 1, got None"),
        ({"every": "2"}, ValueError, "every must be an integer of at least 0, got '2'"),
        ({"preprocess": "imagenet"}, TypeError, "preprocess must be a resnetlib.weights.Preprocessing, or None, got str"),
    ],
)
def test_odd_arguments(change: dict[str, Any], kind: type[Exception], message: str, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"net": tiny.network(), "train": tiny.images(), "test": tiny.images(), "recipe": tiny.recipe()}
    with pytest.raises(kind, match=message) as caught:
        fit(**{**arguments, "out": tmp_path / "out", **change})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    if not {"net", "train", "test", "keep", "preprocess"} & set(change):
        with pytest.raises(kind, match=message):
            finetune("cifar_resnet20", (tiny.images(), tiny.images()), **{"out": tmp_path / "out", **change})


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"data": None}, TypeError, "data must be a folder, or training and validation images in memory, got None"),
        ({"data": (tiny.images(),)}, TypeError, r"got \['LabeledImages'\]$"),
        ({"data": ""}, ValueError, "data must name a folder, got ''"),
        ({"validation": "x"}, TypeError, "validation must be a number between 0 and 1, got 'x'"),
        ({"recipe": {}}, TypeError, r"recipe must be a Recipe, such as recipe_of\('one_cycle_cifar'\), or its name, got {}"),
        ({"recipe": 0}, TypeError, "recipe must be a Recipe, .* got 0"),
        ({"recipe": ""}, ValueError, "there is no recipe ''; choose one of he2015_cifar, "),
        ({"name": None}, TypeError, "name must be a str or a Path, got NoneType"),
    ],
)
def test_odd_arguments_of_finetune(change: dict[str, Any], kind: type[Exception], message: str, tmp_path: Path) -> None:
    data = fill(tmp_path / "data", 2)
    with pytest.raises(kind, match=message) as caught:
        finetune(**{"name": "cifar_resnet20", "data": data, "out": tmp_path / "out", **change})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
