"""Networks without numbers: the same shapes, no random draws, no effect on anybody else."""

import threading

import torch
from torch import nn

from resnetlib import Spec, build
from resnetlib.modules.skip_init import SkipInit


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


def test_other_threads_make_their_tensors_as_ever() -> None:
    inside, made = threading.Event(), threading.Event()
    layers: list[nn.Linear] = []

    def other() -> None:
        inside.wait(10)
        layers.append(nn.Linear(64, 64))
        made.set()

    thread = threading.Thread(target=other)
    thread.start()
    with SkipInit():
        inside.set()
        assert made.wait(10)
        assert nn.Linear(2, 2).weight.is_meta
    thread.join()
    assert layers[0].weight.device.type == "cpu"
    assert 0 < float(layers[0].weight.detach().std()) < 1
    assert not nn.Linear(2, 2).weight.is_meta
