"""Inputs of other dtypes, and batches of one: the error says what to do, and compilers see nothing of it."""

import pytest
import torch
from families import FAMILIES

from resnetlib import Backbone, build, create_model, frozen_batchnorm
from resnetlib.models import Spec


def train(net: Backbone, side: int) -> None:
    net.train()(torch.rand(1, net.in_chans, side, side)).sum().backward()


@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_plain20", "cifar_preact_resnet20", "cifar_densenet40_k12"])
def test_one_image_of_one_pixel_at_a_batch_norm(name: str) -> None:
    net = create_model(name)
    with pytest.raises(ValueError, match=r"freeze the norms with resnetlib.frozen_batchnorm\(net\)"):
        train(net, net.output_stride)
    with pytest.raises(ValueError, match="batch norms cannot train on one image"):
        net.forward_intermediates(torch.rand(1, 3, net.output_stride, net.output_stride))
    train(net, 2 * net.output_stride)
    with frozen_batchnorm(net):
        train(net, net.output_stride)
    net.eval()(torch.rand(1, 3, net.output_stride, net.output_stride))


def test_inputs_of_other_dtypes(spec: Spec) -> None:
    net = build(spec)
    x = torch.rand(2, net.in_chans, 32, 32)
    for other in (x.double(), x.half(), x.bfloat16()):
        with pytest.raises(
            TypeError, match=rf"images are {other.dtype}, but weights are torch.float32: give images.to\(torch.float32\)"
        ):
            net(other)
    with pytest.raises(TypeError, match=r"or convert the network with net.double\(\)"):
        net(x.double())
    with pytest.raises(TypeError, match=r"a tensor of torch.uint8: normalize x / 255, or give net.preprocess\(x\)"):
        net((255 * x).to(torch.uint8))
    assert net.double()(x.double()).dtype == torch.float64


def test_other_errors_are_left_alone() -> None:
    net = build(FAMILIES["resnet"])

    def fail(*_: object) -> None:
        raise RuntimeError("mine")

    net.conv1.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match=r"^mine$"):
        net(torch.rand(2, 3, 32, 32))


def test_compilers_see_only_the_network() -> None:
    net = create_model("cifar_resnet20")
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(torch.ones(2, 3, 32, 32)), net(torch.ones(2, 3, 32, 32)))
