"""`resnetlib verify`: whether a set of weights is as good as it says."""

from pathlib import Path

import click

from resnetlib.cli.evaluate import read_batches
from resnetlib.cli.loading import load, weights_options
from resnetlib.cli.options import PATH
from resnetlib.text import printable

_EXACT = 0.02
"""Percent within which figures are the same: processors round differently, and two images in 10,000 may tip over."""


@click.command()
@click.argument("name")
@click.option("--data", required=True, type=PATH, help="CIFAR-10's folder, or one of class folders.")
@click.option("--batch", default=250, show_default=True, type=click.IntRange(1), help="Images at a time.")
@weights_options
def verify(name: str, data: Path, batch: int, weights: str | None, normalize: None, device: str | None) -> None:
    """Measure the accuracy of the weights NAME again, and compare it with what they say of themselves.

    Exits with 1 if the figures differ.
    """
    from tqdm import tqdm

    from resnetlib.inference import evaluate
    from resnetlib.weights import PretrainedConfig

    net, preprocess = load(name, weights, normalize, device)
    cfg = net.pretrained_cfg
    if not isinstance(cfg, PretrainedConfig) or cfg.top1 is None:
        raise ValueError(f"{weights or name} says nothing of its accuracy: `resnetlib evaluate` measures it")
    count, batches = read_batches(data, preprocess, net.num_classes, batch)
    with tqdm(batches, total=-(-count // batch), unit="batch", disable=None) as progress:
        result = evaluate(net, progress)
    figures = f"{result.top1:.2f} % of {result.images:,} images right; {cfg.full_name or name} says {cfg.top1:.2f} %"
    if abs(result.top1 - cfg.top1) > _EXACT + 1e-6:
        raise ValueError(f"{figures}, of {cfg.evaluated_on or 'images that it does not name'}")
    click.echo(f"{printable(figures)}: confirmed")
