"""Ctrl-C ends a training at once, wherever it strikes, and leaves no process; so does the death of the process that trains."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pictures import fill

from resnetlib.train import recipe_of

NAME = "cifar_resnet20.resnetlib_c10"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
ENDLESS = recipe_of("finetune", epochs=100_000, batch=6, patience=0)


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


def wait_for(what: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.02)
    return what()


def members(group: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


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
        for pid in members(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def test_ctrl_c_at_any_moment_reaches_the_caller(data: Path, tmp_path: Path) -> None:
    """In one process, many trainings are interrupted, at moments spread over reading, training, measuring and saving."""
    code = f"""
import multiprocessing, os, signal, threading
from dataclasses import replace
import torch, resnetlib
from resnetlib.train import fit, recipe_from_json
torch.set_num_threads(1)
recipe = recipe_from_json({ENDLESS.to_json()!r})
net = resnetlib.create_model({NAME!r}, num_classes=3)
kept = []
def run(recipe, out):
    fit(net, {str(data / "train")!r}, {str(data / "val")!r}, recipe, f"{tmp_path}/{{out}}", device="cpu", precision="fp32", every=3)
run(replace(recipe, epochs=1), "warm")  # so that no import is interrupted
for i in range(12):
    threading.Timer(0.3 + 0.077 * i, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        run(recipe, i)
    except KeyboardInterrupt as error:
        kept.append(error)  # with the traceback and all that its frames hold
        print("reached", flush=True)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
print("left", len(multiprocessing.active_children()))
"""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["reached"] * 12 + ["left", "0"]
    assert "ignored" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("whole_group", [False, True])
@pytest.mark.parametrize("command", ["finetune", "train"])
def test_ctrl_c_on_the_command_line(
    command: str, whole_group: bool, data: Path, tmp_path: Path, started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    (tmp_path / "recipe.json").write_text(ENDLESS.to_json())
    name = NAME if command == "finetune" else "cifar_resnet20"
    options = ["--data", data, "--out", tmp_path / "out", "--recipe", tmp_path / "recipe.json", "--device", "cpu"]
    more = ["--set", "train_size=32", "--set", "test_size=32", "--set", "test_resize=32"] if command == "train" else []
    process = started("-m", "resnetlib", command, name, *options, *more)
    assert wait_for(lambda: (tmp_path / "out" / "log.jsonl").exists(), 120)
    time.sleep(0.1)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    start = time.monotonic()
    assert process.wait(60) == 130
    assert time.monotonic() - start < 10  # two seconds, where nothing else runs
    said = (tmp_path / "errors").read_text()
    assert "Traceback" not in said
    assert "ignored" not in said
    last = said.splitlines()[-1]
    assert last.startswith("interrupted after iteration ")
    assert "; run the same again to go on from " in last
    assert wait_for(lambda: not members(process.pid), 10)


def test_no_reader_outlives_a_killed_training(data: Path, tmp_path: Path, started: Callable[..., "subprocess.Popen[str]"]) -> None:
    options = ["--data", data, "--out", tmp_path / "out", "--device", "cpu", "--set", "epochs=100000", "--set", "batch=6"]
    process = started("-m", "resnetlib", "finetune", NAME, *options)
    assert wait_for(lambda: (tmp_path / "out" / "log.jsonl").exists() and len(members(process.pid)) > 1, 120)
    process.kill()
    process.wait()
    assert wait_for(lambda: not members(process.pid), 10)


def test_no_training_outlives_a_killed_grid(data: Path, tmp_path: Path, started: Callable[..., "subprocess.Popen[str]"]) -> None:
    sizes = [option for size in ("train_size", "test_size", "test_resize") for option in ("--set", f"{size}=32")]
    options = ["--data", data, "--out", tmp_path / "out", "--recipe", "he2015_imagenet", *sizes, "--set", "batch=6"]
    process = started("-m", "resnetlib", "train", "--grid", "models=cifar_plain20,cifar_resnet20", *options, "--jobs", 2)
    folders = [tmp_path / "out" / name for name in ("cifar_plain20", "cifar_resnet20")]
    assert wait_for(lambda: all((folder / "log.jsonl").exists() for folder in folders), 180)
    assert len(members(process.pid)) > 2
    process.kill()
    process.wait()
    assert wait_for(lambda: not members(process.pid), 15)


def test_a_killed_reader_and_a_lost_image_are_said_in_a_line(
    data: Path, tmp_path: Path, started: Callable[..., "subprocess.Popen[str]"]
) -> None:
    mine = tmp_path / "mine"
    fill(mine / "train", 4)
    fill(mine / "val", 2, first=4)
    options = ["--data", mine, "--out", tmp_path / "out", "--device", "cpu", "--set", "epochs=100000", "--set", "batch=6"]
    process = started("-m", "resnetlib", "finetune", NAME, *options)
    assert wait_for(lambda: (tmp_path / "out" / "log.jsonl").exists() and len(members(process.pid)) > 1, 120)
    while process.poll() is None:
        for pid in members(process.pid):
            if pid != process.pid:
                os.kill(pid, signal.SIGKILL)
                break
        time.sleep(0.05)
    said = (tmp_path / "errors").read_text()
    assert process.returncode == 1
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("Error: a process that reads images was killed, as happens where memory or shared")
    (tmp_path / "out" / "log.jsonl").unlink()
    process = started("-m", "resnetlib", "finetune", NAME, *options)
    assert wait_for(lambda: (tmp_path / "out" / "log.jsonl").exists(), 120)
    (mine / "train" / "red" / "2.png").unlink()
    assert process.wait(120) == 1
    said = (tmp_path / "errors").read_text()
    assert "Traceback" not in said
    assert "red/2.png is no image that can be read: [Errno 2] No such file" in said.splitlines()[-1]
