"""A disk that is full stops a training with clear words, and costs nothing that was saved."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from resnetlib import create_model
from resnetlib.train import fit

CODE = """
import subprocess, sys
from pathlib import Path
sys.path.append({room!r})
import tiny
from resnetlib.train import fit

disk, fill = Path({disk!r}), Path({disk!r}) / "fill"
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)

def train():
    return fit(tiny.network(), tiny.images(), tiny.images(30, seed=1), tiny.recipe(), disk / "out", device="cpu")

from resnetlib.train.trainer import Trainer
train_until = Trainer.train_until
def train_and_fill(self, stop):
    yield from train_until(self, stop)
    if stop == 18:
        with fill.open("wb") as file:
            try:
                while True:
                    file.write(bytes(4096))
                    file.flush()
            except OSError:
                pass

Trainer.train_until = train_and_fill
try:
    train()
except OSError as error:
    print("said:", error)
Trainer.train_until = train_until
before = sorted(path.name for path in (disk / "out" / "checkpoints").iterdir())
print("kept:", *before)
fill.unlink()
train()
subprocess.run(["cp", "-r", str(disk / "out"), {copy!r}], check=True)
"""


def test_a_full_disk(tmp_path: Path) -> None:
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    code = CODE.format(room=str(Path(__file__).parents[1] / "helpers"), disk=str(disk), copy=str(copy))
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True, check=False).returncode:  # noqa: S603, S607
        message = "this user may not mount a file system of their own"
        if os.environ.get("RESNETLIB_TEST_EVERYTHING"):
            pytest.fail(message)
        pytest.skip(message)
    done = subprocess.run(["unshare", "-rm", sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603, S607
    assert done.returncode == 0, done.stderr
    said, kept = done.stdout.splitlines()[-2:]
    assert "the disk is full; " in said
    assert "000000012-" in said
    assert "is intact. Free some space, and run the same again" in said
    assert [name[:9] for name in kept.split()[1:]] == ["000000006", "000000012"]
    whole = tiny.network()
    fit(whole, tiny.images(), tiny.images(30, seed=1), tiny.recipe(), tmp_path / "whole", device="cpu")
    again = create_model(f"{copy}/")
    assert all((a == b).all() for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))
