"""What PyTorch has for training works on these networks as the manual says: averages, synchronized norms, sharding."""

import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from families import FAMILIES
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resnetlib import Spec, build

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_averages_of_weights(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    before = deepcopy(net)
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.75), use_buffers=True)
    average.update_parameters(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 1
    average.update_parameters(net)
    for (name, parameter), old in zip(average.module.named_parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(parameter, old + 0.25, msg=name)
    assert average.module.feature_info == net.feature_info
    assert average(IMAGES).shape == (4, 5)


def test_synchronized_norms_keep_names_and_function(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    net(IMAGES)
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(deepcopy(net))
    assert list(synced.state_dict()) == list(net.state_dict())
    torch.testing.assert_close(synced.eval()(IMAGES), net.eval()(IMAGES))


SHARDED = f"""
import os, sys; sys.path.append({str(Path(__file__).parents[1] / "helpers")!r})
from dataclasses import replace
import torch, tiny
from families import FAMILIES
from torch import distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from resnetlib import build

dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
torch.manual_seed(0)
net = build(replace(FAMILIES[sys.argv[1]], norm="group"), num_classes=5)
blocks = list(net.blocks())
for block in blocks:
    fully_shard(block, mesh=mesh)
fully_shard(net, mesh=mesh)
sgd = torch.optim.SGD(net.parameters(), 0.1)
images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
for _ in range(3):
    loss = net(images[dist.get_rank() :: 2]).square().mean()
    sgd.zero_grad()
    loss.backward()
    sgd.step()
local = sum(p.to_local().numel() for p in net.parameters())
state = get_model_state_dict(net, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
if dist.get_rank() == 0:
    torch.save({{"state": state, "local": local}}, sys.argv[2])
dist.barrier()
dist.destroy_process_group()
os._exit(0)  # without the interpreter's farewell, in which a thread of PyTorch's that still runs aborts the process
"""


@pytest.mark.parametrize("name", ["resnet", "preact-bottleneck", "densenet"])
def test_sharded_by_blocks_it_learns_what_one_process_learns(name: str, tmp_path: Path) -> None:
    (tmp_path / "sharded.py").write_text(SHARDED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", tmp_path / "sharded.py"]
    done = subprocess.run([*command, name, tmp_path / "state.pt"], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.manual_seed(0)
    net = build(replace(FAMILIES[name], norm="group"), num_classes=5)
    begin = deepcopy(net.state_dict())
    sgd = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(3):
        loss = net(IMAGES).square().mean()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    assert saved["local"] < 0.7 * sum(p.numel() for p in net.parameters())
    assert list(saved["state"]) == list(net.state_dict())
    first = next(iter(begin))
    assert not torch.equal(begin[first], net.state_dict()[first])
    for key, tensor in net.state_dict().items():
        torch.testing.assert_close(saved["state"][key], tensor, rtol=1e-4, atol=1e-5, msg=key)
    build(replace(FAMILIES[name], norm="group"), num_classes=5).load_state_dict(saved["state"])
