"""`resnetlib evaluate` and `verify`: measure a network's accuracy."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from resnetlib.cli.common import NEW_FILE, PATH, load, weights_options
from resnetlib.config import Normalization, Preprocessing
from resnetlib.data import ImageDataset, cifar10, find_images, is_cifar10
from resnetlib.disk import write_atomically
from resnetlib.errors import InputError
from resnetlib.inference import evaluate as measure
from resnetlib.text import printable

_TOLERANCE = 0.02
"""Percent; processors round differently, and two images in 10,000 may tip over."""

_MAX_NAMES, _MAX_NUMBERS = 60, 25
"""The most classes whose names, and whose counts, a confusion matrix shows."""


@click.command()
@click.argument("name")
@click.option("--data", required=True, type=PATH, help="CIFAR-10's folder, or one of class folders.")
@click.option("--batch", default=250, show_default=True, type=click.IntRange(1, 2**31 - 1), help="Images at a time.")
@click.option("--confusion", type=NEW_FILE, help="Draw the confusion matrix to this PNG.")
@weights_options
def evaluate(
    name: str,
    data: Path,
    batch: int,
    confusion: Path | None,
    weights: str | None,
    normalize: Normalization | None,
    device: str | None,
) -> None:
    """Measure the accuracy of the network NAME on the images in a folder.

    The folder is cifar-10-batches-bin or cifar-10-batches-py (for its test set), or contains a folder of images per class, in the
    alphabetical order of the logits.
    """
    if confusion is not None and confusion.exists() and confusion.resolve().is_relative_to(data.resolve()):
        raise InputError(f"--confusion {confusion} is a file of the data, and would replace it: give another file")
    net, preprocess = load(name, weights, normalize, device)
    count, batches = read_batches(data, preprocess, net.num_classes, batch)
    with tqdm(batches, total=-(-count // batch), unit="batch", disable=None) as progress:
        result = measure(net, progress, confusion=confusion is not None)
    click.echo(f"top-1 {result.top1:.2f} %, top-5 {result.top5:.2f} %, loss {result.loss:.4f}, on {result.images:,} images")
    if confusion is not None and result.confusion is not None:
        draw_confusion(result.confusion, net.classes or [str(i) for i in range(net.num_classes)], confusion)
        click.echo(f"wrote {printable(confusion)}")


@click.command()
@click.argument("name")
@click.option("--data", required=True, type=PATH, help="CIFAR-10's folder, or one of class folders.")
@click.option("--batch", default=250, show_default=True, type=click.IntRange(1, 2**31 - 1), help="Images at a time.")
@weights_options
def verify(name: str, data: Path, batch: int, weights: str | None, normalize: None, device: str | None) -> None:
    """Measure the accuracy of the weights NAME, and compare it with the published one.

    The exit status is 1 if they differ.
    """
    net, preprocess = load(name, weights, normalize, device)
    cfg = net.pretrained_cfg
    if cfg.top1 is None:
        raise InputError(f"{weights or name} has no published accuracy: measure it with `resnetlib evaluate`")
    count, batches = read_batches(data, preprocess, net.num_classes, batch)
    with tqdm(batches, total=-(-count // batch), unit="batch", disable=None) as progress:
        result = measure(net, progress)
    figures = f"{result.top1:.2f} % of {result.images:,} images right; {cfg.full_name or name} says {cfg.top1:.2f} %"
    if abs(result.top1 - cfg.top1) > _TOLERANCE + 1e-6:
        raise InputError(f"{figures}, of {cfg.evaluated_on or 'unknown images'}")
    click.echo(f"{printable(figures)}: confirmed")


def read_batches(data: Path, preprocess: Preprocessing, classes: int, batch: int) -> tuple[int, Iterable[tuple[Tensor, Tensor]]]:
    """Read CIFAR-10's test set or a folder of class folders; return the number of images, and batches."""
    if is_cifar10(data):
        test = cifar10(data, "test")
        check_classes(data, len(test.classes), classes)
        pairs = zip(test.images.split(batch), test.labels.split(batch), strict=True)
        return len(test), ((preprocess(images), labels) for images, labels in pairs)
    files = find_images(data)
    check_classes(data, len(files.classes), classes)
    return len(files), DataLoader(ImageDataset(files, preprocess), batch)


def check_classes(data: Path, there: int, logits: int) -> None:
    """Raise ValueError unless a folder has as many classes as the network logits."""
    if there != logits:
        raise InputError(f"{data} has {there} classes, and the network {logits} logits")


def draw_confusion(confusion: Tensor, classes: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix (rows: classes, columns: predictions) as shares of each row, and write it as a PNG."""
    from matplotlib.figure import Figure

    count = len(classes)
    shares = confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)
    side = min(16.0, 3.5 + 0.35 * count)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the class", shrink=0.8)
    axes.set(xlabel="first guess", ylabel="class")
    if count <= _MAX_NAMES:
        names = [printable(name, 40) for name in classes]
        axes.set_xticks(range(count), names, rotation=90, parse_math=False)  # a name with two $ in it is no formula
        axes.set_yticks(range(count), names, parse_math=False)
    if count <= _MAX_NUMBERS:
        for row, column in confusion.nonzero().tolist():
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{int(confusion[row, column])}", ha="center", va="center", color=colour, fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_atomically(path, content.getvalue())
