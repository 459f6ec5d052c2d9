"""Options that several commands share. This module and `resnetlib predict FILE.onnx`, which uses it, do not import torch."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from resnetlib.deploy.onnx_model import OnnxModel
from resnetlib.disk import check_writable
from resnetlib.errors import InputError

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Path(click.Path):
    """A path that is not empty, since an unset shell variable would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Reject an empty path."""
        if not os.fspath(value):
            self.fail("the path is empty; the current folder is .", param, ctx)
        return super().convert(value, param, ctx)


class _Folder(_Path):
    """An output folder, checked to be writable before the work starts."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check that files can be written to the folder, or to where it would be created."""
        path = super().convert(value, param, ctx)
        try:
            check_writable(path)
        except OSError as error:
            self.fail(str(error), param, ctx)
        return path


class _NewFile(_Path):
    """An output file, checked to be writable before the work starts."""

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
    click.option("--prefix", help="Prefix of the network's tensors in a file of several networks, such as encoder_q."),
)
"""The arguments of `load`, without the device."""

NETWORK = options(PRETRAINED, DEVICE)
"""The arguments of `load`."""

RUNTIME = click.option(
    "--runtime",
    type=click.Choice(["onnxruntime", "openvino"]),
    help="What runs an .onnx file.",
    show_default="openvino if installed",
)

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


def open_exported(path: str, runtime: Any, **network: Any) -> OnnxModel:
    """Open an .onnx file; raise ValueError if there are options for networks."""
    if given := [f"--{option.replace('_', '-')}" for option, value in network.items() if value is not None]:
        raise InputError(
            f"{path} is an exported network, which has its own weights and runs on the CPU: leave out {' '.join(given)}"
        )
    return OnnxModel(path, runtime=runtime)


def check_no_runtime(runtime: str | None, name: str) -> None:
    """Raise ValueError if a runtime is given for a network that torch runs."""
    if runtime is not None:
        raise InputError(f"--runtime {runtime} is for .onnx files, and {name} is none: export it first, or leave out --runtime")
