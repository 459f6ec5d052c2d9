"""From images to inputs, as torchvision's own transforms do it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import timm.data
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2

from resnetlib.errors import InputError
from resnetlib.weights import MEAN_STD, Preprocessing


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("size", [(300, 200), (224, 224), (50, 90)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pil_images_are_preprocessed_as_by_torchvision(size: tuple[int, int], interpolation: str) -> None:
    mean, std = MEAN_STD["imagenet"]
    ours = Preprocessing(resize=256, size=224, mean=mean, std=std, interpolation=interpolation)  # type: ignore[arg-type]
    theirs = v2.Compose(
        [
            v2.Resize(256, interpolation=v2.InterpolationMode(interpolation), antialias=True),
            v2.CenterCrop(224),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )
    torch.testing.assert_close(ours(picture(*size)), torch.Tensor(theirs(picture(*size))), rtol=0, atol=2e-6)


@pytest.mark.parametrize("weights", ["ResNet50_Weights.IMAGENET1K_V1", "ResNet50_Weights.IMAGENET1K_V2"])
def test_published_preprocessing_is_reproduced_to_the_bit(weights: str) -> None:
    theirs = torchvision.models.get_weight(weights).transforms()
    [resize], [size] = theirs.resize_size, theirs.crop_size
    ours = Preprocessing.named("imagenet", resize=resize, size=size)
    for image in (picture(300, 200), picture(90, 500)):
        assert torch.equal(ours(image), theirs(image))
        torch.testing.assert_close(ours.transform()(image), theirs(image), rtol=0, atol=1e-6)
    pixels = torch.randint(256, (2, 3, 240, 260), dtype=torch.uint8)
    torch.testing.assert_close(ours(pixels), theirs(pixels), rtol=0, atol=1.01 / 255 / 0.224)  # a step of uint8: v2 rounds apart
    torch.testing.assert_close(ours.transform()(pixels), ours(pixels), rtol=0, atol=1e-6)


def test_timms_evaluation_transform_is_reproduced() -> None:
    theirs = timm.data.create_transform(input_size=(3, 224, 224), interpolation="bicubic", crop_pct=0.95, is_training=False)
    ours = Preprocessing(resize=235, size=224, mean=MEAN_STD["imagenet"][0], std=MEAN_STD["imagenet"][1], interpolation="bicubic")
    for image in (picture(300, 200), picture(90, 500)):
        torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=2e-6)


def test_other_numbers_of_channels() -> None:
    color = Preprocessing.named("imagenet", resize=36, size=32)
    gray = color.for_channels(1)
    assert gray.mean == (pytest.approx((0.485 + 0.456 + 0.406) / 3),)
    assert gray(picture(50, 40)).shape == (1, 32, 32)
    assert gray(torch.zeros(2, 1, 50, 40, dtype=torch.uint8)).shape == (2, 1, 32, 32)
    five = color.for_channels(5)
    assert five.std == (0.229, 0.224, 0.225, 0.229, 0.224)
    assert five(torch.zeros(5, 50, 40, dtype=torch.uint8)).shape == (5, 32, 32)
    with pytest.raises(ValueError, match=r"expected a uint8 tensor \(\.\.\., 5, H, W\), got Image"):
        five(picture(50, 40))
    assert color.for_channels(3) is color


def test_the_transform_can_be_taken_apart() -> None:
    steps = Preprocessing.named("imagenet", resize=36, size=32).transform().transforms
    names = ["Lambda", "RGB", "Resize", "CenterCrop", "ToImage", "ToDtype", "Normalize", "ToPureTensor"]
    assert [type(step).__name__ for step in steps] == names


def test_batches_of_the_right_size_are_only_normalized() -> None:
    cifar = Preprocessing.named("cifar10", resize=32, size=32)
    pixels = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in MEAN_STD["cifar10"])
    assert torch.equal(cifar(pixels), (pixels / 255 - mean) / std)
    image = Image.fromarray(pixels[0].permute(1, 2, 0).numpy())
    assert torch.equal(cifar(image), cifar(pixels)[0])


def test_tensors_of_other_sizes_are_resized() -> None:
    cifar = Preprocessing.named("cifar10", resize=32, size=32)
    assert cifar(torch.zeros(2, 3, 50, 70, dtype=torch.uint8)).shape == (2, 3, 32, 32)
    assert cifar(torch.zeros(3, 50, 70, dtype=torch.uint8)).shape == (3, 32, 32)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_other_color_modes_become_rgb(mode: str) -> None:
    assert Preprocessing.named("cifar10", resize=32, size=32)(picture(40, 40, mode)).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (torch.zeros(3, 32, 32), r"torch.float32 of shape \(3, 32, 32\)"),
        (torch.zeros(1, 32, 32, dtype=torch.uint8), r"torch.uint8 of shape \(1, 32, 32\)"),
        (torch.zeros(32, 32, dtype=torch.uint8), r"torch.uint8 of shape \(32, 32\)"),
        (np.zeros((32, 32, 3), np.uint8), "ndarray"),
        ("cat.png", "str"),
    ],
)
def test_what_is_no_image_is_refused(image: object, got: str) -> None:
    with pytest.raises(ValueError, match=r"expected a.* uint8 tensor \(\.\.\., 3, H, W\), got " + got):
        Preprocessing.named("cifar10", resize=32, size=32)(image)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (0, 0)])
def test_an_image_has_pixels(width: int, height: int, channels: int) -> None:
    preprocess = Preprocessing.named("cifar10", resize=32, size=32).for_channels(channels)
    image = Image.new("RGB", (width, height))
    uses: list[Any] = [
        lambda: preprocess(image),
        lambda: preprocess.to_array(image),
        lambda: preprocess.transform()(image),
        lambda: preprocess(torch.zeros(channels, height, width, dtype=torch.uint8)),
        lambda: preprocess(torch.zeros(2, channels, height, width, dtype=torch.uint8)),
    ]
    for use in uses:
        with pytest.raises(InputError, match=f"an image must have pixels, got one of {width} x {height}"):
            use()


@pytest.mark.parametrize(
    "change",
    [
        {"size": 64},
        {"size": 0},
        {"resize": 32.0},
        {"mean": (0.1,)},
        {"mean": 5},
        {"mean": (True, 0.5, 0.5)},
        {"mean": ("0.5", 0.5, 0.5)},
        {"mean": (10**400, 0, 0)},
        {"std": (float("nan"), 1, 1)},
        {"std": (0.1, 0.2, 0.0)},
        {"interpolation": "zz"},
        {"antialias": 1},
    ],
)
def test_numbers_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(Preprocessing.named("cifar10", resize=32, size=32), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [int, float, np.int64, np.float16, np.float32, np.float64])
def test_means_are_numbers_of_any_kind(kind: type) -> None:
    wanted = Preprocessing(resize=32, size=32, mean=(0.0,) * 3, std=(1.0,) * 3)
    found = Preprocessing(resize=32, size=32, mean=(kind(0),) * 3, std=(kind(1),) * 3)
    assert found == wanted
    assert {type(value) for value in (*found.mean, *found.std)} == {float}


def test_lists_are_tuples() -> None:
    wanted = Preprocessing(resize=32, size=32, mean=(0.5, 0.4), std=(0.2, 0.3))
    found = Preprocessing(resize=32, size=32, mean=[0.5, 0.4], std=[0.2, 0.3])  # type: ignore[arg-type]
    assert found == wanted
    assert hash(found) == hash(wanted)
    with pytest.raises(ValueError, match=r"mean must be a tuple of a float for each channel, got 0\.5"):
        Preprocessing(resize=32, size=32, mean=0.5, std=(0.2,))  # type: ignore[arg-type]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="normalization must be one of 'imagenet', 'cifar10', got 'svhn'"):
        Preprocessing.named("svhn", resize=32, size=32)  # type: ignore[arg-type]
