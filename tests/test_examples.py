"""The examples run, at toy size."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnetlib import create_model
from resnetlib.data import LabelledImages, cifar10
from resnetlib.train import fit, recipe_of
from resnetlib.weights import read_weights

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *args: object) -> str:
    command = [sys.executable, EXAMPLES / name, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return done.stdout


def first(data: LabelledImages, n: int) -> LabelledImages:
    return replace(data, images=data.images[:n], labels=data.labels[:n])


@pytest.fixture(scope="module")
def runs(cifar10_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trainings of a grid, on a few of the real images."""
    out = tmp_path_factory.mktemp("runs")
    train, test = first(cifar10(cifar10_folder, "train"), 64), first(cifar10(cifar10_folder, "test"), 32)
    for name in ("cifar_plain20", "cifar_resnet20"):
        for seed in (0, 1):
            recipe = recipe_of("one_cycle_cifar", iterations=4, batch=16)
            fit(create_model(name), train, test, recipe, out / f"{name}-seed={seed}", seed=seed, every=2)
    return out


def test_degradation(runs: Path, tmp_path: Path) -> None:
    said = run("degradation.py", "--runs", runs, "--out", tmp_path / "figure")
    assert [line.partition(":")[0] for line in said.splitlines()] == ["plain-20", "residual-20"]
    data = json.loads((tmp_path / "figure.json").read_text())
    run_json = json.loads((runs / "cifar_plain20-seed=1" / "result.json").read_text())
    assert data["runs"]["cifar_plain20-seed=1"]["train_error"] == run_json["train_error"]
    assert len(data["runs"]["cifar_plain20-seed=1"]["log"]) == 2
    figures = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert figures.keys() == {"figure.png", "figure-depth.png", "figure-speed.png"}
    assert run("degradation.py", "--out", tmp_path / "figure") == said  # from the JSON alone
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.png")} == figures


def test_embed_weights(runs: Path, cifar10_folder: Path, tmp_path: Path) -> None:
    folder = runs / "cifar_resnet20-seed=0"
    said = run("embed_weights.py", folder, "--data", cifar10_folder, "--tag", "toy", "--out", tmp_path, "--cost", 100)
    path = tmp_path / "cifar_resnet20.toy.safetensors"
    assert f'("cifar_resnet20", "toy"): "{hashlib.sha256(path.read_bytes()).hexdigest()}",' in said
    file = read_weights(path)
    assert file.contract is not None
    assert f"{file.contract.top1:.2f} % in fp16" in said
    assert file.contract.evaluated_on == "the 10,000 test images of CIFAR-10; train_top1: the 64 training images"
    assert {tensor.dtype for key, tensor in file.state.items() if not key.endswith("num_batches_tracked")} == {torch.float16}
    assert torch.equal(file.state["fc.weight"], create_model(f"{folder}/").fc.weight.half())


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.name)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 100
