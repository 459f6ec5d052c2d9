"""Standard deviations of responses: by hand, against a direct forward, and of the right modules."""

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn
from torch.nn import functional

from resnetlib import build
from resnetlib.analysis import response_std

IMAGES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def dirac(channels: int) -> nn.Conv2d:
    """A 3x3 convolution that is the identity."""
    conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight)
    return conv


def test_by_hand() -> None:
    norm = nn.BatchNorm2d(1, eps=0.0)
    norm.running_var.fill_(4.0)
    nn.init.constant_(norm.weight, 6.0)
    net = nn.Sequential(dirac(1), nn.Sequential(norm, nn.ReLU(inplace=True)), dirac(1))
    x = torch.tensor([-1.0, 1.0, -1.0, 1.0]).view(1, 1, 2, 2)
    found = response_std(net, x)
    # 6 / sqrt(4) times the std of +-1; the second one's inputs are 3 and 0
    assert found.std.tolist() == [3.0, 1.5]
    assert (found.layers, found.measured) == (("0", "2"), ("1.0", "2"))
    assert found.median == 2.25


def test_all_batches_are_as_one() -> None:
    net = build(FAMILIES["resnet"]).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
            nn.init.uniform_(module.running_var, 1, 2)
    found = response_std(net, (IMAGES[i] for i in (slice(0, 1), slice(1, 5))))
    with torch.no_grad():
        x = net.bn1(net.conv1(IMAGES))
        responses = [x]
        x = net.relu(x)
        for block in (*net.layer1, *net.layer2):
            responses.append(block.bn1(block.conv1(x)))
            responses.append(block.bn2(block.conv2(block.relu1(responses[-1]))))
            x = block(x)
    expected = torch.stack([r.double().std(correction=0) for r in responses])
    torch.testing.assert_close(found.std, expected, rtol=1e-6, atol=0)
    assert found.images == 5


@pytest.mark.parametrize(
    ("name", "layer", "measured"),
    [
        ("plain", "layer1.1.conv2", "layer1.1.bn2"),
        ("resnet", "conv1", "bn1"),
        ("resnet-bottleneck", "layer1.0.conv2", "layer1.0.bn2"),
        ("resnet-groupnorm", "layer1.1.conv2", "layer1.1.bn2"),
        ("resnet-fixup", "layer1.1.conv2", "layer1.1.bn2"),
        ("preact", "layer1.1.conv1", "layer1.1.conv1"),  # norm2 is that of conv2
        ("preact", "conv1", "conv1"),
        ("densenet", "features.denseblock1.denselayer2.conv2", "features.denseblock1.denselayer2.conv2"),
    ],
)
def test_the_norm_is_found(name: str, layer: str, measured: str) -> None:
    found = response_std(build(FAMILIES[name]), IMAGES)
    assert dict(zip(found.layers, found.measured, strict=True))[layer] == measured


def test_layers_are_the_3x3_convolutions_in_the_order_of_their_running() -> None:
    assert response_std(build(FAMILIES["resnet-bottleneck"]), IMAGES).layers == (
        "conv1",
        "layer1.0.conv2",
        "layer2.0.conv2",
        "layer2.1.conv2",
    )

    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first, self.projection = dirac(1), dirac(1), nn.Conv2d(1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(functional.relu_(self.first(self.projection(x))))

    assert response_std(Backwards(), torch.randn(1, 1, 4, 4)).layers == ("first", "second")


def test_what_is_changed_in_place_is_measured_before() -> None:
    net = nn.Sequential(dirac(1), nn.ReLU(inplace=True))
    x = torch.tensor([-1.0, 1.0, -1.0, 1.0]).view(1, 1, 2, 2)
    assert response_std(net, x).std.tolist() == [1.0]


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="Sequential runs no 3x3 convolutions"):
        response_std(nn.Sequential(nn.Conv2d(3, 3, 1)), IMAGES)
    with pytest.raises(ValueError, match="there are no images"):
        response_std(build(FAMILIES["resnet"]), [])
