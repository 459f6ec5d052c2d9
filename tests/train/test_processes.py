"""Two processes that train together end where one ends that trains alone on the same batches."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from resnetlib import create_model
from resnetlib.distributed import Processes
from resnetlib.train import fit
from resnetlib.train.fit import _feed
from resnetlib.weights import read_weights

CODE = f"""
import os, signal, sys; sys.path.append({str(Path(__file__).parents[1])!r})
import tiny, torch; from dataclasses import replace; from resnetlib.train import fit
out, drop_rate, deadly = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
net = tiny.network(replace(tiny.SPEC, norm="group"), drop_rate=drop_rate)
rank, iteration = os.environ["RANK"], 0

def count(module, x):
    global iteration
    iteration += net.training
    if net.training and iteration == deadly and rank == "1":
        os.kill(os.getpid(), signal.SIGKILL)

def note(module, x, y):
    if net.training and iteration == 1:
        torch.save(y == 0, f"{{out}}-dropped-{{rank}}.pt")

net.register_forward_pre_hook(count)
net.head_drop.register_forward_hook(note)
fit(net, tiny.images(), tiny.images(30, seed=1), tiny.recipe(), out, device="cpu", precision="fp32", every=10)
"""


def train_in_two(out: Path, *, drop_rate: float = 0.0, deadly: int = 0) -> "subprocess.CompletedProcess[str]":
    """Train under torchrun; the second process kills itself in the iteration `deadly`."""
    script = out.with_suffix(".py")
    script.write_text(CODE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, out]
    return subprocess.run([*command, str(drop_rate), str(deadly)], capture_output=True, text=True, check=False)  # noqa: S603


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    done = train_in_two(tmp_path / "two")
    assert done.returncode == 0, done.stderr
    alone = tiny.network(replace(tiny.SPEC, norm="group"))
    fit(alone, tiny.images(), tiny.images(30, seed=1), tiny.recipe(), tmp_path / "one", device="cpu", precision="fp32", every=10)
    together = create_model(f"{tmp_path}/two/")
    for (key, one), two in zip(alone.state_dict().items(), together.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5, msg=key)
    for one, two in zip(records(tmp_path / "one"), records(tmp_path / "two"), strict=True):
        for key in ("iteration", "lr", "loss", "error", "train_loss", "train_error", "test_loss", "test_error"):
            assert two[key] == pytest.approx(one[key], rel=1e-3), key
    start = tiny.network(replace(tiny.SPEC, norm="group"))
    assert (alone.conv1.weight - start.conv1.weight).abs().max() > 0.01


def test_a_killed_process_ends_all_of_them_and_the_same_command_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train_in_two(whole, drop_rate=0.3).returncode == 0
    ended = train_in_two(parts, drop_rate=0.3, deadly=17)
    assert ended.returncode != 0
    assert "SIGKILL" in ended.stderr
    assert not (parts / "model.safetensors").exists()
    assert [record["iteration"] for record in records(parts)] == [10]
    done = train_in_two(parts, drop_rate=0.3)
    assert done.returncode == 0, done.stderr
    assert [session["from"] for session in json.loads((parts / "run.json").read_text())["sessions"]] == [0, 10]
    assert [record["iteration"] for record in records(parts)] == [10, 20, 24]
    one, two = (read_weights(out / "model.safetensors").state for out in (whole, parts))
    assert all(torch.equal(one[key], two[key]) for key in one)
    dropped = [torch.load(tmp_path / f"whole-dropped-{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert dropped[0].shape == dropped[1].shape == (5, 8)
    assert not torch.equal(*dropped)  # each process draws for itself


def test_a_batch_that_cannot_be_shared() -> None:
    processes = Processes(0, 2, torch.device("cpu"), torch.device("cpu"))
    with pytest.raises(ValueError, match="a batch of 9 cannot be shared equally among 2 processes"):
        _feed(tiny.images(), tiny.images(), tiny.recipe(batch=9), 0, processes)
