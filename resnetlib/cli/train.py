"""`resnetlib train`; some of its functions also serve `resnetlib finetune`."""

import json
import logging
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import click
import torch

from resnetlib.cli.grid import exit_with_grid, train_grid
from resnetlib.cli.options import DEVICE, PATH, READING, Decorator, options
from resnetlib.config import spec_from_dict
from resnetlib.config.integers import MAX_INT
from resnetlib.data import is_cifar10
from resnetlib.disk import read_file
from resnetlib.distributed import is_main_process
from resnetlib.errors import InputError, printable
from resnetlib.models import build, spec_of
from resnetlib.train import Recipe, fit
from resnetlib.train.data import find_train_and_test
from resnetlib.train.recipe import RECIPES, change_recipe, recipe_from_json, recipe_of
from resnetlib.train.run import check_out
from resnetlib.train.trainer import Precision

_FOR_FOLDERS = "he2015_imagenet"

logger = logging.getLogger("resnetlib")


def training_options(recipe: str, changeable: str, *, for_folders: str = "") -> Decorator:
    """Return a decorator that adds the options of the commands that train."""
    return options(
        click.option("--out", required=True, type=PATH, help="Folder to write, or to continue in."),
        click.option(
            "--recipe",
            default=recipe,
            help=f"Recipe: {', '.join(RECIPES)}, or a JSON file.",
            show_default=f"{recipe}, or {for_folders} for a folder of images" if for_folders else True,
        ),
        click.option(
            "--set", "changes", multiple=True, metavar="FIELD=VALUE", help=f"Change a field of {changeable}; may be repeated."
        ),
        click.option("--seed", default=0, type=click.IntRange(0, MAX_INT), help="Seed of all random numbers."),
        DEVICE,
        click.option(
            "--precision",
            default="auto",
            type=click.Choice(get_args(Precision)),
            help="Precision of convolutions and linear layers.",
        ),
        click.option("--compile/--no-compile", "compiled", default=False, help="Compile the network first."),
        click.option(
            "--every", default=0, type=click.IntRange(0), help="Iterations between evaluations.", show_default="one epoch"
        ),
        READING,
    )


def read_recipe(name: str, changes: dict[str, Any]) -> Recipe:
    """Return a recipe by its name or from a JSON file, with changes."""
    if name in RECIPES or not Path(name).exists():
        return recipe_of(name, **changes)
    try:
        return change_recipe(recipe_from_json(read_file(name, 2**20).decode()), **changes)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error


def read_changes(changes: tuple[str, ...]) -> dict[str, Any]:
    """Parse FIELD=VALUE; a value is JSON or, if it is not, text."""
    values: dict[str, Any] = {}
    for change in changes:
        field, equals, text = change.partition("=")
        if not equals:
            raise InputError(f"expected FIELD=VALUE, got {change!r}")
        try:
            values[field] = json.loads(text)
        except ValueError:
            values[field] = text
    return values


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="NAME | --grid models=A,B [seeds=0,1] [FIELD=V,W]...")
@click.option("--grid", is_flag=True, help="Train all combinations of the given values, and print a table.")
@click.option("--data", required=True, type=PATH, help="CIFAR-10's folder, or one with train/ and val/ (or test/).")
@training_options("one_cycle_cifar", "the recipe or of the network's spec", for_folders=_FOR_FOLDERS)
@click.option("--images", default=0, type=click.IntRange(0), help="Use only the first images of CIFAR-10.", show_default="all")
@click.option(
    "--sample",
    default=10_000,
    type=click.IntRange(0),
    help="Images of each set in an evaluation; 0 for all. The last evaluation is on all.",
)
@click.option("--keep", default=2, type=click.IntRange(1), help="Checkpoints to keep.")
@click.option("--jobs", default=1, type=click.IntRange(1), help="Trainings of a grid to run at once.")
def train(
    what: tuple[str, ...],
    grid: bool,
    data: Path,
    out: Path,
    recipe: str,
    changes: tuple[str, ...],
    images: int,
    jobs: int,
    exif: bool,
    **settings: Any,
) -> None:
    """Train the network NAME from scratch, and save it with its log and its curves.

    The same command again continues an interrupted training. `torchrun --nproc-per-node N -m resnetlib train ...` trains on N GPUs.
    """
    if grid:
        train_grid(click.get_current_context(), what, out, jobs)
        return
    if len(what) != 1:
        raise InputError(f"give one network, or --grid and its axes, got {' '.join(what)}")
    if jobs > 1:
        raise InputError(f"--jobs {jobs} is an option of --grid")
    exit_with_grid()
    spec, values = spec_of(what[0]), read_changes(changes)
    in_recipe, in_spec = ([field.name for field in fields(kind)] for kind in (Recipe, spec))
    if unknown := sorted(set(values).difference(in_recipe, in_spec)):
        accepted = f"the recipe has {', '.join(in_recipe)}; the spec has {', '.join(in_spec)}"
        raise InputError(f"neither the recipe nor the spec has {', '.join(unknown)}; {accepted}")
    given = click.get_current_context().get_parameter_source("recipe") is not click.core.ParameterSource.DEFAULT
    if not given and data.is_dir() and not is_cifar10(data):
        recipe = _FOR_FOLDERS
        logger.info("%s is a folder of images: taking the recipe %s (--recipe chooses another)", data, recipe)
    chosen = read_recipe(recipe, {field: value for field, value in values.items() if field not in in_spec})
    spec = spec_from_dict(json.loads(spec.to_json()) | {field: value for field, value in values.items() if field in in_spec})
    check_out(out, data)
    training, test = find_train_and_test(data, images, exif=exif)
    torch.manual_seed(settings["seed"])
    net = build(spec, num_classes=len(training.classes))
    result = fit(net, training, test, chosen, out, **settings)
    if is_main_process():
        errors = f"training error {result.train_error:.2f} %, test error {result.test_error:.2f} %"
        click.echo(f"{errors}, {result.seconds:.0f} s; saved in {printable(out)}")
