"""`resnetlib demo`: classify sample images."""

from pathlib import Path

import click

from resnetlib.cli.options import NEW_FILE
from resnetlib.cli.predict import draw_sheet
from resnetlib.data.cifar import sample_images
from resnetlib.errors import printable
from resnetlib.inference import classify
from resnetlib.zoo import create_model


@click.command()
@click.option("--sheet", default="resnetlib-demo.png", type=NEW_FILE, help="Draw images and predictions to this PNG.")
def demo(sheet: Path) -> None:
    """Classify the first ten test images of CIFAR-10 with the weights in the package, without a network connection."""
    net = create_model("cifar_resnet20", weights="resnetlib_c10")
    names, images = zip(*sample_images(), strict=True)
    captions = []
    for name, [prediction] in zip(names, classify(net, images, top=1), strict=True):
        truth = name.removesuffix(".png").split("_")[-1]
        mark = "" if prediction.name == truth else f"   (actually {truth})"
        click.echo(f"{name:24} {prediction.name:10} {prediction.probability:7.2%}{mark}")
        captions.append(f"{prediction.name} {prediction.probability:.0%}")
    draw_sheet(images, captions, sheet)
    click.echo(f"wrote {printable(sheet)}")
