"""Ctrl-C ends a training at once, wherever it strikes, and leaves no process; so does the death of the process that trains."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny
from forks import Fork, kill, members, wait_for
from pictures import fill
from torch.utils.data import DataLoader

from resnetlib import disk
from resnetlib.train import fit, recipe_of
from resnetlib.train.checkpoint import Checkpoints
from resnetlib.train.data import FolderLoader
from resnetlib.train.run import Run
from resnetlib.train.trainer import Trainer

pytestmark = pytest.mark.usefixtures("no_curves")

NAME = "cifar_resnet20.resnetlib_c10"
SIZES = {"train_size": 8, "test_size": 8, "test_resize": 8}
ENDLESS = recipe_of("finetune", epochs=100_000, batch_size=6, patience=0, **SIZES)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures") / "data"
    fill(root / "train", 4)
    return fill(root / "val", 2, first=4).parent


@pytest.fixture(autouse=True)
def _heed_interrupts() -> Iterator[None]:
    """Undo what a shell does to commands in the background, which ignore Ctrl-C, and so would what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def train(data: Path, out: Path, **changes: Any) -> None:
    recipe = replace(ENDLESS, **changes)
    fit(tiny.network(), data / "train", data / "val", recipe, out, device="cpu", precision="fp32", every=3)


def interrupt(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_and_go_on(*_: object) -> None:
    interrupt()
    time.sleep(0)


class _Dying:
    def __del__(self) -> None:
        interrupt_and_go_on()


class _Watched:
    def __init__(self) -> None:
        weakref.finalize(self, interrupt_and_go_on)


PLACES: dict[str, Callable[[], object]] = {"called": interrupt, "__del__": _Dying, "weak reference": _Watched}
"""Python discards what is raised in `__del__` and in callbacks of weak references."""


MOMENTS: dict[str, tuple[object, str, int]] = {
    "hashing the images": (FolderLoader, "__init__", 1),
    "starting workers": (DataLoader, "__iter__", 2),
    "reading": (FolderLoader, "train_batches", 2),
    "training": (Trainer, "step", 5),
    "measuring": (Run, "_evaluate", 2),
    "saving": (disk, "_write", 9),
    "deleting a checkpoint": (Checkpoints, "newest_first", 2),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_any_moment_reaches_the_caller(
    moment: str, place: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, at = MOMENTS[moment]
    called, calls = getattr(owner, name), 0
    if moment == "hashing the images" and place != "called":
        pytest.skip("before the training begins, Python's own handler is in force")

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            PLACES[place]()
        return called(*args, **options)

    monkeypatch.setattr(owner, name, counted)
    with pytest.raises(KeyboardInterrupt) as caught:  # with the traceback and all that its frames hold
        train(data, tmp_path / "out")
    if moment != "hashing the images":
        assert "; run the same again to continue from " in str(caught.value)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("seconds", [0.2, 0.9])
def test_ctrl_c_at_a_random_moment_reaches_the_caller(seconds: float, data: Path, tmp_path: Path) -> None:
    threading.Timer(seconds, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "out")
    assert multiprocessing.active_children() == []


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a process in a group of its own; whatever it leaves is ended with the test."""
    groups = []

    def start(*command: object) -> "subprocess.Popen[str]":
        with (tmp_path / "errors").open("w") as errors:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, *map(str, command)],
                env=ENVIRONMENT,
                start_new_session=True,
                text=True,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        groups.append(process)
        return process

    yield start
    for process in groups:
        kill(members(process.pid))
        process.wait()


@pytest.mark.parametrize(("command", "whole_group"), [("finetune", True), ("train", False)])
def test_ctrl_c_on_the_command_line(
    command: str, whole_group: bool, data: Path, tmp_path: Path, started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    (tmp_path / "recipe.json").write_text(ENDLESS.to_json())
    name = NAME if command == "finetune" else "cifar_resnet20"
    options = ["--data", data, "--out", tmp_path / "out", "--recipe", tmp_path / "recipe.json", "--device", "cpu"]
    process = started("-m", "resnetlib", command, name, *options)
    assert wait_for(lambda: (tmp_path / "out" / "log.jsonl").exists(), 120)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    start = time.monotonic()
    assert process.wait(60) == 130
    assert time.monotonic() - start < 20  # two seconds, where nothing else runs
    said = (tmp_path / "errors").read_text()
    assert "Traceback" not in said
    assert "ignored" not in said
    last = said.splitlines()[-1]
    assert last.startswith("interrupted after iteration ")
    assert "; run the same again to continue from " in last
    assert wait_for(lambda: not members(process.pid), 10)


@pytest.fixture
def training(data: Path, tmp_path: Path) -> Iterator[Fork]:
    """A training with worker processes, on its way."""
    fork = Fork(partial(train, data, tmp_path / "out"), tmp_path / "errors")
    assert wait_for(lambda: (tmp_path / "out" / "log.jsonl").exists() and len(fork.members()) > 1, 120)
    yield fork
    fork.end()


def test_no_reader_outlives_a_killed_training(training: Fork) -> None:
    os.kill(training.pid, signal.SIGKILL)
    training.wait()
    assert wait_for(lambda: not training.members(), 10)


def test_a_killed_reader_is_said_in_a_line(training: Fork) -> None:
    def kill_a_reader() -> bool:
        kill([pid for pid in training.members() if pid != training.pid][:1])
        time.sleep(0.05)
        return training.poll() is not None

    assert wait_for(kill_a_reader, 120), training.output.read_text()
    said = training.output.read_text()
    assert training.wait() == 1
    assert said.splitlines()[-1].startswith(
        "resnetlib.errors.ResourceError: a process that reads images was killed, which happens if memory or shared"
    )


def test_a_lost_image_is_named(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    fill(mine / "train", 4)
    fill(mine / "val", 2, first=4)
    measured = Run._measure

    def lost(self: Run, *args: Any) -> None:  # type: ignore[type-arg]
        measured(self, *args)
        (mine / "train" / "red" / "2.png").unlink()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_measure", lost)
        with pytest.raises(ValueError, match=r"^there is no file .*red/2.png. The images must stay until the training ends$"):
            train(mine, tmp_path / "out")
    assert multiprocessing.active_children() == []


def test_no_training_outlives_a_killed_grid(data: Path, tmp_path: Path, started: Callable[..., "subprocess.Popen[str]"]) -> None:
    (tmp_path / "recipe.json").write_text(ENDLESS.to_json())
    options = ["--data", data, "--out", tmp_path / "out", "--recipe", tmp_path / "recipe.json", "--device", "cpu"]
    process = started("-m", "resnetlib", "train", "--grid", "models=cifar_plain20,cifar_resnet20", *options, "--jobs", 2)
    folders = [tmp_path / "out" / name for name in ("cifar_plain20", "cifar_resnet20")]
    assert wait_for(lambda: all((folder / "log.jsonl").exists() for folder in folders), 180)
    assert len(members(process.pid)) > 2
    process.kill()
    process.wait()
    assert wait_for(lambda: not members(process.pid), 15)


def test_other_threads_and_handlers_are_left_alone(data: Path, tmp_path: Path) -> None:
    def mine(number: int, frame: object) -> None:
        raise AssertionError

    signal.signal(signal.SIGINT, mine)
    train(data, tmp_path / "handler", epochs=1)
    assert signal.getsignal(signal.SIGINT) is mine
    thread = threading.Thread(target=train, args=(data, tmp_path / "thread"), kwargs={"epochs": 1})
    thread.start()
    thread.join()
    assert (tmp_path / "thread" / "result.json").exists()
