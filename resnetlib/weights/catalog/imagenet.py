"""What the pretrained configs of all weights for ImageNet-1k share."""

from collections.abc import Mapping
from types import MappingProxyType

from resnetlib.config import Preprocessing, PretrainedConfig, Source
from resnetlib.models.catalog import SPECS
from resnetlib.weights.catalog.classes import imagenet_classes, imagenet_ids

VALIDATION = "the 50,000 validation images of ImageNet-1k, {size} x {size}, by {by}"

PARAMS: Mapping[str, int] = MappingProxyType(
    {
        "densenet121": 7_978_856,
        "densenet161": 28_681_000,
        "densenet169": 14_149_480,
        "densenet201": 20_013_928,
        "preact_resnet18": 11_687_720,
        "preact_resnet34": 21_795_880,
        "preact_resnet50": 25_549_352,
        "preact_resnet101": 44_541_480,
        "resnet18": 11_689_512,
        "resnet26": 15_995_176,
        "resnet34": 21_797_672,
        "resnet50": 25_557_032,
        "resnet101": 44_549_160,
        "resnet152": 60_192_808,
        "resnext50_32x4d": 25_028_904,
        "resnext101_32x4d": 44_177_704,
        "resnext101_32x8d": 88_791_336,
        "resnext101_64x4d": 83_455_272,
        "wide_resnet50_2": 68_883_240,
        "wide_resnet101_2": 126_886_696,
    }
)
"""Network -> numbers that it learned, with 1000 classes; as torchvision publishes them, the others counted."""


GMACS: Mapping[str, float] = MappingProxyType(
    {
        "densenet121": 2.834,
        "densenet161": 7.728,
        "densenet169": 3.36,
        "densenet201": 4.291,
        "preact_resnet18": 1.814,
        "preact_resnet34": 3.664,
        "preact_resnet50": 4.089,
        "preact_resnet101": 7.801,
        "resnet18": 1.814,
        "resnet26": 2.342,
        "resnet34": 3.664,
        "resnet50": 4.089,
        "resnet101": 7.801,
        "resnet152": 11.514,
        "resnext50_32x4d": 4.23,
        "resnext101_32x4d": 7.97,
        "resnext101_32x8d": 16.414,
        "resnext101_64x4d": 15.46,
        "wide_resnet50_2": 11.398,
        "wide_resnet101_2": 22.753,
    }
)
"""Network -> multiply-accumulate operations at 224 x 224, in 10^9; as torchvision publishes them, the others counted."""


def imagenet_config(
    name: str,
    tag: str,
    *,
    preprocess: Preprocessing,
    by: str,
    license: str,  # noqa: A002
    origin: str,
    sources: tuple[Source, ...],
    top1: float | None = None,
    top5: float | None = None,
    recipe: str = "",
) -> PretrainedConfig:
    """Make the pretrained config of weights for ImageNet-1k.

    Args:
        name: of the network.
        tag: of the weights.
        preprocess: the network's input, as it was evaluated.
        by: who measured the accuracies.
        license: under which the weights are given.
        origin: who made them.
        sources: where they lie.
        top1: accuracy, in percent; None where there is no figure.
        top5: accuracy, in percent; None where there is no figure.
        recipe: how the weights were trained.

    Returns:
        The pretrained config.

    Raises:
        KeyError: for a network that has no such weights.
    """
    return PretrainedConfig(
        name=name,
        tag=tag,
        spec=SPECS[name],
        classes=imagenet_classes(),
        class_ids=imagenet_ids(),
        preprocess=preprocess,
        params=PARAMS[name],
        gmacs=GMACS[name],
        top1=top1,
        top5=top5,
        evaluated_on="" if top1 is None else VALIDATION.format(size=preprocess.size, by=by),
        recipe=recipe,
        license=license,
        origin=origin,
        sources=sources,
    )
