"""From an image to a network's input, as the weights were evaluated."""

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

Normalization = Literal["imagenet", "cifar10"]

MEAN_STD: dict[Normalization, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
"""Mean and standard deviation of the colours, R G B, of pixels in [0, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """Resize the shorter side, crop the centre, scale to [0, 1], subtract the mean, divide by the deviation.

    Shapes:
        a PIL image -> `(3, size, size)`; uint8 `(..., 3, H, W)` -> `(..., 3, size, size)`, float32, on the same device.

    Args:
        resize: shorter side of the image before the crop, in pixels.
        size: height and width of the network's input, in pixels.
        mean: of R, G, B, for pixels in [0, 1].
        std: of R, G, B, for pixels in [0, 1].
        interpolation: of the resizing, antialiased.

    Raises:
        ValueError: for numbers that cannot be, and for an image of another kind.

    Example:
        >>> cifar = Preprocessing.named("cifar10", resize=32, size=32)
        >>> cifar(torch.zeros(5, 3, 32, 32, dtype=torch.uint8)).shape
        torch.Size([5, 3, 32, 32])
    """

    resize: int
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        sizes_fit = all(isinstance(n, int) and not isinstance(n, bool) for n in (self.resize, self.size))
        if not sizes_fit or not 1 <= self.size <= self.resize:
            raise ValueError(
                f"resize and size must be ints, and 1 <= size <= resize, got resize={self.resize!r}, size={self.size!r}"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            numbers = isinstance(values, tuple) and all(isinstance(v, float) and isfinite(v) for v in values)
            if not numbers or len(values) != 3 or (name == "std" and min(values) <= 0):
                raise ValueError(f"{name} must be three floats{', above 0' * (name == 'std')}, got {values!r}")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation must be 'bilinear' or 'bicubic', got {self.interpolation!r}")

    @classmethod
    def named(cls, normalization: Normalization, *, resize: int, size: int) -> "Preprocessing":
        """Take mean and deviation of a well-known data set.

        Args:
            normalization: whose.
            resize: shorter side of the image before the crop, in pixels.
            size: height and width of the network's input, in pixels.

        Returns:
            The preprocessing.

        Raises:
            ValueError: for another data set.
        """
        if normalization not in MEAN_STD:
            raise ValueError(f"normalization must be one of {', '.join(map(repr, MEAN_STD))}, got {normalization!r}")
        mean, std = MEAN_STD[normalization]
        return cls(resize=resize, size=size, mean=mean, std=std)

    def __call__(self, image: "Image | Tensor") -> Tensor:
        """Turn an image, or a batch of them, into a network's input."""
        if isinstance(image, Tensor):
            if image.dtype != torch.uint8 or image.ndim < 3 or image.shape[-3] != 3:
                raise ValueError(f"expected a uint8 tensor (..., 3, H, W), got {image.dtype} of shape {tuple(image.shape)}")
        elif not hasattr(image, "convert"):
            raise ValueError(f"expected a PIL image or a uint8 tensor (..., 3, H, W), got {type(image).__name__}")
        pixels = image if isinstance(image, Tensor) and self._fits(image) else self._resized(image)
        mean, std = (pixels.new_tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (self.mean, self.std))
        return (pixels / 255 - mean) / std

    def _fits(self, pixels: Tensor) -> bool:
        return self.resize == self.size and tuple(pixels.shape[-2:]) == (self.size, self.size)

    def _resized(self, image: "Image | Tensor") -> Tensor:
        from torchvision.transforms.v2 import functional

        mode = functional.InterpolationMode(self.interpolation)
        if not isinstance(image, Tensor):
            image = image.convert("RGB")
        image = functional.resize(image, [self.resize], interpolation=mode, antialias=True)
        image = functional.center_crop(image, [self.size])
        pixels: Tensor = functional.to_image(image)
        return pixels
