"""`resnetlib evaluate` and `verify`: measure a network's accuracy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from torch import Tensor
from tqdm import tqdm

from resnetlib.cli.common import load
from resnetlib.cli.options import IMAGES, NETWORK, NEW_FILE, RUNTIME, open_exported
from resnetlib.deploy import OnnxModel, optimize
from resnetlib.disk import write_figure
from resnetlib.errors import InputError, printable
from resnetlib.inference import Evaluation, read_batches
from resnetlib.inference import evaluate as measure
from resnetlib.modules import Backbone

_TOLERANCE = 0.02  # percentage points: rounding differs between processors, and can change two predictions in 10,000
_MAX_NAMES, _MAX_NUMBERS = 60, 25  # classes up to which a confusion matrix shows names, and counts


@click.command()
@NETWORK
@IMAGES
@RUNTIME
@click.option("--confusion", type=NEW_FILE, help="Draw the confusion matrix to this PNG.")
def evaluate(
    name: str, data: Path, batch: int, confusion: Path | None, workers: int | None, exif: bool, runtime: str | None, **network: Any
) -> None:
    """Measure the accuracy of the network NAME, or of an exported one in the file NAME.onnx, on the images in a folder.

    The folder is cifar-10-batches-bin or cifar-10-batches-py (for its test set), or has a subfolder of images per class, by itself
    or in val/ or test/. Subfolders are matched to the network's classes by their names, whatever their case; some classes may be
    missing. If the network does not name its classes, the numbers or the alphabetical order of the subfolders must be those of the
    logits.
    """
    if confusion is not None and confusion.exists() and confusion.resolve().is_relative_to(data.resolve()):
        raise InputError(f"--confusion {confusion} is a file of the data, and would replace it: give another file")
    net = open_exported(name, runtime, **network) or load(name, **network)[0]
    result = _evaluate(net, data, batch, confusion=confusion is not None, workers=workers, exif=exif)
    click.echo(f"top-1 {result.top1:.2f} %, top-5 {result.top5:.2f} %, loss {result.loss:.4f}, on {result.images:,} images")
    if confusion is not None and result.confusion is not None:
        draw_confusion(result.confusion, net.classes or [str(i) for i in range(net.num_classes)], confusion)
        click.echo(f"wrote {printable(confusion)}")


@click.command()
@NETWORK
@IMAGES
def verify(name: str, data: Path, batch: int, workers: int | None, exif: bool, **network: Any) -> None:
    """Measure the accuracy of the weights NAME, and compare it with the published one.

    The exit status is 1 if they differ.
    """
    net, _ = load(name, **network)
    cfg = net.pretrained_cfg
    if cfg.top1 is None:
        raise InputError(f"{network['weights'] or name} has no published accuracy: measure it with `resnetlib evaluate`")
    result = _evaluate(net, data, batch, workers=workers, exif=exif)
    figures = f"top-1 {result.top1:.2f} % on {result.images:,} images; published: {cfg.top1:.2f} %"
    if abs(result.top1 - cfg.top1) > _TOLERANCE + 1e-6:
        raise InputError(f"{figures}, on {cfg.evaluated_on or 'unknown images'}")
    click.echo(f"confirmed: {figures}")


def _evaluate(net: Backbone | OnnxModel, data: Path, batch: int, *, confusion: bool = False, **reading: Any) -> Evaluation:
    count, batches = read_batches(net, data, batch, **reading)
    with tqdm(batches, total=-(-count // batch), unit="batch", disable=None) as progress:
        return measure(net if isinstance(net, OnnxModel) else optimize(net), progress, confusion=confusion)


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
    axes.set(xlabel="predicted class", ylabel="class")
    if count <= _MAX_NAMES:
        names = [printable(name, 40) for name in classes]
        axes.set_xticks(range(count), names, rotation=90, parse_math=False)  # a name with two $ in it is no formula
        axes.set_yticks(range(count), names, parse_math=False)
    if count <= _MAX_NUMBERS:
        for row, column in confusion.nonzero().tolist():
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{int(confusion[row, column])}", ha="center", va="center", color=color, fontsize=8)
    write_figure(path, figure)
