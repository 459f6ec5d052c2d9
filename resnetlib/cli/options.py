"""Options and output that several commands share. `resnetlib predict FILE.onnx` uses this module without importing torch."""

import os
import tempfile
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from resnetlib.deploy.onnx_file import is_onnx
from resnetlib.deploy.onnx_model import OnnxModel
from resnetlib.disk import check_writable
from resnetlib.errors import InputError, ResourceError, printable

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Path(click.Path):
    """A path type that rejects an empty path, as of an unset shell variable, and runs a check."""

    def __init__(self, path_type: type = Path, *, check: Callable[[Path], None] | None = None, **accepted: bool) -> None:
        super().__init__(path_type=path_type, **accepted)
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("the path is empty; the current folder is .", param, ctx)
        path: Any = super().convert(value, param, ctx)
        try:
            if self._check is not None:
                self._check(path)
        except (InputError, OSError) as error:
            self.fail(str(error), param, ctx)
        return path


def _check_new_file(path: Path) -> None:
    """Create and delete a file next to a path, as `write_atomically` does."""
    if path.exists() and not path.is_file():
        raise InputError(f"'{path}' is a pipe, a socket or a device, expected a file")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            return
    except OSError as error:
        raise ResourceError(f"'{path}' cannot be written: {error.strerror}") from error


PATH = _Path()
PATTERN = _Path(str)
FOLDER = _Path(check=check_writable, file_okay=False)  # checked before the work starts
NEW_FILE = _Path(check=_check_new_file, dir_okay=False, writable=True)


def options(*decorators: Decorator) -> Decorator:
    """Combine decorators that add options to a command."""
    return lambda command: reduce(lambda decorated, decorator: decorator(decorated), reversed(decorators), command)


DEVICE = click.option("--device", help="Device to compute on.", show_default="cuda if there is one, else cpu")

PRETRAINED = options(
    click.argument("name"),
    click.option(
        "--weights", metavar="TAG|FILE|URL", help="Tag, file or URL of the weights.", show_default="the network's default weights"
    ),
    click.option(
        "--normalize",
        type=click.Choice(["imagenet", "cifar10"]),
        help="Mean and standard deviation, for weights without preprocessing.",
    ),
    click.option("--prefix", help="Prefix of the network's tensors in a file of several networks, such as encoder_q."),
)
NETWORK = options(PRETRAINED, DEVICE)
"""The arguments of `cli.common.load`; `PRETRAINED` leaves out the device."""

RUNTIME = click.option(
    "--runtime",
    type=click.Choice(["onnxruntime", "openvino"]),
    help="Runtime for .onnx files.",
    show_default="openvino if installed",
)

READING = options(
    click.option(
        "--workers", type=click.IntRange(0), help="Workers that read images from folders.", show_default="one per core, up to 8"
    ),
    click.option("--exif/--no-exif", default=True, help="Turn images upright by their EXIF orientation."),
)

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


def open_exported(name: str, runtime: Any, **network: Any) -> OnnxModel | None:
    """Open an .onnx file, or return None for a network; raise ValueError for options of the other kind."""
    if not is_onnx(name):
        if runtime is not None:
            raise InputError(f"--runtime {runtime} is for .onnx files, not for {name}: export it first, or leave out --runtime")
        return None
    if given := [f"--{option}" for option, value in network.items() if value is not None]:
        raise InputError(
            f"{name} is an exported network, which has its own weights and runs on the CPU: leave out {' '.join(given)}"
        )
    return OnnxModel(name, runtime=runtime)


def echo_table(*rows: tuple[str, object]) -> None:
    """Print names and values in two columns, without empty values."""
    for name, value in rows:
        if value not in (None, "", ()):
            click.echo(f"  {name:18} {printable(value, 1000)}")
