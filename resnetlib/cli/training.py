"""What the commands that train share: options, recipes, and images."""

import gc
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resnetlib.disk import read_file

if TYPE_CHECKING:
    from resnetlib.data import LabelledImages
    from resnetlib.train import Recipe

_LARGEST = 2**20
"""The largest recipe file, in bytes."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Say on Ctrl-C how to go on, and end with the status that shells expect."""
    try:
        yield
    except KeyboardInterrupt as error:
        if int(os.environ.get("RANK", "0")) == 0:
            click.echo(f"\n{str(error) or 'interrupted; run the same again to go on'}", err=True)
        gc.freeze()  # to collect what torch leaves at exit can take longer than anybody waits for Ctrl-C
        raise click.exceptions.Exit(130) from error


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says where, with what, and how often measured to a command."""
    options = (
        click.option("--device", default=None, help="Where to compute.  [default: cuda if there is one, else cpu]"),
        click.option("--precision", default="auto", show_default=True, type=click.Choice(["auto", "fp32", "bf16", "fp16"])),
        click.option("--compile/--no-compile", "compiled", default=False, show_default=True, help="Compile the network first."),
        click.option("--every", default=0, type=click.IntRange(0), help="Iterations between measurements.  [default: an epoch's]"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def changes_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the option --set."""
    text = f"Change a field of {what}; may be repeated."
    return click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help=text)


def recipe_option(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the option --recipe."""
    return click.option("--recipe", default=default, show_default=True, help="A recipe's name, or a file of JSON.")


def read_recipe(name: str, changes: dict[str, Any]) -> "Recipe":
    """Find a recipe, and change it.

    Args:
        name: of a recipe, or the path of a file.
        changes: fields and their values.

    Returns:
        The recipe.

    Raises:
        ValueError: for another name, another field, or a value outside what is accepted.
    """
    from resnetlib.train import RECIPES, recipe_from_json, recipe_of
    from resnetlib.train.recipes import changed

    if name in RECIPES or not Path(name).exists():
        return recipe_of(name, **changes)
    try:
        return changed(recipe_from_json(read_file(name, _LARGEST).decode()), **changes)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def read_images(data: Path, images: int) -> tuple["LabelledImages | Path", "LabelledImages | Path", int]:
    """Find the training and the test images in a folder.

    Args:
        data: the folder.
        images: how many of CIFAR-10's training images; 0 for all.

    Returns:
        Training images, test images, and the number of classes.

    Raises:
        ValueError: for a folder of another kind.
    """
    from resnetlib.data import cifar10, is_cifar10

    if is_cifar10(data):
        training = cifar10(data, "train")
        if images:
            training = training.first(images)
        return training, cifar10(data, "test"), len(training.classes)
    if not (data / "train").is_dir() or not (data / "val").is_dir():
        raise ValueError(f"{data} is neither CIFAR-10's folder nor one with the folders train and val")
    if images:
        raise ValueError("--images is for CIFAR-10: of a folder, all images count")
    return data / "train", data / "val", sum(path.is_dir() for path in (data / "train").iterdir())


def pair(text: str) -> tuple[str, str]:
    """Split FIELD=VALUE."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"expected FIELD=VALUE, got {text!r}")
    return name, value


def list_of(text: str) -> list[str]:
    """Split at the commas that are outside brackets."""
    return re.split(r",(?![^\[]*\])", text)


def value_of(text: str) -> Any:
    """Read a value as JSON, or as the text that it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
