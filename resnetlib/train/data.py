"""Load batches of training images from memory or from folders.

The order, the crops and all other random numbers depend only on the seed, the epoch and the position in it. A training can
therefore continue at any iteration, and the augmented images do not depend on the number of worker processes or GPUs.
"""

import gc
import hashlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from resnetlib.config import Preprocessing
from resnetlib.config.pretrained import preprocessing_for
from resnetlib.data import (
    ImageDataset,
    ImageFiles,
    LabeledImages,
    check_same_classes,
    cifar10,
    crop_flip,
    draw_crops,
    find_images,
    is_cifar10,
    training_folders,
)
from resnetlib.distributed import Processes, is_main_process
from resnetlib.errors import InputError, InputTypeError, MissingFileError
from resnetlib.images import count_workers, evenly_spaced
from resnetlib.modules.hashes import hash_tensors
from resnetlib.train.interrupts import check_interrupt, defer_interrupts
from resnetlib.train.recipe import Recipe

Split = Literal["train", "test"]

Batch = tuple[Tensor, Tensor]
"""Preprocessed inputs `(N, C, H, W)` and labels `(N,)` on the device."""

Images = LabeledImages | ImageFiles | str | Path
"""Images in memory, or in a folder with a subfolder per class."""

SHARED_MEMORY = (
    "the processes that read images ran out of memory or of shared memory (/dev/shm, of which a container has 64 MB): read without "
    "them (--workers 0, or workers=0), or give the container more (docker run --shm-size=2g)"
)

logger = logging.getLogger("resnetlib")

ORDER, CROPS, STEP = range(3)  # uses of random numbers, each with its own generators


