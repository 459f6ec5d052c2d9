"""`resnetlib export`: write a network as an ONNX file."""

from pathlib import Path
from typing import Any, Literal

import click

from resnetlib.cli.common import load
from resnetlib.cli.options import NEW_FILE, PATH, PRETRAINED, READING
from resnetlib.deploy.onnx_export import IMAGES, choose_size
from resnetlib.deploy.onnx_export import export as export_network
from resnetlib.errors import InputError, printable
from resnetlib.inference import read_batches

_BATCH = 32
_COMPARED = 64  # images on which an fp32 file is compared with the network


def _read_size(text: str) -> int | Literal["dynamic"]:
    if text == "dynamic":
        return "dynamic"
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a number of pixels nor dynamic") from None


@click.command()
@PRETRAINED
@click.option("--out", required=True, type=NEW_FILE, help="The file to write, which ends in .onnx.")
@click.option("--int8", is_flag=True, help="Quantize to int8: less than a third of the size, and faster. Needs --data.")
@click.option(
    "--data",
    type=PATH,
    help="Training images, for --int8 and for the comparison: CIFAR-10's folder, or one with a subfolder of images per class, by "
    "itself or in train/.",
)
@click.option(
    "--size", type=_read_size, metavar="N|dynamic", help="Height and width of the input.", show_default="that of the preprocessing"
)
@READING
def export(
    name: str,
    out: Path,
    int8: bool,
    data: Path | None,
    size: int | Literal["dynamic"] | None,
    workers: int | None,
    exif: bool,
    **network: Any,
) -> None:
    """Export the network NAME to an ONNX file for onnxruntime and OpenVINO, and compare the file with the network.

    Needs `pip install "resnetlib[onnx]"`. The file is not written if it does not compute what the network does.
    """
    if int8 and data is None:
        raise InputError(f"--int8 needs images to calibrate with: add --data FOLDER; {IMAGES} training images are used")
    net, _ = load(name, device="cpu", **network)
    net.preprocess = choose_size(net, size)[1]
    batches = None
    if data is not None:
        _, batches = read_batches(
            net, data, _BATCH, split="train", images=IMAGES if int8 else _COMPARED, workers=workers, exif=exif
        )
    click.echo("exporting, which takes up to a minute", err=True)
    calibration, images = (batches, None) if int8 else (None, batches)
    click.echo(str(export_network(net, out, size=size, int8=int8, calibration=calibration, images=images)))
    click.echo(f"classify images with: resnetlib predict {printable(out)} IMAGE")
