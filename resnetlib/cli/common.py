"""Options, and loading a network: the common part of the commands."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from resnetlib.config import Normalization, Preprocessing
from resnetlib.distributed import choose_device
from resnetlib.errors import InputError
from resnetlib.modules import Backbone
from resnetlib.weights.catalog import EMBEDDED
from resnetlib.zoo import create_model


class _Path(click.Path):
    """A path that is not empty: an unset shell variable would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty path."""
        if not os.fspath(value):
            self.fail("the path is empty; the current folder is .", param, ctx)
        return super().convert(value, param, ctx)


class _NewFile(_Path):
    """A file to write; whether that is possible is checked before the work starts."""

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


def weights_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --weights, --normalize and --device to a command."""
    options = (
        click.option("--weights", metavar="TAG|FILE|URL", help="The weights.  [default: the first that `resnetlib info` lists]"),
        click.option(
            "--normalize",
            type=click.Choice(["imagenet", "cifar10"]),
            help="Mean and standard deviation of the colours, for weights without preprocessing.",
        ),
        click.option("--device", default=None, help="Where to compute.  [default: cuda if there is one, else cpu]"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def embedded_tags(name: str) -> list[str]:
    """Return the tags of a network's weights in the package."""
    return [tag for network, tag in EMBEDDED if network == name]


def load(name: str, weights: str | None, normalize: Normalization | None, device: str | None) -> tuple[Backbone, Preprocessing]:
    """Create a network with pretrained weights and preprocessing; raise ValueError if it has none of either, or two."""
    net = create_model(name, weights is None, weights=weights, device=choose_device(device))
    if net.preprocess is not None:
        if normalize is not None:
            raise InputError(f"{weights or name} has its own normalization: leave out --normalize")
        return net, net.preprocess
    if normalize is None:
        raise InputError(f"the normalization of {weights or name} is unknown: add --normalize imagenet or --normalize cifar10")
    net.preprocess = preprocessing_for(net, normalize)
    return net, net.preprocess


def preprocessing_for(net: Backbone, normalize: Normalization | None = None) -> Preprocessing:
    """Return the usual preprocessing for a network's stem: 224 pixels after resizing to 256, or 32 for CIFAR."""
    if net.spec.stem == "imagenet":
        return Preprocessing.named(normalize or "imagenet", resize=256, size=224)
    return Preprocessing.named(normalize or "cifar10", resize=32, size=32)
