"""Processes that share a surface compute the one that one process computes, and go on after they were killed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from resnetlib.analysis import Landscape, landscape
from resnetlib.analysis.landscape.grids import load_checkpoint
from resnetlib.distributed import Processes

CODE = f"""
import os, signal, sys, time; sys.path.append({str(Path(__file__).parent)!r})
import torch; from test_landscape_torchrun import network_and_batch; from resnetlib.analysis import landscape
from torch.nn import functional as F
out, deadly, begun = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "begun"
rank, calls = os.environ["RANK"], 0

def loss(logits, labels):
    global calls
    calls += 1
    last = calls >= deadly > 0  # seen before another thread counts on
    time.sleep(0.05)  # so that the file keeps up
    if last and rank == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return F.cross_entropy(logits, labels)

loss.__module__, loss.__qualname__ = "torch.nn.functional", "cross_entropy"
if begun:
    torch.distributed.init_process_group("gloo")
found = landscape(*network_and_batch(), points=5, loss=loss, out=out, every=0, compiled=sys.argv[3] == "compiled")
assert torch.distributed.is_initialized() == begun
found.save(f"{{out}}-{{rank}}.json")
print(rank, "computed", calls - 1)
if begun:
    torch.distributed.destroy_process_group()
"""


def in_two(out: Path, *, deadly: int = 0, how: str = "-") -> "subprocess.CompletedProcess[str]":
    script = out.with_suffix(".py")
    script.write_text(CODE)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        script,
        out,
        str(deadly),
        how,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603


def network_and_batch() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    return net, (torch.randn(10, 3, 8, 8), torch.arange(10) % 5)


def alone() -> Landscape:
    return landscape(*network_and_batch(), points=5)


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    out = tmp_path / "two.json"
    done = in_two(out, how="begun")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["0 computed 12", "1 computed 12"]
    expected = alone()
    for path in (out, Path(f"{out}-0.json"), Path(f"{out}-1.json")):
        found = Landscape.load(path)
        torch.testing.assert_close(found.loss, expected.loss, rtol=1e-5, atol=0)
        assert torch.equal(found.accuracy, expected.accuracy)
        assert found.made_of == expected.made_of


def test_after_a_kill_the_same_command_goes_on_and_may_compile(tmp_path: Path) -> None:
    out = tmp_path / "killed.json"
    ended = in_two(out, deadly=10)
    assert ended.returncode != 0
    assert "SIGKILL" in ended.stderr
    known = round(Landscape.load(out).computed * 25)
    assert 3 <= known <= 17  # the center, and eight others each
    compiled = shutil.which("c++") is not None
    done = in_two(out, how="compiled" if compiled else "-")
    assert done.returncode == 0, done.stderr
    again = 2 if compiled else 0  # the center twice in each process, to leave compiling out of the time of a point
    assert sum(int(line.split()[-1]) for line in done.stdout.splitlines()) == 25 - known + again
    torch.testing.assert_close(Landscape.load(out).loss, alone().loss, rtol=1e-5, atol=0)


def test_processes_that_differ_are_refused() -> None:
    class Two(Processes):
        def gather(self, value):  # type: ignore[no-untyped-def]
            return [value, value | {"images": "others"}]

    with pytest.raises(ValueError, match="the processes differ in their networks, images or arguments"):
        load_checkpoint(None, Landscape, ["loss"], (2,), {"images": "these"}, Two(0, 2, *[torch.device("cpu")] * 2))
