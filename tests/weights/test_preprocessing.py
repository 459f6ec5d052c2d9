"""From images to inputs, as torchvision's own transforms do it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

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
def test_other_colour_modes_become_rgb(mode: str) -> None:
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


@pytest.mark.parametrize(
    "change",
    [{"size": 64}, {"size": 0}, {"resize": 32.0}, {"mean": (0.1,)}, {"mean": 5}, {"std": (0.1, 0.2, 0.0)}, {"interpolation": "zz"}],
)
def test_numbers_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(Preprocessing.named("cifar10", resize=32, size=32), **change)  # type: ignore[arg-type]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="normalization must be one of 'imagenet', 'cifar10', got 'svhn'"):
        Preprocessing.named("svhn", resize=32, size=32)  # type: ignore[arg-type]
