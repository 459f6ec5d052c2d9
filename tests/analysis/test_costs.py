"""Counting what a network costs."""

from dataclasses import replace

import pytest
import torch
from families import FAMILIES
from torch import Tensor

from resnetlib import Spec, build, freeze
from resnetlib.analysis import measure_cost


def test_parts_add_up_to_the_network(spec: Spec) -> None:
    net = build(spec, num_classes=7)
    cost = measure_cost(net, 32)
    assert cost.params == sum(parameter.numel() for parameter in net.parameters())
    assert sum(part.blocks for part in cost.parts) == len(list(net.blocks()))
    assert cost.weight_bytes == sum(tensor.numel() * tensor.element_size() for tensor in net.state_dict().values())
    assert cost.parts[-1].output == (7,)
    maps = net.eval().forward_intermediates(torch.randn(1, 3, 32, 32), intermediates_only=True)
    stages = [part for part in cost.parts if part.name.startswith("stage")]
    assert [part.output for part in stages] == [tuple(m.shape[1:]) for m in maps[1:]]


def test_the_network_is_left_as_it_was(spec: Spec) -> None:
    net = build(spec, memory_efficient=True).eval()
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    measure_cost(net, 32)
    assert not net.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
    assert measure_cost(net, 32) == measure_cost(build(replace(spec)), 32)


def test_a_convolution_counts_as_it_should() -> None:
    cost = measure_cost(build(FAMILIES["plain"]), 16)
    stem, first = cost.parts[:2]
    assert stem.macs == 16 * 16 * 8 * 3 * 9
    assert stem.activations == 16 * 16 * 8
    assert first.macs == 4 * 16 * 16 * 8 * 8 * 9
    assert cost.parts[-1].macs == 16 * 10


def test_what_is_kept_is_what_autograd_keeps(spec: Spec) -> None:
    net = build(spec).train()
    images = torch.randn(8, 3, 32, 32)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*net.parameters(), *net.buffers())}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = net(images)
    del outputs
    total = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    assert measure_cost(net, 32).saved_bytes == pytest.approx(total / 8, rel=0.02)  # but for each batch's own statistics


def test_hooks_of_the_network_are_not_called() -> None:
    net = build(FAMILIES["resnet"])
    for block in net.blocks():
        block.join.register_forward_hook(lambda join, args, y: y.sum().item())
    assert measure_cost(net, 32) == measure_cost(build(FAMILIES["resnet"]), 32)
    assert all(block.join._forward_hooks for block in net.blocks())


def test_networks_that_were_compiled_cost_the_same() -> None:
    net = build(FAMILIES["resnet"])
    assert measure_cost(torch.compile(net, backend="eager"), 32) == measure_cost(net, 32)  # type: ignore[arg-type]


def test_too_small_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        measure_cost(build(FAMILIES["densenet-large-stem"]), 4)


def test_frozen_parameters_count() -> None:
    net = build(FAMILIES["resnet"])
    params = measure_cost(net, 32).params
    freeze(net)
    assert measure_cost(net, 32).params == params == sum(parameter.numel() for parameter in net.parameters())
