"""`resnetlib finetune`: from pretrained weights and a folder of images to a classifier of these images."""

from pathlib import Path
from typing import Literal

import click

from resnetlib.cli.common import PATH
from resnetlib.cli.train import read_changes, read_recipe, training_options
from resnetlib.data import is_cifar10
from resnetlib.distributed import is_main_process
from resnetlib.finetuning.finetune import finetune as tune
from resnetlib.train.data import find_train_and_test
from resnetlib.train.trainer import Precision


@click.command()
@click.argument("name")
@click.option(
    "--data",
    required=True,
    type=PATH,
    help="A folder with a subfolder of images per class, or with train/ and val/; or CIFAR-10's.",
)
@training_options("finetune", "the recipe")
@click.option("--from-scratch", is_flag=True, help="Start from random weights.")
@click.option("--validation", default=0.2, show_default=True, help="Fraction of the images held out if there is no val/.")
@click.option("--in-chans", type=click.Choice(["1", "3"]), help="Channels of the images.  [default: those of the weights]")
@click.option("--input-rule", type=click.Choice(["sum", "repeat", "zeros"]), help="How the first convolution is adapted to them.")
def finetune(
    name: str,
    data: Path,
    out: Path,
    recipe: str,
    changes: tuple[str, ...],
    from_scratch: bool,
    validation: float,
    seed: int,
    in_chans: str | None,
    input_rule: Literal["sum", "repeat", "zeros"] | None,
    device: str | None,
    precision: Precision,
    compiled: bool,
    every: int,
) -> None:
    """Fine-tune the weights NAME on your images, and save them as a model of its own.

    NAME is that of weights (`resnet50.tv2_in1k`), a folder or a file; or that of a network, for its default weights.

    At first only the classifier is trained, then all layers, with lower learning rates for early ones; the weights with the lowest
    validation error are kept. The same command again continues an interrupted training. Then: `resnetlib predict OUT photo.jpg`.
    """
    in_memory = is_cifar10(data)
    if in_memory and recipe == "finetune":
        recipe = "finetune_cifar"
    result = tune(
        name,
        find_train_and_test(data)[:2] if in_memory else data,  # type: ignore[arg-type]
        out,
        recipe=read_recipe(recipe, read_changes(changes)),
        from_scratch=from_scratch,
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
        click.echo(f"training error {result.train_error:.2f} %, validation error {result.val_error:.2f} %; saved in {out}")
