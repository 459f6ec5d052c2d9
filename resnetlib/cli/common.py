"""What several commands share: loading a network, and reading images."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

import click
import torch
from torch import Tensor

from resnetlib.config import MEAN_STD, Normalization, Preprocessing, PretrainedConfig
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
from resnetlib.deploy import OnnxModel
from resnetlib.distributed import choose_device
from resnetlib.errors import InputError, naming
from resnetlib.modules import Backbone
from resnetlib.text import printable
from resnetlib.weights.catalog import pretrained_configs
from resnetlib.zoo import create_model


def load(
    name: str, weights: str | None, normalize: Normalization | None, device: str | None, prefix: str | None = None
) -> tuple[Backbone, Preprocessing]:
    """Create a network with pretrained weights and preprocessing; raise ValueError if either is missing or ambiguous."""
    net = create_model(name, weights is None, weights=weights, prefix=prefix, device=choose_device(device))
    if net.preprocess is None:
        if normalize is None:
            raise InputError(f"the normalization of {weights or name} is unknown: add --normalize imagenet or --normalize cifar10")
        net.preprocess = preprocessing_for(net, normalize)
    elif normalize is not None and (net.preprocess.mean, net.preprocess.std) != MEAN_STD[normalize]:
        raise InputError(f"{weights or name} has its own normalization: leave out --normalize")
    return net, net.preprocess


def preprocessing_for(net: Backbone, normalize: Normalization | None = None) -> Preprocessing:
    """Return the usual preprocessing for a network's stem: 224 pixels after resizing to 256, or 32 for CIFAR."""
    if net.spec.stem == "imagenet":
        return Preprocessing.named(normalize or "imagenet", resize=256, size=224)
    return Preprocessing.named(normalize or "cifar10", resize=32, size=32)


def find_labelled(data: Path, split: Literal["train", "test"], *, exif: bool = True) -> LabelledImages | ImageFiles:
    """Find the images to measure on: CIFAR-10's, or those in a folder with a subfolder per class or with val/ or test/."""
    if is_cifar10(data):
        return cifar10(data, split)
    folder, note = evaluation_folder(data, split)
    if note:
        click.echo(note, err=True)
    return find_images(folder, exif=exif)


def label_for(net: Backbone | OnnxModel, found: LabelledImages | ImageFiles, data: Path) -> LabelledImages | ImageFiles:
    """Change the labels of images to those of the network; raise ValueError if the network has no such class."""
    names, count = found.classes, net.num_classes
    if net.classes is not None:
        if isinstance(net, Backbone):
            config: PretrainedConfig | None = net.pretrained_cfg
        else:
            config = pretrained_configs().get(net.metadata["weights"] or "") if net.metadata else None
        ids = config.class_ids if config is not None and config.classes == net.classes else None
        with naming(data):
            labels = match_classes(names, net.classes, ids)
    elif len(names) == count and not all(name.isdecimal() for name in names):
        labels = list(range(count))
    elif all(name.isdecimal() for name in names) and {int(name) for name in names} <= set(range(count)):
        labels = [int(name) for name in names]  # which is not their alphabetical order
    elif len(names) == count:
        raise InputError(
            f"{data} has numbered folders, {names[0]} to {names[-1]}, expected 0 to {count - 1}, the numbers of the logits"
        )
    else:
        raise InputError(
            f"{data} has {len(names)} classes, and the network {count} logits, whose classes the weights do not name: give weights "
            "that name them, such as a tag of `resnetlib weights list`, or number the folders as the logits"
        )
    if len(names) < count:
        click.echo(f"{printable(data)} has images of {len(names)} of the network's {count} classes", err=True)
    classes = net.classes or tuple(map(str, range(count)))
    if isinstance(found, LabelledImages):
        return LabelledImages(found.images, torch.tensor(labels)[found.labels], classes)
    return replace(found, classes=classes, samples=tuple((path, labels[label]) for path, label in found.samples))


def read_batches(
    net: Backbone | OnnxModel,
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
    preprocess = net.preprocess if isinstance(net, Backbone) else net.preprocessing
    if preprocess is None:
        raise InputError(
            "the preprocessing is unknown, since another library exported the network: export it with `resnetlib export`"
        )
    found = label_for(net, find_labelled(data, split, exif=exif), data)
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
