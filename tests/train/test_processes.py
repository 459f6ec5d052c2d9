"""Two processes that train together end where one ends that trains alone on the same batches."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from resnetlib import create_model
from resnetlib.train import fit
from resnetlib.train.fit import _feed
from resnetlib.train.group import Group

CODE = f"""
import sys; sys.path.append({str(Path(__file__).parents[1])!r})
import tiny; from dataclasses import replace; from resnetlib.train import fit
from resnetlib.train.fit import _feed
from resnetlib.train.group import Group
net = tiny.network(replace(tiny.SPEC, norm="group"))
fit(net, tiny.images(), tiny.images(30, seed=1), tiny.recipe(), sys.argv[1], device="cpu", every=int(sys.argv[2]))
"""


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(CODE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", tmp_path / "train.py"]
    done = subprocess.run([*command, tmp_path / "two", "10"], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    alone = tiny.network(replace(tiny.SPEC, norm="group"))
    fit(alone, tiny.images(), tiny.images(30, seed=1), tiny.recipe(), tmp_path / "one", device="cpu", every=10)
    together = create_model(f"{tmp_path}/two/")
    for (key, one), two in zip(alone.state_dict().items(), together.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5, msg=key)
    logs = [[json.loads(line) for line in (tmp_path / out / "log.jsonl").read_text().splitlines()] for out in ("one", "two")]
    for one, two in zip(*logs, strict=True):
        for key in ("iteration", "lr", "loss", "error", "train_loss", "train_error", "test_loss", "test_error"):
            assert two[key] == pytest.approx(one[key], rel=1e-3), key
    start = tiny.network(replace(tiny.SPEC, norm="group"))
    assert (alone.conv1.weight - start.conv1.weight).abs().max() > 0.01


def test_a_batch_that_cannot_be_shared() -> None:
    group = Group(0, 2, torch.device("cpu"))
    with pytest.raises(ValueError, match="a batch of 9 cannot be shared equally among 2 processes"):
        _feed(tiny.images(), tiny.images(), tiny.recipe(batch=9), 0, group)
