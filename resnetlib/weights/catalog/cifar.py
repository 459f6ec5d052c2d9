"""Pretrained weights for CIFAR-10 and CIFAR-100 from akamaster and chenyaofo."""

from collections.abc import Callable
from functools import partial

from resnetlib.config import Preprocessing, PretrainedConfig
from resnetlib.models.catalog import SPECS
from resnetlib.weights.catalog.hashes import url_file

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

CIFAR100_CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy", "bridge",
    "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach",
    "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster",
    "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree",
    "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck",
    "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea",
    "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower",
    "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle",
    "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip
"""The fine labels."""

_AKAMASTER = "https://github.com/akamaster/pytorch_resnet_cifar10"
_CHENYAOFO = "https://github.com/chenyaofo/pytorch-cifar-models"

_AKAMASTER_ROWS = (
    # name, file, top-1, params
    ("cifar_resnet20", "resnet20-12fca82f.th", 91.73, 269_722),
    ("cifar_resnet32", "resnet32-d509ac18.th", 92.63, 464_154),
    ("cifar_resnet44", "resnet44-014dd654.th", 93.1, 658_586),
    ("cifar_resnet56", "resnet56-4bfd9763.th", 93.39, 853_018),
    ("cifar_resnet110", "resnet110-1d1ed7c2.th", 93.68, 1_727_962),
    ("cifar_resnet1202", "resnet1202-f3b1deed.th", 93.82, 19_421_274),
)

_CHENYAOFO_ROWS = (
    # name, classes, file, top-1, top-5, GMACs, params
    ("cifar_resnet20b", 10, "cifar10_resnet20-4118986f.pt", 92.6, 99.81, 0.04081, 272_474),
    ("cifar_resnet32b", 10, "cifar10_resnet32-ef93fc4d.pt", 93.53, 99.77, 0.06912, 466_906),
    ("cifar_resnet44b", 10, "cifar10_resnet44-2a3cabcb.pt", 94.01, 99.77, 0.09744, 661_338),
    ("cifar_resnet56b", 10, "cifar10_resnet56-187c023a.pt", 94.37, 99.83, 0.12575, 855_770),
    ("cifar_resnet20b", 100, "cifar100_resnet20-23dac2f1.pt", 68.83, 91.01, 0.04082, 278_324),
    ("cifar_resnet32b", 100, "cifar100_resnet32-84213ce6.pt", 70.16, 90.89, 0.06913, 472_756),
    ("cifar_resnet44b", 100, "cifar100_resnet44-ffe32858.pt", 71.63, 91.58, 0.09744, 667_188),
    ("cifar_resnet56b", 100, "cifar100_resnet56-f2eff4c8.pt", 72.63, 91.94, 0.12575, 861_620),
)

_CHENYAOFO_INPUT = {
    10: Preprocessing(resize=32, size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.201)),
    100: Preprocessing(resize=32, size=32, mean=(0.507, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2761)),
}


def _akamaster(name: str, file: str, top1: float, params: int) -> PretrainedConfig:
    """Build the config of akamaster's weights (README.md, trainer.py), trained with ImageNet's mean and standard deviation."""
    return PretrainedConfig(
        name=name,
        tag="akamaster_c10",
        spec=SPECS[name],
        classes=CIFAR10_CLASSES,
        preprocess=Preprocessing.named("imagenet", resize=32, size=32),
        params=params,
        top1=top1,
        evaluated_on="the 10,000 test images of CIFAR-10",
        recipe="200 epochs: SGD, momentum 0.9, batch 128, lr 0.1, a tenth of it from 100 and from 150 on, weight decay 0.0001, "
        "pad 4, crop, flip",
        license="BSD-2-Clause",
        origin=f"Yerlan Idelbayev, {_AKAMASTER}",
        sources=(url_file(f"{_AKAMASTER}/raw/master/pretrained_models/{file}", dialect="akamaster"),),
    )


def _chenyaofo(name: str, classes: int, file: str, top1: float, top5: float, gmacs: float, params: int) -> PretrainedConfig:
    """Build the config of chenyaofo's weights (README.md, logs)."""
    return PretrainedConfig(
        name=name,
        tag=f"chenyaofo_c{classes}",
        spec=SPECS[name],
        classes=CIFAR10_CLASSES if classes == 10 else CIFAR100_CLASSES,
        preprocess=_CHENYAOFO_INPUT[classes],
        params=params,
        gmacs=gmacs,
        top1=top1,
        top5=top5,
        evaluated_on=f"the 10,000 test images of CIFAR-{classes}",
        recipe="200 epochs: SGD, Nesterov 0.9, batch 256, lr 0.1, cosine, weight decay 0.0005",
        license="BSD-3-Clause",
        origin=f"Yaofo Chen, {_CHENYAOFO}",
        sources=(url_file(f"{_CHENYAOFO}/releases/download/resnet/{file}", dialect="chenyaofo"),),
    )


def cifar_builders() -> dict[str, Callable[[], PretrainedConfig]]:
    """Map the weights' full names to functions that build their pretrained configs."""
    return {
        **{f"{row[0]}.akamaster_c10": partial(_akamaster, *row) for row in _AKAMASTER_ROWS},
        **{f"{row[0]}.chenyaofo_c{row[1]}": partial(_chenyaofo, *row) for row in _CHENYAOFO_ROWS},
    }
