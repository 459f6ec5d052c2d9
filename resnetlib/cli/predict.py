"""`resnetlib predict`: name what is in images."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from resnetlib.cli.loading import load, weights_options

if TYPE_CHECKING:
    from PIL.Image import Image

    from resnetlib.weights.preprocess import Normalization


@click.command()
@click.argument("name")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many guesses to print.")
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False), help="Draw images and first guesses into this PNG.")
@weights_options
def predict(
    name: str,
    images: tuple[Path, ...],
    top: int,
    sheet: Path | None,
    weights: str | None,
    normalize: "Normalization | None",
    device: str | None,
) -> None:
    """Name what the network NAME sees in IMAGES."""
    from resnetlib.cli.sheet import draw_sheet
    from resnetlib.inference import classify

    pictures = [open_image(path) for path in images]
    net, _ = load(name, weights, normalize, device)
    guesses = classify(net, pictures, top=top)
    for path, ranked in zip(images, guesses, strict=True):
        click.echo(path)
        for guess in ranked:
            click.echo(f"  {guess.probability:7.2%}  {guess.name}")
    if sheet:
        draw_sheet(pictures, [f"{ranked[0].name} {ranked[0].probability:.0%}" for ranked in guesses], sheet)
        click.echo(f"wrote {sheet}")


def open_image(path: Path) -> "Image":
    """Read an image file.

    Args:
        path: the file.

    Returns:
        The image, in RGB.

    Raises:
        ValueError: if it is not there, or no image.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from error
