"""Batches for a training: what every source of images gives, and the source that keeps them in memory."""

import hashlib
from collections.abc import Generator
from dataclasses import replace
from itertools import islice
from typing import Literal, Protocol

import torch
from torch import Tensor

from resnetlib.data import LabelledImages, crop_flip, draw_crops
from resnetlib.distributed import Processes
from resnetlib.train.draws import generator
from resnetlib.train.recipe import Recipe
from resnetlib.weights import Preprocessing

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")

Batch = tuple[Tensor, Tensor]
"""Inputs `(N, C, H, W)`, preprocessed, and labels `(N,)`, on the device."""

ORDER, CROPS, DRAWS = range(3)
"""What random numbers are for; each purpose has its own."""

_AT_ONCE = 500
"""Images in a batch that is only measured."""


class Feed(Protocol):
    """Where a training's batches come from.

    Args:
        classes: the names of the labels.
        preprocess: what makes an image an input.
        digest: of all images and labels, by which the same ones are known again.
    """

    classes: tuple[str, ...]
    preprocess: Preprocessing
    digest: str

    def __len__(self) -> int:
        """Count the training images."""

    def batches(self, epoch: int, first: int) -> Generator[Batch, None, None]:
        """Give this process's part of an epoch's batches, augmented.

        Args:
            epoch: counted from 0; with the seed, it decides the order and the augmentation.
            first: the batch to begin with.

        Returns:
            The batches.
        """

    def plain(self, split: Split, images: int) -> Generator[Batch, None, None]:
        """Give this process's part of images without augmentation.

        Args:
            split: of which set.
            images: how many in all processes, evenly spread over the set; 0 for all.

        Returns:
            The batches.
        """


class MemoryFeed:
    """Images of one size that stay on the device as bytes, and are cropped and flipped there, a batch at a time.

    Args:
        train: the training images.
        test: the test images.
        recipe: its batch and augmentation.
        seed: of order and augmentation.
        processes: this process, and its device.
        preprocess: what makes an image an input; None for the mean and the deviation of the training images' own colours.

    Raises:
        ValueError: for another augmentation, or images and classes of the two sets that differ.
    """

    def __init__(
        self,
        train: LabelledImages,
        test: LabelledImages,
        recipe: Recipe,
        *,
        seed: int,
        processes: Processes,
        preprocess: Preprocessing | None = None,
    ) -> None:
        if recipe.augmentation == "resized_crop_flip" or recipe.rand_augment:
            raise ValueError("images in memory are augmented by 'pad_crop_flip' or 'none': the rest is for folders of images")
        if train.images.shape[1:] != test.images.shape[1:] or train.classes != test.classes:
            raise ValueError("training and test images must be of one size, and have the same classes")
        for split, labels in (("training", train.labels), ("test", test.labels)):
            if not len(labels) or not bool(((labels >= 0) & (labels < len(train.classes))).all()):
                raise ValueError(f"{split} labels must be 0 to {len(train.classes) - 1}, got {labels.unique().tolist()}")
        self.digest = _digest(train.images, train.labels, test.images, test.labels)
        self.classes = train.classes
        self.preprocess = _as_they_are(train.images, preprocess)
        self._train = train.images.to(processes.device), train.labels.to(processes.device)
        self._test = test.images.to(processes.device), test.labels.to(processes.device)
        self._recipe, self._seed, self._processes = recipe, seed, processes
        colours = (self.preprocess.mean, self.preprocess.std)
        self._mean, self._std = (torch.tensor(values, device=processes.device).view(-1, 1, 1) for values in colours)

    def __len__(self) -> int:
        """Count the training images."""
        return len(self._train[1])

    def batches(self, epoch: int, first: int) -> Generator[Batch, None, None]:
        """Give this process's part of an epoch's batches, augmented.

        Args:
            epoch: counted from 0; with the seed, it decides the order and the augmentation.
            first: the batch to begin with.

        Yields:
            The batches.
        """
        batch, steps = self._recipe.batch, self._recipe.steps_per_epoch(len(self))
        order = torch.randperm(len(self), generator=generator(self._seed, ORDER, epoch))[: steps * batch]
        crops = draw_crops(steps * batch, pad=self._recipe.pad, generator=generator(self._seed, CROPS, epoch))
        images, labels = self._train
        mine = (drawn[self._processes.rank :: self._processes.world_size].to(images.device) for drawn in (order, crops))
        parts = zip(*(drawn.split(batch // self._processes.world_size) for drawn in mine), strict=True)
        for here, where in islice(parts, first, None):
            pixels = images[here]
            if self._recipe.augmentation == "pad_crop_flip":
                pixels = crop_flip(pixels, where, pad=self._recipe.pad)
            yield self._input(pixels), labels[here]

    def plain(self, split: Split, images: int) -> Generator[Batch, None, None]:
        """Give this process's part of images without augmentation.

        Args:
            split: of which set.
            images: how many in all processes, evenly spread over the set; 0 for all.

        Yields:
            The batches.
        """
        pixels, labels = self._train if split == "train" else self._test
        chosen = spread(images, len(labels))[self._processes.rank :: self._processes.world_size]
        for here in torch.tensor(chosen, dtype=torch.int64, device=labels.device).split(_AT_ONCE):
            yield self._input(pixels[here]), labels[here]

    def _input(self, pixels: Tensor) -> Tensor:
        """Do what `preprocess` does, with numbers that are on the device already: to copy them would stop it each time."""
        return (pixels / 255 - self._mean) / self._std


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def spread(n: int, among: int) -> list[int]:
    """Choose numbers from a range, evenly spread.

    Args:
        n: how many; 0 for all, and no more than there are.
        among: the length of the range.

    Returns:
        The numbers.

    Example:
        >>> spread(3, 9)
        [0, 3, 6]
    """
    n = min(n or among, among)
    return [i * among // n for i in range(n)]


def _as_they_are(images: Tensor, preprocess: Preprocessing | None) -> Preprocessing:
    """Return the preprocessing of images that keep their size."""
    if preprocess is None:
        return colours_of(images)
    if preprocess.channels != images.shape[1]:
        raise ValueError(f"images have {images.shape[1]} channels, and the preprocessing is for {preprocess.channels}")
    side = _side(images)
    return replace(preprocess, resize=side, size=side)


def _side(images: Tensor) -> int:
    height, width = images.shape[-2:]
    if height != width:
        raise ValueError(f"images must be square, got {height} x {width} pixels")
    return height


def colours_of(images: Tensor) -> Preprocessing:
    """Measure the mean and the deviation of the colours, and take the images as they are otherwise.

    Args:
        images: `(N, C, H, W)`, uint8, square.

    Returns:
        The preprocessing, rounded to four digits.

    Raises:
        ValueError: for images that are not square, or a colour that is everywhere the same.

    Example:
        >>> colours_of(torch.tensor([0, 255], dtype=torch.uint8).expand(1, 3, 2, 2)).std
        (0.5, 0.5, 0.5)
    """
    side = _side(images)
    counts = torch.stack([torch.bincount(colour.flatten().long(), minlength=256) for colour in images.transpose(0, 1)]).double()
    shades = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    mean = counts @ shades / counts.sum(1)
    std = (counts @ shades**2 / counts.sum(1) - mean**2).sqrt()
    if not bool((std > 0.00005).all()):
        raise ValueError(f"a colour is the same in all pixels: deviations {std.tolist()}")
    rounded = [tuple(round(value, 4) for value in values.tolist()) for values in (mean, std)]
    return Preprocessing(resize=side, size=side, mean=rounded[0], std=rounded[1])
