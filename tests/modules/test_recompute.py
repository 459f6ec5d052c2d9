"""Memory-efficient training computes the same: outputs, gradients, statistics, random draws."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from resnetlib import Backbone, Concat, Spec, build, recompute


def train_step(net: Backbone, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor | None], dict[str, Tensor]]:
    """Return outputs, gradients of the input and the parameters, and the state afterwards."""
    torch.manual_seed(1)
    images = images.clone().requires_grad_()
    outputs = net(images)
    outputs.square().sum().backward()
    assert images.grad is not None
    return outputs, images.grad, [parameter.grad for parameter in net.parameters()], net.state_dict()


def assert_same(plain: Backbone, images: Tensor) -> None:
    efficient = deepcopy(plain)
    efficient.set_grad_checkpointing()
    for _ in range(2):  # the second step normalises with, and adds to, what the first one left
        torch.testing.assert_close(train_step(efficient, images), train_step(plain, images), rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_statistics_are_the_plain_modes_bit_for_bit(spec: Spec, training: bool) -> None:
    assert_same(build(spec).train(training), torch.randn(3, 3, 32, 32))


@pytest.mark.parametrize("name", ["resnet", "preact", "densenet"])
def test_random_draws_are_the_plain_modes(name: str) -> None:
    net = build(FAMILIES[name], drop_path_rate=0.6, drop_rate=0.3, proj_drop_rate=0.4 if name == "densenet" else 0.0)
    assert_same(net, torch.randn(6, 3, 32, 32))


def test_cumulative_averages_are_the_plain_modes() -> None:
    net = build(FAMILIES["densenet"])
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    assert_same(net, torch.randn(3, 3, 32, 32))


def test_frozen_norms_stay_frozen() -> None:
    net = build(FAMILIES["resnet"])
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert_same(net, torch.randn(3, 3, 32, 32))
    assert net.bn1.num_batches_tracked == 0


@pytest.mark.parametrize("name", ["resnet", "densenet"])
def test_a_second_backward_pass(name: str) -> None:
    gradients = []
    for memory_efficient in (False, True):
        torch.manual_seed(0)
        net = build(FAMILIES[name], memory_efficient=memory_efficient)
        loss = net(torch.randn(2, 3, 32, 32)).square().sum()
        loss.backward(retain_graph=True)
        loss.backward()
        gradients.append([parameter.grad for parameter in net.parameters()])
        assert all(buffer == 1 for key, buffer in net.named_buffers() if key.endswith("num_batches_tracked"))
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["resnet", "densenet"])
def test_a_gradient_penalty(name: str) -> None:
    gradients = []
    for memory_efficient in (False, True):
        torch.manual_seed(0)
        net = build(FAMILIES[name], memory_efficient=memory_efficient, dtype=torch.float64)
        images = torch.randn(2, 3, 32, 32, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(net(images).square().sum(), images, create_graph=True)
        slope.square().sum().backward()
        gradients.append([parameter.grad for parameter in net.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


def test_the_buffers_stay_the_same_objects() -> None:
    net = build(FAMILIES["resnet"], memory_efficient=True)
    before = {name: buffer.data_ptr() for name, buffer in net.named_buffers()}
    net(torch.randn(2, 3, 32, 32)).sum().backward()
    assert {name: buffer.data_ptr() for name, buffer in net.named_buffers()} == before


class Allocations(TorchDispatchMode):
    """Remembers every storage that an operator gives out, without keeping it alive."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.sizes[StorageWeakRef(storage)] = storage.nbytes()
        return output

    def alive(self) -> int:
        """Return the bytes of those that are still there."""
        return sum(size for storage, size in self.sizes.items() if not storage.expired())


def kept_bytes(net: Backbone, images: Tensor) -> int:
    """Return how much memory a forward pass keeps for the backward pass."""
    with Allocations() as allocations:
        outputs = net(images)
        kept = allocations.alive()
    outputs.sum().backward()
    return kept


def test_it_keeps_less(spec: Spec) -> None:
    deeper = replace(spec, depths=tuple(2 * depth for depth in spec.depths))
    images = torch.randn(4, 3, 32, 32)
    assert kept_bytes(build(deeper, memory_efficient=True), images) < 0.65 * kept_bytes(build(deeper), images)


def test_what_a_dense_block_keeps_grows_with_its_channels_and_not_with_their_sum() -> None:
    spec, images = FAMILIES["densenet"], torch.randn(4, 3, 16, 16)
    kept = [kept_bytes(build(replace(spec, depths=(depth,)), memory_efficient=True), images) for depth in (10, 20, 30)]
    assert kept[2] - kept[1] == kept[1] - kept[0]


def test_without_gradients_nothing_is_recomputed() -> None:
    net = build(FAMILIES["densenet"], memory_efficient=True)
    calls: list[nn.Module] = []
    for block in net.blocks():
        block.register_forward_hook(lambda module, args, y: calls.append(module))
    with torch.no_grad():
        net(torch.randn(2, 3, 32, 32))
    assert calls == list(net.blocks())


def test_checkpointing_can_be_switched_off_again(spec: Spec) -> None:
    net = build(spec, memory_efficient=True)
    net.set_grad_checkpointing(False)
    images = torch.randn(2, 3, 32, 32)
    assert kept_bytes(net, images) == kept_bytes(build(spec), images)


def test_recompute_alone() -> None:
    norm, x = nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5, requires_grad=True)
    y = recompute(norm, x, module=norm)
    y.square().sum().backward()
    assert norm.num_batches_tracked == 1
    torch.testing.assert_close(norm.running_mean, 0.1 * x.detach().mean((0, 2, 3)))


def test_a_join_that_changes_the_branch_is_seen_by_all_later_layers() -> None:
    class Zeros(Concat):
        def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
            return super().forward(skip, torch.zeros_like(branch))

    net = build(FAMILIES["densenet"])
    next(net.blocks()).join = Zeros()
    assert_same(net, torch.randn(3, 3, 32, 32))
