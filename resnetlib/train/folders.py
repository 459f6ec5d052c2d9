"""Batches from folders of images, such as ImageNet's, read by worker processes."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from resnetlib.train.draws import generator, mixed
from resnetlib.train.feed import CROPS, ORDER, Batch, Split, spread
from resnetlib.train.group import Group
from resnetlib.train.recipe import Recipe
from resnetlib.weights import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image
    from torchvision.datasets import ImageFolder

_AT_ONCE = 100
"""Images in a batch that is only measured."""


class FolderFeed:
    """Images in a folder for each class, cropped, resized, flipped and perhaps changed further by worker processes.

    An image's draws depend on the seed, the epoch and its place there: not on which process happens to read it.

    Args:
        train: a folder with a folder of training images for each class.
        test: the same with test images.
        recipe: its batch, augmentation and sizes.
        seed: of order and augmentation.
        group: this process, and its device.
        workers: processes that read; None for one on each core, at most 8.

    Raises:
        ValueError: for another augmentation, or folders whose classes differ.
        FileNotFoundError: for a folder without classes, or a class without images.
    """

    def __init__(self, train: Path, test: Path, recipe: Recipe, *, seed: int, group: Group, workers: int | None = None) -> None:
        if recipe.augmentation == "pad_crop_flip":
            raise ValueError("folders of images are augmented by 'resized_crop_flip' or 'none', not by 'pad_crop_flip'")
        self.preprocess = Preprocessing.named("imagenet", resize=recipe.test_resize, size=recipe.test_size)
        self._train, self._plain, self._test = _folder(train), _folder(train), _folder(test)
        if self._train.classes != self._test.classes:
            apart = sorted(set(self._train.classes) ^ set(self._test.classes))
            raise ValueError(f"{train} and {test} must have the same classes; only one of them has {', '.join(apart)}")
        self._plain.transform = self._test.transform = self.preprocess
        self.classes = tuple(self._train.classes)
        self._augmentation = _augmentation(recipe, self.preprocess)
        self.digest = _digest(self._train, self._test)
        self._recipe, self._seed, self._group = recipe, seed, group
        self._workers = min(8, os.cpu_count() or 1) if workers is None else workers

    def __len__(self) -> int:
        """Count the training images."""
        return len(self._train)

    def batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """Give this process's part of an epoch's batches, augmented.

        Args:
            epoch: counted from 0; with the seed, it decides the order and the augmentation.
            first: the batch to begin with.

        Returns:
            The batches.
        """
        batch, steps = self._recipe.batch, self._recipe.steps_per_epoch(len(self))
        order = torch.randperm(len(self), generator=generator(self._seed, ORDER, epoch))
        places = torch.arange(len(self)).split(batch)[first:steps]
        mine = [part[self._group.rank :: self._group.size] for part in places]
        drawn = _Drawn(self._train, self._augmentation, (self._seed, CROPS, epoch))
        return self._load(drawn, batch_sampler=_Parts(order, mine))

    def plain(self, split: Split, images: int) -> Iterator[Batch]:
        """Give this process's part of images without augmentation.

        Args:
            split: of which set.
            images: how many in all processes, evenly spread over the set; 0 for all.

        Returns:
            The batches.
        """
        folder = self._plain if split == "train" else self._test
        chosen = spread(images, len(folder))[self._group.rank :: self._group.size]
        return self._load(Subset(folder, chosen), batch_size=_AT_ONCE)

    def _load(self, images: Dataset[tuple[Tensor, int]], **order: Any) -> Iterator[Batch]:
        device = self._group.device
        draws = generator(self._seed)  # the loader's own, so that it leaves torch's alone
        loader = DataLoader(images, num_workers=self._workers, pin_memory=device.type == "cuda", generator=draws, **order)
        for x, labels in loader:
            yield x.to(device, non_blocking=True), labels.to(device, non_blocking=True)


class _Parts(Sampler[list[tuple[int, int]]]):
    """Batches of images' numbers, each with its place in the epoch; made when they are asked for, since an epoch may be long."""

    def __init__(self, order: Tensor, places: list[Tensor]) -> None:
        self.order, self.places = order, places

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Give one batch after the other."""
        for part in self.places:
            yield list(zip(self.order[part].tolist(), part.tolist(), strict=True))

    def __len__(self) -> int:
        """Count the batches."""
        return len(self.places)


class _Drawn(Dataset[tuple[Tensor, int]]):
    """Images by number and place, changed by a transform that draws from torch's generator."""

    def __init__(self, images: "ImageFolder", transform: Any, seed: tuple[int, ...]) -> None:
        self.images, self.transform, self.seed = images, transform, seed

    def __getitem__(self, which: tuple[int, int]) -> tuple[Tensor, int]:
        """Read an image, and change it by the draws of its place."""
        number, place = which
        image, label = self.images[number]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed(*self.seed, place))
            return self.transform(image), label


def _folder(path: Path) -> "ImageFolder":
    from torchvision.datasets import ImageFolder

    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}")
    return ImageFolder(str(path), loader=_read)


def _read(path: str) -> "Image":
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise ValueError(f"{path} is no image that can be read: {error}") from error


def _digest(*folders: "ImageFolder") -> str:
    """Hash names and sizes: to read a large folder whole would take too long."""
    digest = hashlib.sha256()
    for folder in folders:
        for path, label in folder.samples:
            digest.update(f"{Path(path).relative_to(folder.root)} {label} {Path(path).stat().st_size}\n".encode())
    return digest.hexdigest()


def _augmentation(recipe: Recipe, preprocess: Preprocessing) -> Any:
    """Return the transform of a training image."""
    if recipe.augmentation == "none":
        return preprocess
    from torchvision.transforms import v2

    changes = [v2.RGB(), v2.RandomResizedCrop(recipe.train_size, antialias=True), v2.RandomHorizontalFlip()]
    if recipe.rand_augment:
        changes.append(v2.RandAugment(num_ops=2, magnitude=recipe.rand_augment))
    to_input = [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(preprocess.mean, preprocess.std),
        v2.ToPureTensor(),
    ]
    return v2.Compose([*changes, *to_input])
