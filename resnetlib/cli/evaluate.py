"""`resnetlib evaluate`: how often a network is right."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resnetlib.cli.loading import load, weights_options
from resnetlib.cli.options import NEW_FILE, PATH
from resnetlib.text import printable

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.config import Normalization, Preprocessing


@click.command()
@click.argument("name")
@click.option("--data", required=True, type=PATH, help="CIFAR-10's folder, or one of class folders.")
@click.option("--batch", default=250, show_default=True, type=click.IntRange(1), help="Images at a time.")
@click.option("--confusion", type=NEW_FILE, help="Draw which classes are taken for which, a PNG.")
@weights_options
def evaluate(
    name: str,
    data: Path,
    batch: int,
    confusion: Path | None,
    weights: str | None,
    normalize: "Normalization | None",
    device: str | None,
) -> None:
    """Measure the accuracy of the network NAME on the images in a folder.

    The folder is cifar-10-batches-bin or cifar-10-batches-py (its test images count), or has a folder of images for each
    class, the alphabetical order of the folders being that of the logits.
    """
    from tqdm import tqdm

    from resnetlib.cli.confusion import draw_confusion
    from resnetlib.inference import evaluate as measure

    if confusion is not None and confusion.exists() and confusion.resolve().is_relative_to(data.resolve()):
        raise ValueError(f"--confusion {confusion} is a file of the data, and would replace it: give another file")
    net, preprocess = load(name, weights, normalize, device)
    count, batches = read_batches(data, preprocess, net.num_classes, batch)
    with tqdm(batches, total=-(-count // batch), unit="batch", disable=None) as progress:
        result = measure(net, progress, confusion=confusion is not None)
    click.echo(f"top-1 {result.top1:.2f} %, top-5 {result.top5:.2f} %, loss {result.loss:.4f}, on {result.images:,} images")
    if confusion is not None and result.confusion is not None:
        draw_confusion(result.confusion, net.classes or [str(i) for i in range(net.num_classes)], confusion)
        click.echo(f"wrote {printable(confusion)}")


def read_batches(
    data: Path, preprocess: "Preprocessing", classes: int, batch: int
) -> tuple[int, Iterable[tuple["Tensor", "Tensor"]]]:
    """Find out what kind of folder this is, and read it.

    Args:
        data: the folder.
        preprocess: turns an image into an input.
        classes: logits of the network.
        batch: images at a time.

    Returns:
        The number of images, and the preprocessed batches.

    Raises:
        ValueError: for a folder of another kind.
    """
    from resnetlib.data import cifar10, is_cifar10

    if is_cifar10(data):
        test = cifar10(data, "test")
        check_classes(data, len(test.classes), classes)
        pairs = zip(test.images.split(batch), test.labels.split(batch), strict=True)
        return len(test), ((preprocess(images), labels) for images, labels in pairs)
    from torch.utils.data import DataLoader

    from resnetlib.data import ImageDataset, find_images

    files = find_images(data)
    check_classes(data, len(files.classes), classes)
    return len(files), DataLoader(ImageDataset(files, preprocess), batch)


def check_classes(data: Path, there: int, logits: int) -> None:
    """Raise ValueError unless a folder has a class for each logit."""
    if there != logits:
        raise ValueError(f"{data} has {there} classes, and the network {logits} logits")
