"""`resnetlib analyze deepen`: a deeper copy."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from resnetlib.cli.loading import load, weights_options
from resnetlib.cli.options import FOLDER
from resnetlib.text import printable

if TYPE_CHECKING:
    from resnetlib.config import Normalization


@click.command()
@click.argument("name")
@click.option("--depths", required=True, metavar="N,N,...", help="Blocks in each stage.")
@click.option("--out", required=True, type=FOLDER, help="The folder for the network.")
@weights_options
def deepen(name: str, depths: str, out: Path, weights: str | None, normalize: "Normalization | None", device: str | None) -> None:
    """Save a deeper network that computes what NAME computes, to be trained on."""
    import torch

    from resnetlib.analysis import deepen as make
    from resnetlib.analysis.inputs import noise_images
    from resnetlib.zoo import save_model

    try:
        numbers = tuple(map(int, depths.split(",")))
    except ValueError:
        raise ValueError(f"--depths must be numbers with commas between them, got {depths!r}") from None
    net = load(name, weights, normalize, device)[0].eval()
    deeper = make(net, numbers)
    save_model(deeper, out)
    x = noise_images(net, 2, max(32, net.smallest_input))
    with torch.inference_mode():
        difference = float((net(x) - deeper(x)).abs().max())
    blocks = (sum(1 for _ in each.blocks()) for each in (net, deeper))
    click.echo(
        "{} blocks became {}; on two images of noise the logits differ by {:.1e} at most; saved in {}".format(
            *blocks, difference, printable(out)
        )
    )
