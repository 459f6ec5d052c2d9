"""torchvision's detectors and segmentation heads stand on these networks as they are."""

from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, _resnet_fpn_extractor
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from resnetlib import Backbone, DenseNetSpec, ResNetSpec, Spec, build, freeze, frozen_batchnorm
from resnetlib.features import pyramid

_RES = ResNetSpec(block="basic", depths=(1, 1, 1, 1), widths=(8, 8, 16, 16))
SPECS: dict[str, Spec] = {
    "resnet": _RES,
    "bottleneck": ResNetSpec(block="bottleneck", depths=(1, 1, 1, 1), widths=(4, 4, 8, 8)),
    "preact": ResNetSpec(block="basic", depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), order="pre"),
    "plain": ResNetSpec(block="basic", depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), join="replace"),
    "densenet": DenseNetSpec(growth=4, depths=(2, 2, 2, 2), stem_width=8),
}
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=SPECS)
def net(request: pytest.FixtureRequest) -> Backbone:
    return build(SPECS[request.param], num_classes=5)


class WithFpn(nn.Sequential):
    """A pyramid of any family with torchvision's feature pyramid network on it, as detectors take it."""

    def __init__(self, net: Backbone, out_channels: int) -> None:
        maps = pyramid(net)
        super().__init__(maps, FeaturePyramidNetwork(list(maps.channels), out_channels, LastLevelMaxPool()))
        self.out_channels = out_channels


def test_intermediate_layer_getter() -> None:
    net = build(SPECS["resnet"]).eval()
    maps = IntermediateLayerGetter(net, {"layer2": "a", "layer4": "b"})(IMAGES)
    expected = net.forward_intermediates(IMAGES, [2, 4], intermediates_only=True)
    assert all(torch.equal(y, z) for y, z in zip(maps.values(), expected, strict=True))


def test_backbone_with_fpn() -> None:
    net = build(SPECS["bottleneck"]).eval()
    channels = [info["num_chs"] for info in net.feature_info[1:]]
    layers = {f"layer{i}": str(i - 1) for i in range(1, 5)}
    maps = BackboneWithFPN(net, layers, channels, 16)(IMAGES)
    assert [y.shape for y in maps.values()] == [(2, 16, size, size) for size in (16, 8, 4, 2, 1)]


def detector(backbone: nn.Module) -> FasterRCNN:
    sizes = ((8,), (16,), (32,), (64,), (128,))
    rois = MultiScaleRoIAlign(["c2", "c3", "c4", "c5"], output_size=3, sampling_ratio=2)
    return FasterRCNN(
        backbone,
        num_classes=2,
        rpn_anchor_generator=AnchorGenerator(sizes, ((1.0,),) * len(sizes)),
        box_roi_pool=rois,
        min_size=64,
        max_size=64,
        rpn_batch_size_per_image=32,
        box_batch_size_per_image=32,
    )


def test_a_detector_learns_boxes(net: Backbone) -> None:
    """White squares on gray: the losses of a Faster R-CNN fall."""
    freeze(net, up_to="conv1" if net.spec.family == "resnet" else "conv0")
    model = detector(WithFpn(net, 16)).train()
    images = torch.full((4, 3, 64, 64), 0.5)
    targets = []
    for i, image in enumerate(images):
        image[:, 8 * i : 8 * i + 24, 16 : 16 + 24] = 1
        targets.append({"boxes": torch.tensor([[16.0, 8 * i, 40, 8 * i + 24]]), "labels": torch.tensor([1])})
    adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 2e-3)
    losses = []
    for _ in range(12):
        loss: Tensor = sum(model(list(images), targets).values())
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3]), losses
    (found,) = model.eval()([images[0]])
    assert {"boxes", "labels", "scores"} == found.keys()


def test_deeplab_on_a_dilated_network(net: Backbone) -> None:
    fine = build(net.spec, output_stride=8)
    fine.load_state_dict(build(net.spec).state_dict())

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = pyramid(fine, stages=(5,), norm=True)

        def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
            return OrderedDict(out=self.maps(x)["c5"])

    head = DeepLabHead(fine.num_features, 3, atrous_rates=(1, 2, 3))
    model = DeepLabV3(Body(), head).train()
    labels = (IMAGES.sum(1) * 2).long().clamp(0, 2)
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        out = model(IMAGES)["out"]
        assert out.shape == (2, 3, 64, 64)
        loss = nn.functional.cross_entropy(out, labels)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert model.backbone.maps(IMAGES)["c5"].shape[-1] == 8


def test_freezing_is_what_torchvisions_detectors_do() -> None:
    """`trainable_backbone_layers=2` leaves layer4 and layer3 to learn; all norms are frozen."""
    net = build(_RES)
    freeze(net, up_to="layer2")
    frozen_batchnorm(net)
    trained = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    body = {name for name in trained if not name.startswith("fc")}
    expected = {name for name, p in net.named_parameters() if name.startswith(("layer3", "layer4")) and p.ndim > 1}
    assert body == expected
    assert not any(module.training for module in net.train().modules() if isinstance(module, nn.BatchNorm2d))


def test_the_children_are_counted_as_torchvisions(net: Backbone) -> None:
    """`children()[:-2]` of a ResNet, and `[:-1]` of a DenseNet, compute the maps; `[:-1]` of a ResNet pools them."""
    net = build(net.spec, num_classes=5, drop_rate=0.3).eval()
    children = list(net.children())
    features = net.forward_features(IMAGES)
    if net.spec.family == "densenet":
        assert [name for name, _ in net.named_children()] == ["features", "classifier"]
        assert torch.equal(nn.Sequential(*children[:-1])(IMAGES), features)
    else:
        assert torch.equal(nn.Sequential(*children[:-2])(IMAGES), features)
        assert nn.Sequential(*children[:-1])(IMAGES).shape == (2, net.num_features, 1, 1)
    assert net.get_classifier().in_features == net.num_features
    assert "drop_rate=0.3" in repr(net)


@pytest.mark.parametrize("family", ["resnet", "preact", "plain"])
def test_torchvisions_own_fpn_extractor(family: str) -> None:
    spec = ResNetSpec(block="basic", depths=(1, 1, 1, 1), widths=(8, 16, 32, 64), order="pre" if family == "preact" else "post")
    net = build(spec if family != "plain" else replace(spec, join="replace"))
    model = _resnet_fpn_extractor(net, 3)
    assert net.inplanes == 64
    assert [y.shape[-1] for y in model(IMAGES).values()] == [16, 8, 4, 2, 1]
    trained = {name.split(".")[0] for name, p in model.body.named_parameters() if p.requires_grad}
    assert trained == {"layer2", "layer3", "layer4"}
