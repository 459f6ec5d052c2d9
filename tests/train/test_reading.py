"""The processes that read images: how many there are, and what is said where they cannot work."""

import gc
import multiprocessing
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from pictures import fill

from resnetlib import create_model, finetune
from resnetlib.images import count_workers, read_ahead
from resnetlib.train import data as loading
from resnetlib.train import fit, recipe_of
from resnetlib.train.trainer import Trainer
from resnetlib.weights import Preprocessing

pytestmark = pytest.mark.usefixtures("no_curves")

RECIPE = recipe_of("finetune", epochs=1, batch_size=6, patience=0, train_size=8, test_size=8, test_resize=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures") / "data"
    fill(root / "train", 4)
    return fill(root / "val", 2, first=4).parent


def train(data: Path, out: Path, **options: Any) -> None:
    fit(tiny.network(), data / "train", data / "val", RECIPE, out, device="cpu", precision="fp32", **options)


def test_the_weights_do_not_depend_on_the_number_of_workers(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    loader = loading.DataLoader

    def counted(*args: Any, **options: Any) -> Any:
        started.append(options["num_workers"])
        return loader(*args, **options)

    monkeypatch.setattr(loading, "DataLoader", counted)
    for workers in (0, 2):
        train(data, tmp_path / str(workers), workers=workers)
        assert set(started) == {workers}
        started.clear()
    one, two = (create_model(tmp_path / name).state_dict() for name in ("0", "2"))
    assert all(torch.equal(tensor, two[key]) for key, tensor in one.items())


def test_a_stem_of_cifar_sees_32_pixels_and_another_224(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stem of CIFAR would take 49 times as long on 224 pixels."""
    shapes = []
    step = Trainer.step

    def noted(self: Trainer, x: torch.Tensor, *args: Any) -> torch.Tensor:
        shapes.append(tuple(x.shape))
        return step(self, x, *args)

    monkeypatch.setattr(Trainer, "step", noted)
    recipe = recipe_of("he2015_imagenet", iterations=1, batch_size=2)
    imagenet = replace(tiny.SPEC, stem="imagenet")
    for name, net, size in (
        ("a", tiny.network(), (3, 32, 32)),
        ("b", tiny.network(imagenet), (3, 224, 224)),
        ("c", tiny.network(in_chans=1), (1, 32, 32)),
    ):
        fit(net, data / "train", data / "val", recipe, tmp_path / name, device="cpu", precision="fp32", workers=0)
        assert shapes.pop() == (2, *size)
        assert net.preprocess == create_model(tmp_path / name).preprocess
    assert create_model(tmp_path / "a").preprocess == Preprocessing.named("cifar10", resize=32, size=32)
    assert create_model(tmp_path / "b").preprocess == Preprocessing.named("imagenet", resize=256, size=224)


def test_sizes_that_differ_are_another_training(data: Path, tmp_path: Path) -> None:
    """0 is the size of the preprocessing, here 32."""
    recipe = recipe_of("he2015_imagenet", iterations=1, batch_size=2)
    options: dict[str, Any] = {"device": "cpu", "precision": "fp32", "workers": 0}
    for one, other in ((0, 224), (224, 0), (0, 32)):
        out = tmp_path / f"{one} {other}"
        fit(tiny.network(), data / "train", data / "val", replace(recipe, train_size=one), out, **options)
        with pytest.raises(ValueError, match="another training"):
            fit(tiny.network(), data / "train", data / "val", replace(recipe, train_size=other), out, **options)


def test_an_augmentation_for_images_in_memory_says_what_to_choose(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match=r"not by 'pad_crop_flip': choose a recipe for folders, such as he2015_imagenet"):
        fit(tiny.network(), data / "train", data / "val", "one_cycle_cifar", tmp_path / "out", device="cpu")
    assert caplog.messages == []  # no note on the batch


def test_numbers_of_workers(data: Path, tmp_path: Path) -> None:
    assert 1 <= count_workers(None) <= 8
    for bad in (-1, 1.5, True, "2"):
        with pytest.raises(ValueError, match=f"workers must be an integer of at least 0, got {bad!r}"):
            train(data, tmp_path / "out", workers=bad)
        with pytest.raises(ValueError, match=f"workers must be an integer of at least 0, got {bad!r}"):
            finetune("cifar_resnet20.resnetlib_c10", data, tmp_path / "out", workers=bad)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_reading_ahead_keeps_the_order_and_its_bounds() -> None:
    begun: list[int] = []

    def read(number: int) -> int:
        begun.append(number)
        if number == 20:
            raise ValueError
        return number

    for workers in (0, 1, 3):
        begun.clear()
        results = read_ahead(read, iter(range(30)), workers)
        assert [next(results) for _ in range(10)] == list(range(10))
        assert len(begun) <= 10 + workers
        with pytest.raises(ValueError, match=r"^$"):
            list(results)
    assert list(read_ahead(read, range(5))) == [0, 1, 2, 3, 4]


def _train_in_a_pool(arguments: tuple[Path, Path]) -> bool:
    torch.set_num_threads(1)
    train(*arguments, workers=2)
    return multiprocessing.current_process().daemon


def test_a_daemonic_process_reads_by_itself(data: Path, tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_train_in_a_pool, [(data, tmp_path / "out")]) == [True]
    assert (tmp_path / "out" / "model.safetensors").exists()


class _Garbage:
    def __init__(self, marks: Path) -> None:
        self.marks, self.cycle = marks, self

    def __del__(self) -> None:
        (self.marks / str(os.getpid())).touch()


def test_workers_destroy_no_objects_of_the_main_process(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some wait forever for a thread that a forked process lacks."""
    collate = loading.default_collate

    def collect(batch: Any) -> Any:
        if torch.utils.data.get_worker_info() is not None:
            gc.collect()
        return collate(batch)

    monkeypatch.setattr(loading, "default_collate", collect)
    (marks := tmp_path / "marks").mkdir()
    gc.disable()
    try:
        _Garbage(marks)
        train(data, tmp_path / "out", workers=1)
    finally:
        gc.enable()
    gc.collect()
    assert [path.name for path in marks.iterdir()] == [str(os.getpid())]


def test_too_little_shared_memory_is_said_in_a_line(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collate = loading.default_collate

    def full(batch: Any) -> Any:
        if torch.utils.data.get_worker_info() is None:
            return collate(batch)
        raise RuntimeError("unable to write to file </torch_12_34_0>: No space left on device (28)\nmore")

    monkeypatch.setattr(loading, "default_collate", full)
    with pytest.raises(ValueError, match=r"ran out of .*shared memory .*--workers 0.*unable to write to file") as caught:
        train(data, tmp_path / "out", workers=1)
    assert "\n" not in str(caught.value)
    train(data, tmp_path / "out", workers=0)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [4, 64, 400])
def test_a_small_shared_memory(kilobytes: int, data: Path, tmp_path: Path) -> None:
    """In a container of its own, with less shared memory than a batch needs: a line, and no hang."""
    mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs /dev/shm"
    allowed = shutil.which("unshare") and os.geteuid() == 0
    if not allowed or subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode:  # noqa: S603, S607
        pytest.skip("file systems cannot be mounted here")
    changes = ["--set", "epochs=1", "--set", "batch_size=6", "--set", "head_only_fraction=1"]
    command = [sys.executable, "-m", "resnetlib", "finetune", "cifar_resnet20.resnetlib_c10", "--data", str(data), *changes]
    for workers, status in (("2", 1), ("0", 0)):
        options = ["--out", str(tmp_path / "out"), "--device", "cpu", "--workers", workers]
        script = f'{mount} && exec "$@"'
        done = subprocess.run(  # noqa: S603
            ["unshare", "-m", "sh", "-c", script, "sh", *command, *options],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if kilobytes == 400 and workers == "2" and done.returncode == 0:
            continue  # it was enough
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        if status:
            last = done.stderr.strip().splitlines()[-1]
            assert "shared memory" in last
            assert "--workers 0" in last
