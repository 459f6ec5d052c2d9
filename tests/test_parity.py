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

LIBRARIES: dict[str, Callable[[str], nn.Module]] = {
    "torchvision": lambda name: torchvision.models.get_model(name, weights=None),
    "timm": timm.create_model,
}


def scramble(net: nn.Module) -> None:
    """Give every parameter and statistic a value that no initialization gives."""
    for name, tensor in net.state_dict().items():
        if name.endswith(("running_var", "norm1.weight", "norm2.weight", "bn1.weight", "bn2.weight", "bn3.weight")):
            tensor.uniform_(0.5, 1.5)
        elif ("running_mean" in name or "bn" in name or "norm" in name) and tensor.is_floating_point():
            tensor.normal_(0, 0.1)


def run(net: nn.Module, images: Tensor, *, training: bool) -> list[Tensor]:
    """Return the outputs, the input's gradient, the parameters' gradients, and the statistics afterwards."""
    net.train(training)
    images = images.clone().requires_grad_()
    outputs = net(images)
    outputs.square().sum().backward()
    gradients = [tensor.grad for tensor in (images, *net.parameters())]
    net.zero_grad()
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    return [outputs.detach(), *(gradient for gradient in gradients if gradient is not None), *(b.clone() for b in net.buffers())]


def empty(make: Callable[[str], nn.Module], name: str) -> nn.Module:
    """Make a network without drawing weights, which takes longer than all else."""
    with torch.device("meta"):
        return make(name).to_empty(device="cpu")


@pytest.mark.parametrize("name", [*NAMES, *TIMM_ALONE])
def test_keys_shapes_outputs_gradients_and_statistics_are_the_peers(name: str) -> None:
    ours = empty(resnetlib.create_model, name)
    for tensor in ours.state_dict().values():  # weights by He's rule, since tiny gradients are denormal numbers, and slow
        tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5) if tensor.ndim > 1 else tensor.zero_()
    scramble(ours)
    state = {key: tensor.clone() for key, tensor in ours.state_dict().items()}
    images = torch.randn(2, 3, 64, 64)
    got = [run(ours, images, training=training) for training in (False, True)]
    for make in [LIBRARIES["timm"], *([LIBRARIES["torchvision"]] if name in NAMES else [])]:
        peer = empty(make, name)
        assert [(key, tensor.shape) for key, tensor in peer.state_dict().items()] == [(k, t.shape) for k, t in state.items()]
        peer.load_state_dict(state)
        for training, found in zip((False, True), got, strict=True):
            for one, other in zip(found, run(peer, images, training=training), strict=True):
                assert torch.equal(one, other)


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
