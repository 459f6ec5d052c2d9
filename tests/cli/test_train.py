"""`resnetlib train`, as a person calls it."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock, Timeout
from PIL import Image

from resnetlib import create_model, save_model, spec_of
from resnetlib.cli import main
from resnetlib.train import RECIPES, recipe_from_json, recipe_of


def call(*args: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, args)])


def right(*args: object) -> str:
    result = call(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def wrong(*args: object) -> str:
    result = call(*args)
    assert result.exit_code in (1, 2), result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder of two classes, in train and val, with pictures of several sizes and modes."""
    draws = np.random.default_rng(0)
    for split, n in (("train", 9), ("val", 4)):
        for shade, name in enumerate(("dark", "light")):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = draws.integers(100 * shade, 100 * shade + 80, (40 + i, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).convert("L" if i == 0 else "RGB").save(folder / f"{i}.png")
    return tmp_path / "data"


NETWORK = "cifar_resnet20"
FOLDER = ("--recipe", "he2015_imagenet", "--set", "train_size=32", "--set", "test_size=32", "--set", "test_resize=36")
SHORT = ("--set", "iterations=4", "--set", "batch_size=6", "--device", "cpu")


def test_the_real_images(cifar10_folder: Path, tmp_path: Path) -> None:
    fixed = ("--data", cifar10_folder, "--out", tmp_path, "--images", 256, "--sample", 100, "--set", "iterations=2", "--seed", 3)
    out = right("cifar_resnet20", *fixed)
    assert out.startswith("training error ")
    run = json.loads((tmp_path / "run.json").read_text())
    assert recipe_from_json(json.dumps(run["recipe"])) == recipe_of("one_cycle_cifar", iterations=2)
    assert (run["seed"], run["images"]) == (3, 256)
    net = create_model(f"{tmp_path}/")
    assert f"test error {100 - net.pretrained_cfg.top1:.2f} %" in out
    assert right("cifar_resnet20", *fixed) == out  # nothing is left to do


def test_a_folder_of_images(small: Path, tmp_path: Path) -> None:
    out = right(NETWORK, "--data", small, "--out", tmp_path / "out", *FOLDER, *SHORT)
    assert "saved in" in out
    net = create_model(f"{tmp_path}/out/")
    assert net.classes == ("dark", "light")
    assert (net.preprocess.size, net.preprocess.resize) == (32, 36)


def test_a_folder_has_a_recipe_of_its_own(small: Path, tmp_path: Path) -> None:
    result = call("cifar_plain20", "--data", small, "--out", tmp_path / "out", *SHORT)
    assert result.exit_code == 0, result.output
    assert result.stderr.count(f"{small} is a folder of images: taking the recipe he2015_imagenet") == 1
    recipe = recipe_from_json(json.dumps(json.loads((tmp_path / "out" / "run.json").read_text())["recipe"]))
    assert recipe == recipe_of("he2015_imagenet", iterations=4, batch_size=6)
    assert create_model(tmp_path / "out").preprocess.size == 32


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_the_help_names_all_recipes(command: str) -> None:
    said = CliRunner().invoke(main, [command, "--help"]).output
    assert not [name for name in RECIPES if name not in said]


def test_a_grid_writes_nothing_among_the_images(small: Path) -> None:
    said = wrong("--grid", "models=cifar_plain20", "--data", small, "--out", small / "runs", *FOLDER)
    assert f"{small / 'runs'} is inside {small}, so its files would be read as data: give another folder" in said
    assert not (small / "runs").exists()


def test_jobs_are_those_of_a_grid(small: Path, tmp_path: Path) -> None:
    said = wrong("cifar_plain20", "--data", small, "--out", tmp_path / "out", *FOLDER, "--jobs", 4)
    assert "--jobs 4 is an option of --grid" in said
    assert not (tmp_path / "out").exists()


def test_a_grid(small: Path, tmp_path: Path) -> None:
    axes = ("models=cifar_plain20", "seeds=1", "lr=0.1,x")
    fixed = ("--data", small, "--out", tmp_path / "out", *FOLDER, *SHORT, "--set", "iterations=1", "--jobs", 2)
    said = wrong("--grid", *axes, *fixed)
    lines = said.splitlines()
    assert "1 of 2 trainings failed" in lines[-1]
    assert sum("failed: Error: lr must be a number, 0 or more, got 'x'" in line for line in lines) == 1
    assert sum(line.split()[0].endswith("lr=0.1") and " % " in line for line in lines if line) == 1
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("model.safetensors")}
    assert len(stamps) == 1
    table = right("--grid", *axes[:2], "lr=0.1", *fixed)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert json.loads((tmp_path / "out" / "grid.json").read_text()).keys() == {line.split()[0] for line in table.splitlines()[1:]}
    second = tmp_path / "out" / "cifar_plain20-seed=1-lr=0.1"
    assert create_model(f"{second}/").spec == spec_of("cifar_plain20")
    run = json.loads((second / "run.json").read_text())
    assert (run["seed"], run["recipe"]["lr"]) == (1, 0.1)


