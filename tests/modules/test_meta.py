"""Networks on the meta device: the same modules and shapes, and no random draws."""

import torch
from torch import nn

from resnetlib import Spec, build


def test_every_family_has_its_shapes_on_meta_and_draws_nothing(spec: Spec) -> None:
    full = build(spec, num_classes=3)
    before = torch.random.get_rng_state()
    empty = build(spec, num_classes=3, device="meta")
    assert torch.equal(torch.random.get_rng_state(), before)
    tensors = [*empty.parameters(), *empty.buffers()]
    assert all(tensor.is_meta for tensor in tensors)
    shapes = [[(key, tensor.shape, tensor.dtype) for key, tensor in net.state_dict().items()] for net in (empty, full)]
    assert shapes[0] == shapes[1]
    assert repr(empty) == repr(full)
    assert [p.requires_grad for p in empty.parameters()] == [p.requires_grad for p in full.parameters()]


def test_layers_are_of_pytorch_s_own_types_and_can_be_reset(spec: Spec) -> None:
    for device in ("cpu", "meta"):
        for layer in build(spec, device=device).modules():
            if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
                assert not type(layer).__name__.startswith("_")
    net = build(spec, device="meta").to_empty(device="cpu")
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.reset_parameters()
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert int(norm.num_batches_tracked or 0) == 0
