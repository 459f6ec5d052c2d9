"""`resnetlib finetune`: from trained weights and a folder of images to a classifier of these images."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from resnetlib.cli.common import PATH
from resnetlib.cli.training import (
    changes_option,
    interruptible,
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
@click.argument("name")
@click.option(
    "--data",
    required=True,
    type=PATH,
    help="A folder with a folder of images for each class, or with train/ and val/; or CIFAR-10's.",
)
@click.option("--out", required=True, type=PATH, help="The folder to fill, or to go on in.")
@recipe_option("finetune")
@changes_option("the recipe")
@click.option("--validation", default=0.2, show_default=True, help="Share of the images held out, where there is no val/.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32), help="Of the split, and of all draws.")
@click.option("--in-chans", type=click.Choice(["1", "3"]), help="Channels of the images.  [default: the weights' own]")
@click.option("--input-rule", type=click.Choice(["sum", "repeat", "zeros"]), help="How the first convolution is adapted to them.")
@training_options
@interruptible()
def finetune(
    name: str,
    data: Path,
    out: Path,
    recipe: str,
    changes: tuple[str, ...],
    validation: float,
    seed: int,
    in_chans: str | None,
    input_rule: Literal["sum", "repeat", "zeros"] | None,
    device: str | None,
    precision: "Precision",
    compiled: bool,
    every: int,
) -> None:
    """Fine-tune the weights NAME on your images, and save them as a model of its own.

    First the classifier learns alone, then all layers, early ones at lower rates; the weights that are best on the validation
    images are kept. The same command again goes on where the last one was stopped. Then: `resnetlib predict OUT photo.jpg`.
    """
    from resnetlib.data import is_cifar10
    from resnetlib.distributed import is_main_process
    from resnetlib.finetuning.finetune import finetune as tune

    in_memory = is_cifar10(data)
    if in_memory and recipe == "finetune":
        recipe = "finetune_cifar"
    images = read_images(data, 0)[:2] if in_memory else data
    result = tune(
        name,
        images,  # type: ignore[arg-type]  # both are in memory, or neither
        out,
        recipe=read_recipe(recipe, {field: value_of(text) for field, text in map(pair, changes)}),
        validation=validation,
        in_chans=int(in_chans) if in_chans else None,
        input_rule=input_rule,
        seed=seed,
        device=device,
        precision=precision,
        compiled=compiled,
        every=every,
    )
    if is_main_process():
        click.echo(f"training error {result.train_error:.2f} %, validation error {result.test_error:.2f} %; saved in {out}")
