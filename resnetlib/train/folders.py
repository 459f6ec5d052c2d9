"""Batches from folders of images, such as ImageNet's, read by worker processes."""

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, Subset, default_collate

from resnetlib.data import ImageDataset, ImageFiles, check_same_classes, find_images, read_image
from resnetlib.distributed import Processes
from resnetlib.train.draws import generator, mixed
from resnetlib.train.feed import CROPS, ORDER, Batch, Split, spread
from resnetlib.train.interrupts import check, held
from resnetlib.train.recipe import Recipe
from resnetlib.weights import Preprocessing

_AT_ONCE = 100
"""Images in a batch that is only measured."""


class FolderFeed:
    """Images in a folder for each class, cropped, resized, flipped and perhaps changed further by worker processes.

    An image's draws depend on the seed, the epoch and its place there: not on which process happens to read it.

    Args:
        train: a folder with a folder of training images for each class, or the images found in one.
        test: the same with test images.
        recipe: its batch, augmentation and sizes.
        seed: of order and augmentation.
        processes: this process, and its device.
        preprocess: what makes an image an input, whose size is then that of training crops too; None for ImageNet's colours and the
            recipe's sizes.
        workers: processes that read; None for one on each core, at most 8.

    Raises:
        ValueError: for another augmentation, or folders whose classes differ.
        FileNotFoundError: for a folder without classes, or a class without images.
    """

    def __init__(
        self,
        train: Path | ImageFiles,
        test: Path | ImageFiles,
        recipe: Recipe,
        *,
        seed: int,
        processes: Processes,
        preprocess: Preprocessing | None = None,
        workers: int | None = None,
    ) -> None:
        if recipe.augmentation == "pad_crop_flip":
            raise ValueError("folders of images are augmented by 'resized_crop_flip' or 'none', not by 'pad_crop_flip'")
        if preprocess is not None and preprocess.channels not in (1, 3):
            raise ValueError(f"images in folders have 1 or 3 channels, and the preprocessing is for {preprocess.channels}")
        size = recipe.train_size if preprocess is None else preprocess.size
        self.preprocess = preprocess or Preprocessing.named("imagenet", resize=recipe.test_resize, size=recipe.test_size)
        self._train, self._test = (each if isinstance(each, ImageFiles) else find_images(each) for each in (train, test))
        check_same_classes(self._train, self._test)
        self.classes = self._train.classes
        self._augmentation = _augmentation(recipe, self.preprocess, size)
        self.digest = _digest(self._train, self._test)
        self._recipe, self._seed, self._processes = recipe, seed, processes
        self._workers = min(8, _cores()) if workers is None else workers
        self._context = _server() if processes.world_size > 1 and self._workers else None

    def __len__(self) -> int:
        """Count the training images."""
        return len(self._train)

    def batches(self, epoch: int, first: int) -> Generator[Batch, None, None]:
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
        mine = [part[self._processes.rank :: self._processes.world_size] for part in places]
        drawn = _Drawn(self._train, self._augmentation, (self._seed, CROPS, epoch))
        return self._load(drawn, batch_sampler=_Parts(order, mine))

    def plain(self, split: Split, images: int) -> Generator[Batch, None, None]:
        """Give this process's part of images without augmentation.

        Args:
            split: of which set.
            images: how many in all processes, evenly spread over the set; 0 for all.

        Returns:
            The batches.
        """
        files = self._train if split == "train" else self._test
        chosen = spread(images, len(files))[self._processes.rank :: self._processes.world_size]
        return self._load(Subset(ImageDataset(files, self.preprocess), chosen), batch_size=_AT_ONCE)

    def _load(self, images: Dataset[tuple[Tensor, int]], **order: Any) -> Generator[Batch, None, None]:
        device = self._processes.device
        draws = generator(self._seed)  # the loader's own, so that it leaves torch's alone
        stop = torch.zeros(1, dtype=torch.bool).share_memory_()
        loader = DataLoader(
            _Reader(images, stop),
            collate_fn=_together,
            worker_init_fn=_begin_reader,
            num_workers=self._workers,
            pin_memory=device.type == "cuda",
            generator=draws,
            multiprocessing_context=self._context,
            **order,
        )
        with held():
            batches = iter(loader)
        try:
            check()
            for batch in batches:
                if isinstance(batch, str):
                    raise ValueError(batch)
                x, labels = batch
                yield x.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        finally:
            stop.fill_(True)
            with held():  # not left to `__del__`, which a traceback puts off, and which swallows Ctrl-C
                getattr(batches, "_shutdown_workers", lambda: None)()


class _Reader(Dataset[Any]):
    """Batches of images, or what is wrong with one of them: a loader would send a traceback."""

    def __init__(self, images: Dataset[tuple[Tensor, int]], stop: Tensor) -> None:
        self.images, self.stop = images, stop

    def __getitems__(self, which: list[Any]) -> list[tuple[Tensor, int]] | str:
        """Read a batch, unless nobody waits for it any more."""
        batch: list[tuple[Tensor, int]] = []
        for each in which:
            if self.stop.item():
                return "stopped"
            try:
                batch.append(self.images[each])
            except (ValueError, OSError) as error:
                return str(error)
        return batch

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)  # type: ignore[arg-type]


def _together(batch: list[tuple[Tensor, int]] | str) -> Any:
    return batch if isinstance(batch, str) else default_collate(batch)


def _begin_reader(number: int) -> None:
    """Leave Ctrl-C to the process that trains, and end when that ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


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

    def __init__(self, files: ImageFiles, transform: Any, seed: tuple[int, ...]) -> None:
        self.files, self.transform, self.seed = files, transform, seed

    def __len__(self) -> int:
        """Count the images."""
        return len(self.files)

    def __getitem__(self, which: tuple[int, int]) -> tuple[Tensor, int]:
        """Read an image, and change it by the draws of its place."""
        number, place = which
        path, label = self.files.samples[number]
        image = read_image(self.files.root / path)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed(*self.seed, place))
            return self.transform(image), label


def _cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _server() -> BaseContext:
    """Return the context in which a process that did not join the group starts workers: gloo's and nccl's threads bear no fork."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "torchvision.transforms.v2", "PIL.Image"])
    return context


def _digest(*folders: ImageFiles) -> str:
    """Hash names and sizes, and contents where all were read already: to read a large folder for this would take too long."""
    digest = hashlib.sha256()
    for files in folders:
        digest.update(files.digest.encode())
        for path, label in files.samples:
            digest.update(os.fsencode(path) + f" {label} {(files.root / path).stat().st_size}\n".encode())
    return digest.hexdigest()


def _augmentation(recipe: Recipe, preprocess: Preprocessing, size: int) -> Any:
    """Return the transform of a training image."""
    if recipe.augmentation == "none":
        return preprocess
    from torchvision.transforms import v2

    colours = v2.Grayscale() if preprocess.channels == 1 else v2.RGB()
    how = v2.InterpolationMode(preprocess.interpolation)
    crop = v2.RandomResizedCrop(size, scale=(recipe.smallest_crop, 1.0), interpolation=how, antialias=True)
    changes = [colours, crop, v2.RandomHorizontalFlip()]
    if recipe.rand_augment:
        changes.append(v2.RandAugment(num_ops=2, magnitude=recipe.rand_augment))
    to_input = [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(preprocess.mean, preprocess.std),
        v2.ToPureTensor(),
    ]
    return v2.Compose([*changes, *to_input])
