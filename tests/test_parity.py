"""The public promise: the same names, and with the same weights the same numbers, as torchvision and timm."""

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import resnetlib
from resnetlib.weights import load_state

NAMES = [
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
    "densenet121", "densenet161", "densenet169", "densenet201",
]  # fmt: skip
TIMM_ALONE = ["resnet26", "resnet200", "resnext101_32x4d"]

PEERS: list[tuple[str, Callable[[str], nn.Module]]] = [
    *((name, lambda name: torchvision.models.get_model(name, weights=None)) for name in NAMES),
    *((name, timm.create_model) for name in [*NAMES, *TIMM_ALONE]),
]
LABELS = [f"torchvision-{name}" for name in NAMES] + [f"timm-{name}" for name in [*NAMES, *TIMM_ALONE]]


def scramble(net: nn.Module) -> None:
    """Give every parameter and statistic a value that no initialisation gives."""
    for name, tensor in net.state_dict().items():
        if name.endswith(("running_var", "norm1.weight", "norm2.weight", "bn1.weight", "bn2.weight", "bn3.weight")):
            tensor.uniform_(0.5, 1.5)
        elif ("running_mean" in name or "bn" in name or "norm" in name) and tensor.is_floating_point():
            tensor.normal_(0, 0.1)


def run(net: nn.Module, images: Tensor, *, training: bool) -> tuple[Tensor, Tensor, list[Tensor | None], list[Tensor]]:
    """Return outputs, the input's gradient, the parameters' gradients, and the statistics afterwards."""
    net.train(training)
    images = images.clone().requires_grad_()
    outputs = net(images)
    outputs.square().sum().backward()
    assert images.grad is not None
    gradients = [parameter.grad for parameter in net.parameters()]
    net.zero_grad()
    return outputs.detach(), images.grad, gradients, [buffer.clone() for buffer in net.buffers()]


@pytest.mark.parametrize(("name", "make_peer"), PEERS, ids=LABELS)
def test_keys_shapes_outputs_gradients_and_statistics_are_the_peers(name: str, make_peer: Callable[[str], nn.Module]) -> None:
    peer, ours = make_peer(name), resnetlib.create_model(name)
    scramble(peer)
    theirs = peer.state_dict()
    assert [(key, tensor.shape) for key, tensor in ours.state_dict().items()] == [(k, t.shape) for k, t in theirs.items()]
    ours.load_state_dict(theirs)
    images = torch.randn(2, 3, 64, 64)
    for training in (False, True):
        expected = run(peer, images, training=training)
        got = run(ours, images, training=training)
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_preact_resnet_is_timms_resnetv2(depth: int) -> None:
    peer = timm.create_model(f"resnetv2_{depth}").eval()
    scramble(peer)
    ours = resnetlib.create_model(f"preact_resnet{depth}").eval()
    load_state(ours, peer.state_dict())
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), peer(images), rtol=1e-5, atol=1e-5)


def test_intermediates_are_timms() -> None:
    peer, ours = timm.create_model("resnet18").eval(), resnetlib.resnet18().eval()
    ours.load_state_dict(peer.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for indices in (None, 2, [0, -1]):
            torch.testing.assert_close(
                ours.forward_intermediates(images, indices), peer.forward_intermediates(images, indices), rtol=0, atol=0
            )


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121"])
def test_feature_info_is_timms(name: str) -> None:
    peer = timm.create_model(name)
    ours = resnetlib.create_model(name, device="meta")
    expected = [(info["num_chs"], info["reduction"]) for info in peer.feature_info]
    assert [(info["num_chs"], info["reduction"]) for info in ours.feature_info] == expected
    modules = dict(ours.named_modules())
    assert all(info["module"] in modules for info in ours.feature_info)
