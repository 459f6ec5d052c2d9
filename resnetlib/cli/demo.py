"""`resnetlib demo`: classify sample images."""

import io
from importlib.resources import files
from pathlib import Path

import click
from PIL import Image

from resnetlib.cli.options import NEW_FILE
from resnetlib.cli.predict import draw_sheet
from resnetlib.inference import classify
from resnetlib.text import printable
from resnetlib.zoo import create_model


@click.command()
@click.option("--sheet", default="resnetlib-demo.png", type=NEW_FILE, help="Draw images and predictions to this PNG.")
def demo(sheet: Path) -> None:
    """Classify the first ten test images of CIFAR-10 with the weights in the package, without a network connection."""
    net = create_model("cifar_resnet20", weights="resnetlib_c10")
    folder = files("resnetlib.data").joinpath("samples")
    samples = sorted((file for file in folder.iterdir() if file.name.endswith(".png")), key=lambda file: file.name)
    images = [Image.open(io.BytesIO(sample.read_bytes())).convert("RGB") for sample in samples]
    captions = []
    for sample, [guess] in zip(samples, classify(net, images, top=1), strict=True):
        truth = sample.name.removesuffix(".png").split("_")[-1]
        mark = "" if guess.name == truth else f"   (it is: {truth})"
        click.echo(f"{sample.name:24} {guess.name:10} {guess.probability:7.2%}{mark}")
        captions.append(f"{guess.name} {guess.probability:.0%}")
    draw_sheet(images, captions, sheet)
    click.echo(f"wrote {printable(sheet)}")
