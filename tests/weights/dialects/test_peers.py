"""The real peers' weights give their logits here, and ours go back there."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import timm
import torch
import torchvision
from pytorchcv.models.densenet import DenseNet as CvDenseNet
from pytorchcv.models.densenet_cifar import CIFARDenseNet
from pytorchcv.models.preresnet import PreResNet
from pytorchcv.models.preresnet_cifar import CIFARPreResNet
from pytorchcv.models.resnet import ResNet as CvResNet
from pytorchcv.models.resnet_cifar import CIFARResNet
from timm.layers import BatchNormAct2d, create_conv2d
from timm.models.resnetv2 import ResNetV2
from torch import Tensor, nn
from zoos import SmallDenseNet, SmallResNet

from resnetlib import DenseNetSpec, ResNetSpec, Spec, build
from resnetlib.weights.dialects.infer import infer_spec
from resnetlib.weights.dialects.rename import recognize_dialect, to_dialect
from resnetlib.weights.dialects.rules import ALIASES

CLASSES = 7
BASIC = ResNetSpec(block="basic", depths=(1, 2), widths=(16, 32))
DEEP = ResNetSpec(block="bottleneck", depths=(1, 2), widths=(16, 32))
DENSE = DenseNetSpec(growth=8, depths=(2, 3), stem_width=16)
FOUR = (64, 128, 256, 512)


def units(spec: ResNetSpec) -> list[list[int]]:
    """Return the channels of each unit, as pytorchcv takes them."""
    factor = 4 if spec.block == "bottleneck" else 1
    return [[width * factor] * depth for depth, width in zip(spec.depths, spec.widths, strict=True)]


def layers(spec: DenseNetSpec) -> list[list[int]]:
    """Return the channels behind each layer, as pytorchcv takes them."""
    return [
        [width + (i + 1) * spec.growth for i in range(depth)] for width, depth in zip(spec.stage_widths(), spec.depths, strict=True)
    ]


def cv(kind: type[nn.Module], spec: ResNetSpec) -> nn.Module:
    bottleneck = spec.block == "bottleneck"
    stride = {"conv1_stride": spec.stride_in == "1x1"} if spec.stem == "imagenet" else {}
    return kind(units(spec), spec.widths[0], bottleneck, num_classes=CLASSES, **stride)


def cv_dense(spec: DenseNetSpec) -> nn.Module:
    if spec.stem == "imagenet":
        return CvDenseNet(layers(spec), spec.stem_width, num_classes=CLASSES)
    return CIFARDenseNet(layers(spec), spec.stem_width, bottleneck=spec.bottleneck > 0, num_classes=CLASSES)


class Logits(nn.Module):
    """A network that returns its logits in an object."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x).logits
        return logits

    def state_dict(self, *args: object, **kwargs: object) -> dict[str, Tensor]:  # type: ignore[override]
        return self.net.state_dict()

    def load_state_dict(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        return self.net.load_state_dict(args[0])


def hugging_face(spec: ResNetSpec) -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    factor = 4 if spec.block == "bottleneck" else 1
    config = ResNetConfig(
        embedding_size=spec.widths[0],
        hidden_sizes=[width * factor for width in spec.widths],
        depths=list(spec.depths),
        layer_type=spec.block,
        downsample_in_bottleneck=spec.stride_in == "1x1",
        num_labels=CLASSES,
    )
    return Logits(ResNetForImageClassification(config))


def torchvisions(spec: ResNetSpec) -> nn.Module:
    block = {"basic": torchvision.models.resnet.BasicBlock, "bottleneck": torchvision.models.resnet.Bottleneck}[spec.block]
    return torchvision.models.ResNet(block, spec.depths, CLASSES, groups=spec.groups, width_per_group=spec.base_width)


def timms(spec: ResNetSpec) -> nn.Module:
    block = {"basic": timm.models.resnet.BasicBlock, "bottleneck": timm.models.resnet.Bottleneck}[spec.block]
    return timm.models.ResNet(
        block, spec.depths, CLASSES, channels=spec.widths, cardinality=spec.groups, base_width=spec.base_width
    )


def timms_preact(spec: ResNetSpec) -> nn.Module:
    basic = spec.block == "basic"
    channels = tuple(width if basic else 4 * width for width in spec.widths)
    norm, ratio = BatchNormAct2d, 1.0 if basic else 0.25
    return ResNetV2(
        spec.depths,
        channels,
        CLASSES,
        stem_chs=spec.widths[0],
        basic=basic,
        bottle_ratio=ratio,
        norm_layer=norm,
        conv_layer=create_conv2d,
    )


def torchvisions_dense(spec: DenseNetSpec) -> nn.Module:
    return torchvision.models.DenseNet(spec.growth, spec.depths, spec.stem_width, spec.bottleneck, num_classes=CLASSES)


def timms_dense(spec: DenseNetSpec) -> nn.Module:
    return timm.models.DenseNet(spec.growth, spec.depths, CLASSES, bn_size=spec.bottleneck)


def zoo(spec: ResNetSpec, *, shortcut: str, classifier: str) -> nn.Module:
    return SmallResNet(spec.depths, spec.widths, shortcut=shortcut, classifier=classifier, classes=CLASSES)


def zoo_dense(spec: DenseNetSpec) -> nn.Module:
    return SmallDenseNet(spec.depths, spec.growth, bottleneck=spec.bottleneck, classes=CLASSES)


SMALL, SMALL_DEEP = replace(BASIC, stem="cifar"), replace(DEEP, stem="cifar")
SMALL_DENSE = replace(DENSE, stem="cifar")
V1 = replace(DEEP, stride_in="1x1")
PRE, PRE_DEEP = replace(BASIC, order="pre"), replace(DEEP, order="pre")
CV_PRE, CV_PRE_DEEP = replace(PRE, stem_norm=True), replace(PRE_DEEP, stem_norm=True)

PEERS: list[tuple[str, Spec, Callable[..., nn.Module], str]] = [
    ("torchvision", replace(BASIC, depths=(1, 2, 1, 1), widths=FOUR), torchvisions, "keys"),
    ("torchvision", replace(DEEP, depths=(1, 1, 1, 1), widths=FOUR, groups=32, base_width=4), torchvisions, "asked"),
    ("torchvision", replace(DENSE, stem_width=12, bottleneck=3), torchvisions_dense, "keys"),
    ("timm", replace(BASIC, depths=(1, 2, 1, 1), widths=(64, 72, 80, 96)), timms, "keys"),
    ("timm", replace(DEEP, depths=(1, 1, 1, 1), widths=(64, 64, 128, 128), groups=2, base_width=48), timms, "asked"),
    ("timm", PRE, timms_preact, "keys"),
    ("timm-resnetv2", PRE_DEEP, timms_preact, "keys"),
    ("timm", DENSE, timms_dense, "keys"),
    ("transformers", BASIC, hugging_face, "keys"),
    ("transformers", DEEP, hugging_face, "never"),
    ("transformers", V1, hugging_face, "never"),
    ("pytorchcv", BASIC, partial(cv, CvResNet), "keys"),
    ("pytorchcv", V1, partial(cv, CvResNet), "never"),
    ("pytorchcv", DEEP, partial(cv, CvResNet), "never"),
    ("pytorchcv", SMALL, partial(cv, CIFARResNet), "keys"),
    ("pytorchcv", SMALL_DEEP, partial(cv, CIFARResNet), "keys"),
    ("pytorchcv", CV_PRE, partial(cv, PreResNet), "keys"),
    ("pytorchcv", replace(CV_PRE_DEEP, stride_in="1x1"), partial(cv, PreResNet), "never"),
    ("pytorchcv", CV_PRE_DEEP, partial(cv, PreResNet), "never"),
    ("pytorchcv", replace(PRE, stem="cifar"), partial(cv, CIFARPreResNet), "keys"),
    ("pytorchcv", replace(PRE_DEEP, stem="cifar"), partial(cv, CIFARPreResNet), "keys"),
    ("pytorchcv", DENSE, cv_dense, "keys"),
    ("pytorchcv", SMALL_DENSE, cv_dense, "keys"),
    ("pytorchcv", replace(SMALL_DENSE, bottleneck=0), cv_dense, "keys"),
    ("akamaster", replace(SMALL, shortcut="A"), partial(zoo, shortcut="pad", classifier="linear"), "keys"),
    ("chenyaofo", SMALL, partial(zoo, shortcut="downsample", classifier="fc"), "keys"),
    ("bearpaw", SMALL, partial(zoo, shortcut="downsample", classifier="fc"), "keys"),
    ("kuangliu", SMALL, partial(zoo, shortcut="shortcut", classifier="linear"), "keys"),
    ("bearpaw", SMALL_DENSE, zoo_dense, "keys"),
    ("bearpaw", replace(SMALL_DENSE, bottleneck=0), zoo_dense, "keys"),
]
"""Dialect, spec, what makes the peer, and what settles the spec: names and shapes, or a dialect that is asked for, or nothing."""


def scramble(net: nn.Module) -> nn.Module:
    """Give every norm weights and statistics that no initialization gives."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.weight, 0.5), (module.bias, -0.5), (module.running_mean, -0.5), (module.running_var, 0.5)):
                nn.init.uniform_(tensor, low, low + 1)
    return net.eval()


def size_for(dialect: str, spec: Spec) -> int:
    """Return the size of images that the peer takes; pytorchcv's last pooling wants a map of 7x7, or 8x8."""
    if dialect == "pytorchcv":
        return (7 if spec.stem == "imagenet" else 8) * 2 ** (len(spec.depths) - 1) * (4 if spec.stem == "imagenet" else 1)
    return 32 if spec.stem == "imagenet" else 16


@torch.no_grad()
@pytest.mark.parametrize(
    ("dialect", "spec", "make", "settles"), PEERS, ids=[f"{dialect}-{i}" for i, (dialect, *_) in enumerate(PEERS)]
)
def test_a_peers_weights_give_its_logits_here_and_ours_there(
    dialect: str, spec: Spec, make: Callable[..., nn.Module], settles: str
) -> None:
    peer, twin = scramble(make(spec)), make(spec).eval()
    theirs = dict(peer.state_dict())
    found = recognize_dialect(theirs)
    assert ALIASES.get(dialect, dialect) in found.dialects
    assert found.unknown == ()
    net = build(spec, num_classes=CLASSES).eval()
    net.load_state_dict(found.state)
    images = torch.randn(2, 3, size_for(dialect, spec), size_for(dialect, spec))
    torch.testing.assert_close(net(images), peer(images), rtol=1e-5, atol=1e-5)

    back = to_dialect(net.state_dict(), spec, dialect)
    assert {key: tensor.shape for key, tensor in back.items()} == {key: tensor.shape for key, tensor in theirs.items()}
    assert all(torch.equal(back[key], theirs[key]) for key in theirs)
    twin.load_state_dict(back)
    assert torch.equal(twin(images), peer(images))

    if settles == "keys":
        assert infer_spec(theirs).spec == spec
    if settles != "never":
        assert infer_spec(theirs, dialect=dialect).spec == spec
    if settles != "keys":
        with pytest.raises(ValueError, match="stride_in='1x1'"):
            infer_spec(theirs, dialect=dialect if settles == "never" else None)
