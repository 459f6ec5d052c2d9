"""The examples run, at toy size."""

import subprocess
import sys
from pathlib import Path

import pytest

from resnetlib.weights import read_weights

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_train_cifar(cifar10_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    command = [sys.executable, EXAMPLES / "train_cifar.py", "--data", cifar10_folder, "--out", out, "--model", "cifar_plain20"]
    done = subprocess.run(  # noqa: S603
        [*command, "--epochs", "1", "--images", "512", "--bf16"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "of 10,000 test images right" in done.stdout
    contract = read_weights(out).contract
    assert contract is not None
    assert f"{contract.top1:.2f} %" in done.stdout
    assert contract.name == "cifar_plain20"


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.name)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 100
