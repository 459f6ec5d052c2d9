"""Preprocessing: from images to a network's input."""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from math import isfinite
from typing import TYPE_CHECKING, Literal

import numpy as np

from resnetlib.config.integers import as_float, as_integer
from resnetlib.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor
    from torchvision.transforms.v2 import Compose

Normalization = Literal["imagenet", "cifar10"]

MEAN_STD: dict[Normalization, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
"""Mean and standard deviation of R, G, B, for pixels in [0, 1]."""

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""The names of CIFAR-10's classes, in the order of its labels."""

MAX_IMAGE_SIZE = 4096
"""The largest `resize`, in pixels: a larger one in a config file could exhaust the memory."""

METADATA = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
"""Where Pillow keeps the orientation of an image, in `image.info`."""

_ORIENTATION = 0x0112
"""The EXIF tag of the orientation: which way the camera was held."""


def prepare_image(image: "Image", *, exif: bool = True) -> "Image":
    """Turn a PIL image upright by its EXIF orientation, and reduce 16 bits per pixel to the upper 8.

    Args:
        image: the image, of any mode.
        exif: whether to apply the orientation. Pillow itself applies that of TIFF files.

    Returns:
        The changed image, or `image` itself if there is nothing to change.

    Raises:
        ValueError: for an image without pixels, and for 32-bit pixels (modes I and F), whose range is unknown.
    """
    from PIL import Image

    _check_pixels(*image.size)
    image.load()
    deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")  # a PGM of 16 bits
    if exif:
        turns, turn = Image.Transpose, None
        steps = (turns.FLIP_LEFT_RIGHT, turns.ROTATE_180, turns.FLIP_TOP_BOTTOM, turns.TRANSPOSE, turns.ROTATE_270)
        with suppress(Exception):  # metadata may be damaged
            turn = dict(enumerate((*steps, turns.TRANSVERSE, turns.ROTATE_90), 2)).get(image.getexif().get(_ORIENTATION, 1))
        if turn is not None:
            image = image.transpose(turn)
            for key in METADATA:
                image.info.pop(key, None)
    if image.mode in ("I", "F") and not deep:
        raise InputError(f"pixels of mode {image.mode} have no known range: convert the image to 8 or 16 bits")
    if deep:
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image


def _check_pixels(width: int, height: int) -> None:
    """Raise ValueError for an image without pixels."""
    if not width or not height:
        raise InputError(f"an image must have pixels, got one of {width} x {height}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """Resize the shorter side, crop the center, scale to [0, 1], subtract the mean, divide by the standard deviation.

    A PIL image is first turned upright by its EXIF orientation, and 16 bits per pixel are reduced to the upper 8.

    Shapes:
        PIL image -> `(C, size, size)` for C = 1 or 3; uint8 `(..., C, H, W)` -> `(..., C, size, size)`, float32, on its device.

    Args:
        resize: shorter side of the image before the crop, in pixels.
        size: height and width of the network's input, in pixels.
        mean: mean of each channel (R, G, B), for pixels in [0, 1].
        std: standard deviation of each channel, for pixels in [0, 1].
        interpolation: "bilinear" or "bicubic".
        antialias: whether tensors are resized with antialiasing; PIL images always are.

    Example:
        >>> import torch
        >>> cifar = Preprocessing.named("cifar10", resize=32, size=32)
        >>> cifar(torch.zeros(5, 3, 32, 32, dtype=torch.uint8)).shape
        torch.Size([5, 3, 32, 32])
    """

    resize: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool = True

    def __post_init__(self) -> None:
        resize, size = as_integer(self.resize), as_integer(self.size)
        if resize is None or size is None or not 1 <= size <= resize <= MAX_IMAGE_SIZE:
            raise InputError(
                f"resize and size must be ints, and 1 <= size <= resize <= {MAX_IMAGE_SIZE:,}, got resize={self.resize!r}, "
                f"size={self.size!r}"
            )
        object.__setattr__(self, "resize", resize)
        object.__setattr__(self, "size", size)
        for name, values in (("mean", self.mean), ("std", self.std)):
            numbers = tuple(map(as_float, values)) if isinstance(values, tuple | list) else ()  # a list from JSON
            fit = numbers and all(map(isfinite, numbers)) and len(numbers) == len(self.mean)
            if not fit or (name == "std" and min(numbers) <= 0):
                above = ", above 0" if name == "std" else ""
                raise InputError(f"{name} must be a tuple of a float for each channel{above}, got {values!r:.200}")
            object.__setattr__(self, name, numbers)
        if self.interpolation not in ("bilinear", "bicubic"):
            raise InputError(f"interpolation must be 'bilinear' or 'bicubic', got {self.interpolation!r}")
        if not isinstance(self.antialias, bool):
            raise InputError(f"antialias must be True or False, got {self.antialias!r}")

    @classmethod
    def named(cls, normalization: Normalization, *, resize: int, size: int) -> "Preprocessing":
        """Create the preprocessing with a data set's mean and standard deviation: "imagenet" or "cifar10"."""
        try:
            mean, std = MEAN_STD[normalization]
        except (KeyError, TypeError) as error:  # it may be unhashable
            raise InputError(f"normalization must be one of {', '.join(map(repr, MEAN_STD))}, got {normalization!r}") from error
        return cls(resize=resize, size=size, mean=mean, std=std)

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return len(self.mean)

    def for_channels(self, channels: int, *, average: bool | None = None) -> "Preprocessing":
        """Adapt mean and standard deviation to another number of channels, as `adapt_input` adapts the weights.

        A single channel gets the average over R, G, B, unless `average` is False. Otherwise the channels repeat R, G, B, R, G ...
        """
        count = as_integer(channels)
        if count is None or count < 1:
            raise InputError(f"channels must be an int of at least 1, got {channels!r}")
        channels = count
        if channels == self.channels:
            return self
        if channels == 1 and average is not False:
            return replace(self, mean=(sum(self.mean) / self.channels,), std=(sum(self.std) / self.channels,))
        mean, std = (tuple(islice(cycle(values), channels)) for values in (self.mean, self.std))
        return replace(self, mean=mean, std=std)

    def transform(self, *, exif: bool = True) -> "Compose":
        """Return the same steps as a torchvision v2 `Compose`, for use in a data set; `exif` as in `__call__`."""
        import torch
        from torchvision.transforms import v2

        to_input = (v2.ToDtype(torch.float32, scale=True), v2.Normalize(self.mean, self.std), v2.ToPureTensor())
        return v2.Compose([*self._geometry(exif).transforms, *to_input])

    def __call__(self, image: "Image | Tensor", *, exif: bool = True) -> "Tensor":
        """Return the network's input for an image, or for a batch of images.

        Args:
            image: a PIL image, or uint8 `(..., C, H, W)`.
            exif: whether to apply the EXIF orientation of a PIL image.

        Returns:
            The input, float32, `(C, size, size)` or `(..., C, size, size)`.
        """
        import torch

        if not isinstance(image, torch.Tensor):
            return torch.from_numpy(self.to_array(image, exif=exif))
        if image.dtype != torch.uint8 or image.ndim < 3 or image.shape[-3] != self.channels:
            hint = ": convert values in [0, 1] with (x * 255).round().to(torch.uint8)" * image.is_floating_point()
            raise InputError(f"{self._expected}, got {image.dtype} of shape {tuple(image.shape)}{hint}")
        _check_pixels(image.shape[-1], image.shape[-2])
        fits = tuple(image.shape[-2:]) == (self.size, self.size) == (self.resize, self.resize)
        pixels: Tensor = image if fits else self._geometry(exif)(image)
        mean, std = (pixels.new_tensor(values, dtype=torch.float32).view(-1, 1, 1) for values in (self.mean, self.std))
        return (pixels.to(torch.float32) / 255 - mean) / std

    def to_array(self, image: "Image", *, exif: bool = True) -> "NDArray[np.float32]":
        """Return the network's input for a PIL image as an array `(C, size, size)`, float32; torch is not imported.

        Args:
            image: a PIL image.
            exif: whether to apply the EXIF orientation.

        Returns:
            The same values as `__call__`, which are those of torchvision's transforms.
        """
        from PIL import Image

        if not isinstance(image, Image.Image) or self.channels not in (1, 3):
            raise InputError(f"{self._expected}, got {type(image).__name__}")
        image = prepare_image(image, exif=exif).convert("RGB" if self.channels == 3 else "L")
        short = min(image.size)
        width, height = (self.resize if side == short else int(self.resize * side / short) for side in image.size)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling[self.interpolation.upper()])
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        image = image.crop((left, top, left + self.size, top + self.size))
        pixels = np.asarray(image).reshape(self.size, self.size, -1).transpose(2, 0, 1).astype(np.float32, order="C")
        mean, std = (np.array(values, np.float32).reshape(-1, 1, 1) for values in (self.mean, self.std))
        return (pixels / np.float32(255) - mean) / std

    @property
    def _expected(self) -> str:
        return f"expected {'a PIL image or ' * (self.channels in (1, 3))}a uint8 tensor (..., {self.channels}, H, W)"

    def _geometry(self, exif: bool) -> "Compose":
        """Return the steps that prepare a PIL image, resize and crop."""
        from PIL import Image
        from torchvision.transforms import v2

        prepare = v2.Lambda(partial(prepare_image, exif=exif), Image.Image)
        color = {1: [prepare, v2.Grayscale()], 3: [prepare, v2.RGB()]}
        return v2.Compose(
            [
                *color.get(self.channels, []),
                v2.Resize(self.resize, interpolation=v2.InterpolationMode(self.interpolation), antialias=self.antialias),
                v2.CenterCrop(self.size),
                v2.ToImage(),
            ]
        )