def derive_seed(*numbers: int) -> int:
    """Hash nonnegative numbers to a 32-bit seed, so that consecutive numbers give unrelated random numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def derived_generator(*numbers: int) -> torch.Generator:
    """Return a CPU generator seeded by `derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(*numbers))


class MemoryLoader:
    """Loads images that stay on the device as uint8, and are cropped and flipped there."""

    eval_batch_size = 500

    def __init__(
        self,
        train: LabeledImages,
        test: LabeledImages,
        recipe: Recipe,
        seed: int,
        processes: Processes,
        preprocess: Preprocessing | None = None,
    ) -> None:
        if recipe.augmentation == "resized_crop_flip":
            raise InputError("images in memory are augmented by 'pad_crop_flip' or 'none'; the others are for folders of images")
        if train.images.shape[1:] != test.images.shape[1:]:
            got = " and ".join(str(tuple(each.images.shape[1:])) for each in (train, test))
            raise InputError(f"training and test images must be of one size, got {got}")
        if train.classes != test.classes:
            apart = ", ".join(sorted(set(train.classes) ^ set(test.classes)))
            how = f"; only one of them has {apart}" if apart else " in the same order"
            raise InputError(f"training and test images must have the same classes{how}")
        if not len(train) or not len(test):
            raise InputError(f"there are {len(train)} training images and {len(test)} test images: give some of each")
        parts = {"train": train, "test": test}
        self.digest = hash_tensors(
            {f"{name} {what}": getattr(part, what) for name, part in parts.items() for what in ("images", "labels")}
        )
        self.classes = train.classes
        self.checked: list[dict[str, Any]] = []
        channels, height, width = train.images.shape[1:]
        if height != width:
            raise InputError(f"images must be square, got {height} x {width} pixels")
        if preprocess is not None and preprocess.channels != channels:
            raise InputError(f"images have {channels} channels, but the preprocessing is for {preprocess.channels}")
        self.preprocess = replace(preprocess or measure_preprocessing(train.images), resize=height, size=height)
        device = processes.device
        self._train, self._test = ((each.images.to(device), each.labels.to(device)) for each in (train, test))
        self._recipe, self._seed, self._processes = recipe, seed, processes
        statistics = (self.preprocess.mean, self.preprocess.std)
        self._mean, self._std = (torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1) for values in statistics)

    def __len__(self) -> int:
        return len(self._train[1])

    def train_batches(self, epoch: int, first: int) -> Generator[Batch, None, None]:
        """Yield this process's part of each augmented batch of an epoch, from the batch `first` on."""
        (images, labels), recipe, world = self._train, self._recipe, self._processes.world_size
        count, size = recipe.steps_per_epoch(len(self)) * recipe.batch_size, recipe.batch_size // world
        order = torch.randperm(len(self), generator=derived_generator(self._seed, ORDER, epoch))[:count]
        crops = draw_crops(count, pad=recipe.pad, generator=derived_generator(self._seed, CROPS, epoch))
        order, crops = (drawn[self._processes.rank :: world].to(images.device) for drawn in (order, crops))
        for index, crop in islice(zip(order.split(size), crops.split(size), strict=True), first, None):
            pixels = images[index]
            if recipe.augmentation == "pad_crop_flip":
                pixels = crop_flip(pixels, crop, pad=recipe.pad)
            yield self._normalize(pixels), labels[index]

    def eval_batches(self, split: Split, images: int) -> Generator[Batch, None, None]:
        """Yield this process's part of `images` images without augmentation, spread over the split; 0 for all."""
        pixels, labels = self._train if split == "train" else self._test
        chosen = evenly_spaced(images, len(labels))[self._processes.rank :: self._processes.world_size]
        for index in torch.tensor(chosen, dtype=torch.int64, device=labels.device).split(self.eval_batch_size):
            yield self._normalize(pixels[index]), labels[index]

    def _normalize(self, pixels: Tensor) -> Tensor:
        """Apply `preprocess` with constants on the device: copying them for each batch would stall a GPU."""
        return (pixels.to(torch.float32) / 255 - self._mean) / self._std


def measure_preprocessing(images: Tensor) -> Preprocessing:
    """Return the preprocessing that normalizes square uint8 images by the mean and standard deviation of each channel."""
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.transpose(0, 1)]).double()
    shades = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    mean = counts @ shades / counts.sum(1)
    std = (counts @ shades**2 / counts.sum(1) - mean**2).sqrt()
    if not bool((std > 0.00005).all()):
        raise InputError(f"a channel has the same value in all pixels: standard deviations {std.tolist()}")
    rounded = [tuple(round(value, 4) for value in values.tolist()) for values in (mean, std)]
    return Preprocessing(resize=images.shape[-1], size=images.shape[-1], mean=rounded[0], std=rounded[1])


def preprocess_for_folders(recipe: Recipe, preprocess: Preprocessing) -> Preprocessing:
    """Return the preprocessing with the recipe's sizes; raise ValueError if they do not suit folders."""
    if recipe.augmentation == "pad_crop_flip":
        raise InputError(
            "folders of images are augmented by 'resized_crop_flip' or 'none', not by 'pad_crop_flip': choose a recipe for "
            "folders, such as he2015_imagenet, or set augmentation='resized_crop_flip'"
        )
    if preprocess.channels not in (1, 3):
        raise InputError(f"images in folders have 1 or 3 channels, but the preprocessing is for {preprocess.channels}")
    resize, size = recipe.test_resize or preprocess.resize, recipe.test_size or preprocess.size
    if resize < size:
        theirs = f"{preprocess.resize} and {preprocess.size}"
        raise InputError(f"test_resize must be at least test_size, got {resize} and {size}; without them, they are {theirs}")
    return replace(preprocess, resize=resize, size=size)


def check_recipe(recipe: Recipe, train: object) -> None:
    """Raise ValueError if the training images are in a folder, and the recipe is not for folders."""
    if isinstance(train, ImageFiles):
        preprocess_for_folders(recipe, preprocessing_for("cifar"))


class FolderLoader:
    """Loads images from folders with a subfolder per class; worker processes read and augment them."""

    eval_batch_size = 100

    def __init__(
        self,
        train: ImageFiles,
        test: ImageFiles,
        recipe: Recipe,
        seed: int,
        processes: Processes,
        preprocess: Preprocessing | None = None,
        workers: int | None = None,
    ) -> None:
        preprocess = preprocess or preprocessing_for("imagenet")
        self.preprocess = preprocess_for_folders(recipe, preprocess)
        check_same_classes(train, test)
        self._train, self._test = train, test
        self._recipe, self._seed, self._processes = recipe, seed, processes
        self.classes = train.classes
        self.checked = [files.check_result for files in (train, test) if files.stamp]
        self.augmentation = _augmentation(recipe, self.preprocess, recipe.train_size or preprocess.size)
        self.digest = _hash_files(train, test)
        may_start = not multiprocessing.current_process().daemon  # the processes of a pool may not start others
        self._workers = count_workers(workers) if may_start else 0
        self._context = _forkserver() if processes.world_size > 1 and self._workers else None

    def __len__(self) -> int:
        return len(self._train)

    def train_batches(self, epoch: int, first: int) -> Generator[Batch, None, None]:
        """Yield this process's part of each augmented batch of an epoch, from the batch `first` on."""
        rank, world, size = self._processes.rank, self._processes.world_size, self._recipe.batch_size
        count = self._recipe.steps_per_epoch(len(self)) * size
        order = torch.randperm(len(self), generator=derived_generator(self._seed, ORDER, epoch))[:count]
        parts = (slice(start + rank, start + size, world) for start in range(first * size, count, size))
        batches = (list(zip(order[part].tolist(), range(count)[part], strict=True)) for part in parts)
        return self._load(self._train, self.augmentation, batches, seed=(self._seed, CROPS, epoch))

    def eval_batches(self, split: Split, images: int) -> Generator[Batch, None, None]:
        """Yield this process's part of `images` images without augmentation, spread over the split; 0 for all."""
        files, size = self._train if split == "train" else self._test, self.eval_batch_size
        chosen = [(number, 0) for number in evenly_spaced(images, len(files))[self._processes.rank :: self._processes.world_size]]
        return self._load(files, self.preprocess, (chosen[i : i + size] for i in range(0, len(chosen), size)))

    def _load(
        self, files: ImageFiles, transform: Any, batches: Iterable[list[tuple[int, int]]], seed: tuple[int, ...] | None = None
    ) -> Generator[Batch, None, None]:
        device = self._processes.device
        stop = torch.zeros(1, dtype=torch.bool)
        if self._workers:
            try:
                stop.share_memory_()
            except RuntimeError as error:
                raise InputError(f"{SHARED_MEMORY}: {str(error).splitlines()[0]}") from error
        loader = DataLoader(
            _ImageReader(ImageDataset(files, transform), seed, stop),
            batch_size=None,  # the reader returns batches
            sampler=batches,
            worker_init_fn=_start_worker,
            num_workers=self._workers,
            pin_memory=device.type == "cuda",
            generator=derived_generator(self._seed),  # or the loader would draw from torch's
            multiprocessing_context=self._context,
        )
        with defer_interrupts(), _no_collection():
            loaded = iter(loader)
        try:
            check_interrupt()
            for batch in loaded:
                if isinstance(batch, str):
                    advice = "" if batch.startswith(SHARED_MEMORY) else ". The images must stay until the training ends"
                    raise InputError(f"{batch}{advice}")
                x, labels = batch
                yield x.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        finally:
            stop.fill_(True)
            with defer_interrupts():  # `__del__` would come later, after a traceback is gone, and discard Ctrl-C
                getattr(loaded, "_shutdown_workers", lambda: None)()


class _ImageReader(Dataset[Any]):
    """Reads batches of (image number, position in the epoch); the position seeds the transform."""

    def __init__(self, images: ImageDataset, seed: tuple[int, ...] | None, stop: Tensor) -> None:
        self.images, self.seed, self.stop = images, seed, stop

    def __getitem__(self, items: list[tuple[int, int]]) -> Any:
        """Read a batch, or return an error as text, since a DataLoader would raise it with the worker's traceback."""
        batch = []
        for number, place in items:
            if self.stop.item():
                return "stopped"
            try:
                with torch.random.fork_rng(devices=[]):
                    if self.seed is not None:
                        torch.manual_seed(derive_seed(*self.seed, place))
                    batch.append(self.images[number])
            except (ValueError, OSError) as error:
                return str(error)
        try:
            collated = default_collate(batch)
            if get_worker_info() is not None:  # share here: an error in the thread that sends the batch would be lost
                collated = [tensor.share_memory_() for tensor in collated]
            return collated
        except RuntimeError as error:
            if get_worker_info() is None:
                raise
            return f"{SHARED_MEMORY}: {str(error).splitlines()[0]}"


@contextmanager
def _no_collection() -> Iterator[None]:
    """Disable the garbage collector; forked workers enable it again in `_start_worker`."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _start_worker(number: int) -> None:
    """Leave Ctrl-C and inherited objects to the main process, and exit when it ends, even if it is killed.

    Destroying what has threads in the main process, such as a session of onnxruntime, would wait for them forever.
    """
    gc.freeze()
    gc.enable()

    def exit_with_parent() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=exit_with_parent, daemon=True).start()


def _forkserver() -> BaseContext:
    """Return a context that starts workers without forking a process that has threads of Gloo or NCCL."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "torchvision.transforms.v2", "PIL.Image"])
    return context


def _hash_files(*folders: ImageFiles) -> str:
    """Hash the names and sizes of files, and their contents if `verify_images` has read them."""
    digest = hashlib.sha256()
    for files in folders:
        digest.update(files.digest.encode() if files.exif else f"{files.digest} without EXIF orientation".encode())
        for path, label in files.samples:
            digest.update(os.fsencode(path) + f" {label} {(files.root / path).stat().st_size}\n".encode())
    return digest.hexdigest()


def _augmentation(recipe: Recipe, preprocess: Preprocessing, size: int) -> Any:
    if recipe.augmentation == "none":
        return preprocess
    from torchvision.transforms import v2

    interpolation = v2.InterpolationMode(preprocess.interpolation)
    return v2.Compose(
        [
            v2.Grayscale() if preprocess.channels == 1 else v2.RGB(),
            v2.RandomResizedCrop(size, scale=(recipe.smallest_crop, 1.0), interpolation=interpolation, antialias=True),
            v2.RandomHorizontalFlip(),
            *([v2.RandAugment(num_ops=2, magnitude=recipe.rand_augment)] if recipe.rand_augment else []),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(preprocess.mean, preprocess.std),
            v2.ToPureTensor(),
        ]
    )


Loader = MemoryLoader | FolderLoader


def make_loader(
    train: Images,
    test: Images,
    recipe: Recipe,
    seed: int,
    processes: Processes,
    preprocess: Preprocessing | None = None,
    workers: int | None = None,
) -> Loader:
    """Return the loader for images in memory, or for those that `find_images` found in folders."""
    if recipe.batch_size % processes.world_size:
        raise InputError(f"a batch of {recipe.batch_size} cannot be shared equally among {processes.world_size} processes")
    if isinstance(train, LabeledImages) and isinstance(test, LabeledImages):
        return MemoryLoader(train, test, recipe, seed, processes, preprocess)
    if isinstance(train, ImageFiles) and isinstance(test, ImageFiles):
        return FolderLoader(train, test, recipe, seed, processes, preprocess, workers)
    kinds = f"{type(train).__name__}, {type(test).__name__}"
    if isinstance(train, LabeledImages) or isinstance(test, LabeledImages):
        raise InputTypeError(f"train and test must both be in memory or both in folders, got {kinds}")
    raise InputTypeError(f"images must be LabeledImages, ImageFiles or the path of a folder, got {kinds}")


def find_train_and_test(
    data: Path, images: int = 0, *, exif: bool = True
) -> tuple[LabeledImages, LabeledImages] | tuple[ImageFiles, ImageFiles]:
    """Return the training and test images of CIFAR-10 or of a folder with `train/` and `val/` or `test/`."""
    if is_cifar10(data):
        train = cifar10(data, "train")
        return train.first(images) if images else train, cifar10(data, "test")
    if not data.is_dir():
        raise MissingFileError(f"there is no folder {data}")
    folders, note = training_folders(data)
    if len(folders) < 2:
        raise InputError(f"{data} is neither CIFAR-10's folder nor one with the folders train and val")
    if images:
        raise InputError(f"images is an option for CIFAR-10 only, got {images}: all images of {data} are used")
    if note and is_main_process():
        logger.warning(note)
    return find_images(folders[0], exif=exif), find_images(folders[1], exif=exif)
