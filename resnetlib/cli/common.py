"""What several commands share: their options, loading a network, and reading images."""

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import click
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from resnetlib.config import Normalization, Preprocessing
from resnetlib.data import ImageDataset, LabelledImages, cifar10, find_images, is_cifar10
from resnetlib.distributed import choose_device
from resnetlib.errors import InputError
from resnetlib.models import list_models, spec_of
from resnetlib.modules import Backbone
from resnetlib.weights import tags_of
from resnetlib.weights.catalog import EMBEDDED
from resnetlib.weights.find import CONFIG, names_weights
from resnetlib.zoo import create_model

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Path(click.Path):
    """A path that is not empty, since an unset shell variable would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Reject an empty path."""
        if not os.fspath(value):
            self.fail("the path is empty; the current folder is .", param, ctx)
        return super().convert(value, param, ctx)


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
FOLDER = _Path(path_type=Path, file_okay=False)
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

NETWORK = options(
    click.argument("name"),
    click.option("--weights", metavar="TAG|FILE", help="Tag or file of the weights.", show_default="the first in the package"),
    click.option(
        "--normalize", type=click.Choice(["imagenet", "cifar10"]), help="Mean and deviation, for weights without preprocessing."
    ),
    DEVICE,
)
"""The arguments of `load`."""

IMAGES = options(
    click.option("--data", required=True, type=PATH, help="CIFAR-10's folder, or one with a subfolder of images per class."),
    click.option("--batch", default=250, type=click.IntRange(1, 2**31 - 1), help="Images in a batch."),
)


def embedded_tags(name: str) -> list[str]:
    """Return the tags of a network's weights in the package."""
    return [tag for network, tag in EMBEDDED if network == name]


def load(name: str, weights: str | None, normalize: Normalization | None, device: str | None) -> tuple[Backbone, Preprocessing]:
    """Create a network with pretrained weights and preprocessing; raise ValueError if either is missing or ambiguous."""
    if name not in list_models() and Path(name, CONFIG).is_file():
        name = f"./{name}" if not Path(name).is_absolute() else name  # `create_model` wants a separator in a path
    if weights is None and not names_weights(name):
        spec_of(name)  # an unknown name is an error
        tags = embedded_tags(name)
        if not tags:
            others = ", ".join(f"{name}.{tag}" for tag in tags_of(name)) or "a file"
            raise InputError(f"the package has no weights for {name}: name some ({others}), or give a file with --weights")
        weights = tags[0]
    net = create_model(name, weights=weights, device=choose_device(device))
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


def read_batches(
    net: Backbone, data: Path, batch: int, *, split: Literal["train", "test"] = "test", images: int = 0
) -> tuple[int, Iterable[tuple[Tensor, Tensor]]]:
    """Return the number of images in CIFAR-10 or a folder with a subfolder per class, and preprocessed batches of them.

    With `images`, these are the first ones of CIFAR-10, or evenly spaced ones of a folder.
    """
    preprocess, found = net.preprocess, cifar10(data, split) if is_cifar10(data) else find_images(data)
    assert preprocess is not None  # noqa: S101 - for type checkers
    if len(found.classes) != net.num_classes:
        raise InputError(f"{data} has {len(found.classes)} classes, and the network {net.num_classes} logits")
    count = min(images or len(found), len(found))
    if isinstance(found, LabelledImages):
        pairs = zip(found.images[:count].split(batch), found.labels[:count].split(batch), strict=True)
        return count, ((preprocess(pixels), labels) for pixels, labels in pairs)
    chosen = Subset(ImageDataset(found, preprocess), [i * len(found) // count for i in range(count)])
    return count, DataLoader(chosen, batch)