def test_ctrl_c_on_a_grid_ends_its_trainings(small: Path, tmp_path: Path) -> None:
    options = ["--grid", "models=cifar_plain20,cifar_resnet20", "--data", small, "--out", tmp_path / "out", *FOLDER, *SHORT]
    options += ["--set", "iterations=100000", "--every", 5, "--jobs", 2]
    grid = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "resnetlib", "train", *map(str, options)],
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    folders = [tmp_path / "out" / name for name in ("cifar_plain20", "cifar_resnet20")]
    deadline = time.monotonic() + 120
    while not all((folder / "log.jsonl").exists() for folder in folders) and time.monotonic() < deadline:
        time.sleep(0.1)
    for folder in folders:
        with pytest.raises(Timeout):
            FileLock(folder / ".lock", blocking=False).acquire()
    grid.send_signal(signal.SIGINT)
    assert grid.wait(60) == 130
    for folder in folders:
        FileLock(folder / ".lock", timeout=1).acquire()


def test_wrong_input(small: Path, tmp_path: Path) -> None:
    data = ("--data", small, "--out", tmp_path / "out")
    assert "there is no recipe 'fast'; choose one of he2015_cifar, " in wrong("resnet18", *data, "--recipe", "fast")
    assert "neither the recipe nor the spec has lrr; the recipe has epochs, " in wrong("resnet18", *data, "--set", "lrr=3")
    assert "norm must be one of 'batch', 'group', 'none', got 'layer'" in wrong("resnet18", *data, *FOLDER, "--set", "norm=layer")
    assert "expected FIELD=VALUE, got 'lr'" in wrong("resnet18", *data, "--set", "lr")
    assert "nearest: resnet18" in wrong("resnet19", *data, *FOLDER)
    assert "neither CIFAR-10's folder nor one with the folders train and val" in wrong(
        "resnet18", "--data", small / "train", *data[2:]
    )
    assert "not by 'pad_crop_flip'" in wrong("resnet18", *data, *SHORT, "--recipe", "one_cycle_cifar")
    assert "Error: there is no folder nowhere" in wrong("resnet18", "--data", "nowhere", *data[2:])
    assert "Error: images is an option for CIFAR-10 only, got 3: all images of " in wrong("resnet18", *data, *FOLDER, "--images", 3)
    assert "give one network, or --grid" in wrong("resnet18", "resnet34", *data)
    assert "a grid needs models" in wrong("--grid", "seeds=1", *data)
    assert "the axis seeds has a value twice: 1, 1" in wrong("--grid", "models=resnet18", "seeds=1,1", *data)
    assert "an axis is given twice" in wrong("--grid", "models=resnet18", "seeds=1", "seeds=2", *data)
    assert "seed is an axis of the grid, and fixed" in wrong("--grid", "models=resnet18", "seeds=1", *data, "--seed", 2)
    assert "lr is an axis of the grid, and fixed" in wrong("--grid", "models=resnet18", "lr=1", *data, "--set", "lr=2")
    assert "the axis seeds needs values" in wrong("--grid", "models=resnet18", "seeds=1,", *data)
    assert "device 'cuda:99' cannot be used" in wrong("resnet18", *data, *FOLDER, *SHORT, "--device", "cuda:99")


def test_a_recipe_in_a_file(small: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(recipe_of("he2015_imagenet", train_size=24, test_size=24, test_resize=24).to_json())
    mine, changes = ("--recipe", tmp_path / "mine.json"), ("--set", "lr=0.01", "--set", "norm=none")
    right("cifar_plain20", "--data", small, "--out", tmp_path / "out", *mine, *SHORT, *changes)
    assert create_model(f"{tmp_path}/out/").spec == replace(spec_of("cifar_plain20"), norm="none")
    recipe = recipe_from_json(json.dumps(json.loads((tmp_path / "out" / "run.json").read_text())["recipe"]))
    assert (recipe.train_size, recipe.lr, recipe.iterations, recipe.epochs) == (24, 0.01, 4, 0)


def test_two_processes_under_torchrun(small: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "resnetlib", "train"]
    options = ["cifar_resnet20", "--data", small, "--out", tmp_path, *FOLDER, *SHORT]
    done = subprocess.run([*command, *map(str, options)], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training error") == 1
    assert json.loads((tmp_path / "run.json").read_text())["sessions"][0]["processes"] == 2


def test_verify(small: Path, tmp_path: Path) -> None:
    right(NETWORK, "--data", small, "--out", tmp_path / "out", *FOLDER, *SHORT)
    said = CliRunner().invoke(main, ["verify", f"{tmp_path}/out/", "--data", str(small / "val")])
    assert said.exit_code == 0, said.output
    net = create_model(f"{tmp_path}/out/")
    top1 = f"{net.pretrained_cfg.top1:.2f} %"
    assert said.output == f"confirmed: top-1 {top1} on 8 images; published: {top1}\n"
    save_model(net, tmp_path / "boast", pretrained_cfg=replace(net.pretrained_cfg, top1=99.0))
    said = CliRunner().invoke(main, ["verify", f"{tmp_path}/boast/", "--data", str(small / "val")])
    assert said.exit_code == 1
    assert " % on 8 images; published: 99.00 %, on 8 test images" in said.output
