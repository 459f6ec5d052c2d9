"""Two processes that train together end where one ends that trains alone on the same batches."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from forks import Fork
from torch import distributed as dist

from resnetlib import create_model
from resnetlib.distributed import Processes, choose_device, is_main_process, process_group
from resnetlib.train import fit, metrics
from resnetlib.train.data import make_loader
from resnetlib.weights import read_weights

pytestmark = pytest.mark.usefixtures("no_curves")

CODE = f"""
import os, signal, sys; sys.path.append({str(Path(__file__).parents[1] / "helpers")!r})
import tiny, torch; from dataclasses import replace; from resnetlib.train import fit, metrics
torch.set_num_threads(1)
net, calls = tiny.network(replace(tiny.SPEC, norm="group"), drop_rate=0.3), 0

def count(module, x):
    global calls
    calls += net.training
    if net.training and calls == 17 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)

net.register_forward_pre_hook(count)
fit(net, tiny.images(), tiny.images(30, seed=1), tiny.recipe(), sys.argv[1], device="cpu", precision="fp32", every=10)
"""


def train(out: Path, *, drop_rate: float = 0.0, slow: bool = False) -> None:
    if slow and os.environ["RANK"] == "1":
        read_result = metrics.read_result
        metrics.read_result = lambda *args: time.sleep(3) or read_result(*args)  # type: ignore[func-returns-value]
    net = tiny.network(replace(tiny.SPEC, norm="group"), drop_rate=drop_rate)
    calls = 0

    def note(module: object, x: tuple[torch.Tensor], y: object) -> None:
        nonlocal calls
        calls += net.training
        if net.training and calls == 1:
            torch.save(x[0] == 0, f"{out}-dropped-{os.environ.get('RANK')}.pt")

    net.fc.register_forward_hook(note)
    fit(net, tiny.images(), tiny.images(30, seed=1), tiny.recipe(), out, device="cpu", precision="fp32", every=10)


def train_as(rank: int, port: int, out: Path, **options: Any) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "none"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    train(out, **options)


def train_in_two(out: Path, statuses: Sequence[int] = (0, 0), **options: Any) -> list[str]:
    """Train in two processes with the environment that torchrun gives them; return the last lines of their outputs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    forks = [Fork(partial(train_as, rank, port, out, **options), Path(f"{out}-output-{rank}")) for rank in (0, 1)]
    try:
        assert [fork.wait() for fork in forks] == [*statuses], [fork.output.read_text() for fork in forks]
        return [fork.output.read_text().strip().rpartition("\n")[2] for fork in forks]
    finally:
        for fork in forks:
            fork.end()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    train_in_two(tmp_path / "two")
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
    whole, parts, script = tmp_path / "whole", tmp_path / "parts", tmp_path / "script.py"
    train_in_two(whole, drop_rate=0.3)
    script.write_text(CODE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, parts]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert ended.returncode != 0
    assert "SIGKILL" in ended.stderr
    assert not (parts / "model.safetensors").exists()
    assert [record["iteration"] for record in records(parts)] == [10]
    train_in_two(parts, drop_rate=0.3)
    assert [session["from"] for session in json.loads((parts / "run.json").read_text())["sessions"]] == [0, 10]
    assert [record["iteration"] for record in records(parts)] == [10, 20, 24]
    one, two = (read_weights(out / "model.safetensors").state for out in (whole, parts))
    assert all(torch.equal(one[key], two[key]) for key in one)
    dropped = [torch.load(tmp_path / f"whole-dropped-{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert dropped[0].shape == dropped[1].shape == (5, 8)
    assert not torch.equal(*dropped)  # each process draws for itself


def test_the_main_process_alone_decides_whether_the_training_is_finished(tmp_path: Path) -> None:
    train_in_two(tmp_path / "out")
    best = tmp_path / "out" / "best.safetensors"
    content = best.read_bytes()
    best.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    train_in_two(tmp_path / "out", slow=True)  # the second process looks after the first has renamed the damaged file
    assert best.read_bytes() == content
    assert best.with_name("best.safetensors.damaged").exists()
    assert [session["from"] for session in json.loads((tmp_path / "out" / "run.json").read_text())["sessions"]] == [0, 24]


def test_an_error_of_the_main_process_is_raised_in_all_of_them(tmp_path: Path) -> None:
    train_in_two(out := tmp_path / "out")
    shutil.rmtree(out / "checkpoints")
    damaged = out / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    error = f"{damaged} is damaged: its SHA-256 is not the recorded one. No checkpoint can replace it: delete {out} to start again."
    assert train_in_two(out, statuses=(1, 1)) == [f"resnetlib.errors.InputError: {error}"] * 2


def test_a_batch_that_cannot_be_shared() -> None:
    processes = Processes(0, 2, torch.device("cpu"), torch.device("cpu"))
    with pytest.raises(ValueError, match="a batch of 9 cannot be shared equally among 2 processes"):
        make_loader(tiny.images(), tiny.images(), tiny.recipe(batch_size=9), 0, processes)


def test_a_torch_without_distributed_works_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a build of torch has torch.distributed.is_available, and little else."""
    for name in [name for name in vars(dist) if not name.startswith("_") and name != "is_available"]:
        monkeypatch.delattr(dist, name)
    monkeypatch.setattr(dist, "is_available", lambda: False)
    cpu = torch.device("cpu")
    assert choose_device("cpu") == cpu
    assert choose_device(None).type in ("cpu", "cuda")
    assert is_main_process()
    with process_group(cpu) as processes:
        assert (processes.rank, processes.world_size) == (0, 1)
        assert processes.gather(3) == [3]
