"""`resnetlib train`: training by a recipe, one network or a grid of them."""

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resnetlib.cli.common import PATH
from resnetlib.cli.training import (
    changes_option,
    interruptible,
    list_of,
    pair,
    read_images,
    read_recipe,
    recipe_option,
    training_options,
    value_of,
)

if TYPE_CHECKING:
    from resnetlib.train.step import Precision


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="NAME | --grid models=A,B [seeds=0,1] [FIELD=V,W]...")
@click.option("--grid", is_flag=True, help="Train every combination of the values given, and show one table.")
@click.option("--data", required=True, type=PATH, help="CIFAR-10's folder, or one with train/ and val/.")
@click.option("--out", required=True, type=PATH, help="The folder to fill, or to go on in.")
@recipe_option("one_cycle_cifar")
@changes_option("the recipe or of the network's spec")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32), help="Of the first weights, and of all draws.")
@click.option("--images", default=0, type=click.IntRange(0), help="Train on the first so many of CIFAR-10.  [default: all]")
@training_options
@click.option(
    "--sample", default=10_000, show_default=True, type=click.IntRange(0), help="Images measured of either set; 0 for all."
)
@click.option("--keep", default=2, show_default=True, type=click.IntRange(1), help="Checkpoints to keep.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Trainings of a grid at once.")
@click.pass_context
@interruptible()
def train(
    context: click.Context,
    what: tuple[str, ...],
    grid: bool,
    data: Path,
    out: Path,
    recipe: str,
    changes: tuple[str, ...],
    seed: int,
    images: int,
    device: str | None,
    precision: "Precision",
    compiled: bool,
    every: int,
    sample: int,
    keep: int,
    jobs: int,
) -> None:
    """Train the network NAME, with weights drawn at random, and save it with its log and its curves.

    The same command again goes on where the last one was stopped. `torchrun --nproc-per-node N -m resnetlib train ...` trains on
    N GPUs.
    """
    if grid:
        train_grid(context, what, out, jobs)
        return
    if len(what) != 1:
        raise ValueError(f"give one network, or --grid and its axes, got {' '.join(what)}")
    import torch

    from resnetlib.config import spec_from_dict
    from resnetlib.distributed import is_main_process
    from resnetlib.models import build, spec_of
    from resnetlib.train import Recipe, fit
    from resnetlib.train.grid import follow_grid

    follow_grid()
    spec = spec_of(what[0])
    ours = {field.name for field in fields(spec)}
    values = {field: value_of(text) for field, text in map(pair, changes)}
    if unknown := sorted(set(values) - ours - {field.name for field in fields(Recipe)}):
        recipes, specs = (", ".join(field.name for field in fields(kind)) for kind in (Recipe, spec))
        raise ValueError(f"no recipe and no spec has {', '.join(unknown)}; the recipe has {recipes}; the spec has {specs}")
    chosen = read_recipe(recipe, {field: value for field, value in values.items() if field not in ours})
    spec = spec_from_dict(json.loads(spec.to_json()) | {field: value for field, value in values.items() if field in ours})
    training, test, classes = read_images(data, images)
    torch.manual_seed(seed)
    net = build(spec, num_classes=classes)
    result = fit(
        net,
        training,
        test,
        chosen,
        out,
        seed=seed,
        device=device,
        precision=precision,
        compiled=compiled,
        every=every,
        sample=sample,
        keep=keep,
    )
    if is_main_process():
        click.echo(
            f"training error {result.train_error:.2f} %, test error {result.test_error:.2f} %, "
            f"{result.seconds:.0f} s; saved in {out}"
        )


def train_grid(context: click.Context, axes: tuple[str, ...], out: Path, jobs: int) -> None:
    """Train all combinations, and print a table.

    Args:
        context: of the command, whose other options all trainings share.
        axes: as `name=value,value`.
        out: the folder.
        jobs: at once.
    """
    from resnetlib.train.grid import cells_of, run_grid
    from resnetlib.train.result import Result

    pairs = [pair(axis) for axis in axes]
    values = {axis: list_of(text) for axis, text in pairs}
    if len(values) < len(pairs):
        raise ValueError(f"an axis stands there twice: {' '.join(axes)}")
    singular = {"seeds": "seed", "recipes": "recipe"}
    for axis in values:
        option = singular.get(axis, axis)
        fixed = context.get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE
        if fixed or option in dict(map(pair, context.params["changes"])):
            raise ValueError(f"{option} is an axis of the grid, and fixed by an option too: leave out one of them")
    cells = cells_of(values)
    results = run_grid(cells, _common(context), out, jobs=jobs)
    width = max(map(len, results))
    click.echo(f"{'':{width}}  training error  test error  seconds")
    for name, result in results.items():
        if isinstance(result, Result):
            click.echo(f"{name:{width}}  {result.train_error:12.2f} %  {result.test_error:8.2f} %  {result.seconds:7.0f}")
        else:
            click.echo(f"{name:{width}}  failed: {result}")
    failed = sum(not isinstance(result, Result) for result in results.values())
    if failed:
        raise ValueError(f"{failed} of {len(results)} trainings failed: see {out}/NAME/output.txt, and run the same again")


def _common(context: click.Context) -> list[str]:
    """Return the options, as they were given, that each training of a grid shares."""
    arguments = []
    for option in context.command.params:
        if not isinstance(option, click.Option) or option.name in ("grid", "out", "jobs"):
            continue
        if context.get_parameter_source(option.name or "") is not click.core.ParameterSource.COMMANDLINE:
            continue
        value = context.params[option.name or ""]
        if option.is_flag:
            arguments.append(option.opts[0] if value else option.secondary_opts[0])
        else:
            for one in value if option.multiple else [value]:
                arguments += [option.opts[0], str(one)]
    return arguments
