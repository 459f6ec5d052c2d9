"""What several commands share: their options, loading a network, and reading images."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import click
import torch
from torch import Tensor

from resnetlib.config import Normalization, Preprocessing
from resnetlib.data import (
    ImageDataset,
    ImageFiles,
    LabelledImages,
    cifar10,
    evaluation_folder,
    find_images,
    is_cifar10,
    match_classes,
    read_ahead,
)
from resnetlib.disk import check_writable
from resnetlib.distributed import choose_device
from resnetlib.errors import InputError
from resnetlib.modules import Backbone
from resnetlib.text import printable
from resnetlib.weights.catalog import EMBEDDED
from resnetlib.zoo import create_model

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Path(click.Path):
    """A path that is not empty, since an unset shell variable would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Reject an empty path."""
        if not os.fspath(value):
            self.fail("the path is empty; the current folder is .", param, ctx)
        return super().convert(value, param, ctx)


class _Folder(_Path):
    """A folder to write to; that it can be written is checked before the work starts."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check that files can be written to the folder, or to where it would be created."""
        path = super().convert(value, param, ctx)
        try:
            check_writable(path)
        except OSError as error:
            self.fail(str(error), param, ctx)
        return path


class _NewFile(_Path):
    """A file to write; that it can be written is checked before the work starts."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Create and delete a file next to it, as `write_atomically` will."""
        path = super().convert(value, param, ctx)
        if path.exists() and not path.is_file():
            self.fail(f"{value!r} is a pipe, a socket or a device, expected a file", param, ctx)
        try:
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
                return path
        except OSError as error:
            self.fail(f"{value!r} cannot be written: {error.strerror}", param, ctx)


PATH = _Path(path_type=Path)
FOLDER = _Folder(path_type=Path, file_okay=False)
NEW_FILE = _NewFile(path_type=Path, dir_okay=False, writable=True)
PATTERN = _Path(path_type=str)


def options(*decorators: Decorator) -> Decorator:
    """Combine decorators that add options to a command."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


DEVICE = click.option("--device", help="Device to compute on.", show_default="cuda if there is one, else cpu")

PRETRAINED = options(
    click.argument("name"),
    click.option(
        "--weights", metavar="TAG|FILE|URL", help="Tag, file or URL of the weights.", show_default="the first that info lists"
    ),
    click.option(
        "--normalize", type=click.Choice(["imagenet", "cifar10"]), help="Mean and deviation, for weights without preprocessing."
    ),
)
"""The arguments of `load`, without the device."""

NETWORK = options(PRETRAINED, DEVICE)
"""The arguments of `load`."""

READING = options(
    click.option(
        "--workers", type=click.IntRange(0), help="Workers that read images from folders.", show_default="one per core, up to 8"
    ),
    click.option("--exif/--no-exif", default=True, help="Turn images upright by their EXIF orientation."),
)
"""How images are read."""

IMAGES = options(
    click.option(
        "--data",
        required=True,
        type=PATH,
        help="CIFAR-10's folder, or one with a subfolder of images per class, by itself or in val/ or test/.",
    ),
    click.option("--batch", default=250, type=click.IntRange(1, 2**31 - 1), help="Images in a batch."),
    READING,
)


def embedded_tags(name: str) -> list[str]:
    """Return the tags of a network's weights in the package."""
    return [tag for network, tag in EMBEDDED if network == name]


def load(name: str, weights: str | None, normalize: Normalization | None, device: str | None) -> tuple[Backbone, Preprocessing]:
    """Create a network with pretrained weights and preprocessing; raise ValueError if either is missing or ambiguous."""
    net = create_model(name, weights is None, weights=weights, device=choose_device(device))
    if net.preprocess is None:
        if normalize is None:
            raise InputError(f"the normalization of {weights or name} is unknown: add --normalize imagenet or --normalize cifar10")
        net.preprocess = preprocessing_for(net, normalize)
    elif normalize is not None:
        raise InputError(f"{weights or name} has its own normalization: leave out --normalize")
    return net, net.preprocess


def preprocessing_for(net: Backbone, normalize: Normalization | None = None) -> Preprocessing:
    """Return the usual preprocessing for a network's stem: 224 pixels after resizing to 256, or 32 for CIFAR."""
    if net.spec.stem == "imagenet":
        return Preprocessing.named(normalize or "imagenet", resize=256, size=224)
    return Preprocessing.named(normalize or "cifar10", resize=32, size=32)


def find_labelled(data: Path, split: Literal["train", "test"], *, exif: bool = True) -> LabelledImages | ImageFiles:
    """Find the images to measure on: CIFAR-10's, or those in a folder with a subfolder per class, or in its val/ or test/."""
    if is_cifar10(data):
        return cifar10(data, split)
    folder, note = evaluation_folder(data, split)
    if note:
        click.echo(note, err=True)
    return find_images(folder, exif=exif)


def label_for(net: Backbone, found: LabelledImages | ImageFiles, data: Path) -> LabelledImages | ImageFiles:
    """Give images the labels of the network's classes, by their names; raise ValueError if it does not know one of them."""
    names, count = found.classes, net.num_classes
    if net.classes is not None:
        config = net.pretrained_cfg
        ids = config.class_ids if config.classes == net.classes else None
        try:
            labels = match_classes(names, net.classes, ids)
        except InputError as error:
            raise InputError(f"{data}: {error}") from error
    elif len(names) == count and not all(name.isdecimal() for name in names):
        labels = list(range(count))
    elif set(names) <= set(map(str, range(count))):  # numbered folders, which are not in the order of their numbers
        labels = [int(name) for name in names]
    else:
        raise InputError(f"{data} has {len(names)} classes, and the network {count} logits")
    if len(names) < count:
        click.echo(f"{printable(data)} has images of {len(names)} of the network's {count} classes", err=True)
    classes = net.classes or tuple(map(str, range(count)))
    if isinstance(found, LabelledImages):
        return LabelledImages(found.images, torch.tensor(labels)[found.labels], classes)
    return replace(found, classes=classes, samples=tuple((path, labels[label]) for path, label in found.samples))


def read_batches(
    net: Backbone,
    data: Path,
    batch: int,
    *,
    split: Literal["train", "test"] = "test",
    images: int = 0,
    workers: int | None = None,
    exif: bool = True,
) -> tuple[int, Iterable[tuple[Tensor, Tensor]]]:
    """Return the number of images in CIFAR-10 or a folder with a subfolder per class, and preprocessed batches of them.

    With `images`, these are the first ones of CIFAR-10, or evenly spaced ones of a folder.
    """
    preprocess, found = net.preprocess, label_for(net, find_labelled(data, split, exif=exif), data)
    assert preprocess is not None  # noqa: S101 - for type checkers
    count = min(images or len(found), len(found))
    if isinstance(found, LabelledImages):
        pairs = zip(found.images[:count].split(batch), found.labels[:count].split(batch), strict=True)
        return count, ((preprocess(pixels), labels) for pixels, labels in pairs)
    dataset, chosen = ImageDataset(found, preprocess), [i * len(found) // count for i in range(count)]

    def read() -> Iterator[tuple[Tensor, Tensor]]:
        samples = read_ahead(dataset.__getitem__, chosen, workers)
        while pairs := list(islice(samples, batch)):
            yield torch.stack([x for x, _ in pairs]), torch.tensor([label for _, label in pairs])

    return count, read()
