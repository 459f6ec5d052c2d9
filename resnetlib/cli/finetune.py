"""`resnetlib finetune`: train a classifier of your images from pretrained weights."""

from pathlib import Path
from typing import Any

import click

from resnetlib.cli.options import PATH
from resnetlib.cli.train import read_changes, read_recipe, training_options
from resnetlib.data import is_cifar10
from resnetlib.distributed import is_main_process
from resnetlib.errors import printable
from resnetlib.finetuning.finetune import FROM_SCRATCH
from resnetlib.finetuning.finetune import finetune as tune


@click.command()
@click.argument("name")
@click.option(
    "--data",
    required=True,
    type=PATH,
    help="Folder with a subfolder of images per class, or with train/ and val/ (or test/), or CIFAR-10's.",
)
@training_options("finetune", "the recipe")
@click.option(
    "--weights", metavar="TAG|FILE|URL", help="Weights of the network NAME.", show_default="the network's default weights"
)
@click.option(
    "--from-scratch",
    is_flag=True,
    help="Start from random weights; train all layers at once, and at one rate, unless --set says otherwise.",
)
@click.option("--validation", default=0.2, help="Fraction of the training images held out if there is no val/ or test/.")
@click.option("--in-chans", type=click.Choice(["1", "3"]), help="Channels of the images.", show_default="those of the weights")
@click.option(
    "--input-rule", type=click.Choice(["sum", "repeat", "zeros"]), help="How to adapt the first convolution to --in-chans."
)
def finetune(
    name: str,
    data: Path,
    out: Path,
    recipe: str,
    changes: tuple[str, ...],
    from_scratch: bool,
    in_chans: str | None,
    **settings: Any,
) -> None:
    """Fine-tune the weights NAME on your images, and save the model.

    NAME is that of weights (`resnet50.tv2_in1k`), a folder or a file; or that of a network, for its default weights.

    The classifier is trained first, then all layers, with lower learning rates for early ones. The weights with the lowest
    validation error are kept. The same command again continues an interrupted training. Use `resnetlib predict OUT` afterwards.
    """
    values = read_changes(changes)
    if recipe == "finetune" and is_cifar10(data):
        recipe = "finetune_cifar"
    chosen = read_recipe(recipe, FROM_SCRATCH | values if from_scratch else values)
    channels = int(in_chans) if in_chans else None
    result = tune(name, data, out, recipe=chosen, from_scratch=from_scratch, in_chans=channels, **settings)
    if is_main_process():
        errors = f"training error {result.train_error:.2f} %, validation error {result.val_error:.2f} %"
        click.echo(f"{errors}; saved in {printable(out)}")
