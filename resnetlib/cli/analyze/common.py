"""The arguments that all analyses have on the command line, and how their results are written."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from resnetlib.cli.common import FOLDER, PATH, load, preprocessing_for, weights_options
from resnetlib.cli.evaluate import check_classes
from resnetlib.distributed import choose_device
from resnetlib.text import printable

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.analysis import AnalysisResult
    from resnetlib.config import Normalization
    from resnetlib.modules import Backbone

Findings = Mapping[str, "AnalysisResult"]
"""Results by the names of the files to write."""


def analysis(look: Callable[..., Findings]) -> click.Command:
    """Make a command of `look(net, batches, **options)`, which returns results; its docstring is the command's help.

    The command writes each result as JSON and PNG. `look` gets seed, out and precision if it has such parameters; if it does not
    have precision, it runs under autocast.
    """

    @click.argument("name")
    @click.option("--data", required=True, type=PATH, help="CIFAR-10's folder, or one of class folders.")
    @click.option("--out", required=True, type=FOLDER, help="The folder to write to.")
    @click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True, help="Of CIFAR-10.")
    @click.option("--images", default=1000, show_default=True, type=click.IntRange(0), help="The first so many; 0 for all.")
    @click.option("--batch", default=250, show_default=True, type=click.IntRange(1), help="Images at a time.")
    @click.option("--untrained", is_flag=True, help="With random weights; norms have the images' statistics.")
    @click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Of all draws.")
    @click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True, help="Of convolutions.")
    @weights_options
    @wraps(look)
    def command(
        name: str,
        data: Path,
        out: Path,
        split: Literal["train", "test"],
        images: int,
        batch: int,
        untrained: bool,
        seed: int,
        precision: str,
        weights: str | None,
        normalize: "Normalization | None",
        device: str | None,
        **options: Any,
    ) -> None:
        import torch

        from resnetlib.analysis import recalibrated

        if untrained and weights:
            raise ValueError(f"--untrained draws weights, and --weights {weights} names some: give one of them")
        net = draw_network(name, data, normalize, device, seed) if untrained else load(name, weights, normalize, device)[0]
        batches = read(net, data, split, images, batch)
        own = {"seed": seed, "out": out, "precision": precision}
        options |= {option: value for option, value in own.items() if option in look.__annotations__}
        out.mkdir(parents=True, exist_ok=True)
        kind = next(net.parameters()).device.type
        fast = torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16" and "precision" not in options)
        with fast, recalibrated(net, batches) if untrained else nullcontext():
            found = look(net, batches, **options)
        for stem, finding in found.items():
            keep(finding, out, stem)

    return click.command(command)


def check_exact(precision: str) -> None:
    """Raise ValueError unless the precision is fp32, for analyses that compare a sum with its terms."""
    if precision != "fp32":
        raise ValueError(f"--precision {precision} would measure rounding errors: use fp32")


def keep(finding: "AnalysisResult", out: Path, stem: str) -> None:
    """Write a result as JSON and PNG into a folder, and print it."""
    from resnetlib.analysis import draw

    finding.save(out / f"{stem}.json")
    draw(finding, out / f"{stem}.png")
    click.echo(f"wrote {printable(out / stem)}.json and .png")


def draw_network(name: str, data: Path, normalize: "Normalization | None", device: str | None, seed: int) -> "Backbone":
    """Create a network with random weights, for the classes of these images; without `normalize` it has its stem's usual one."""
    import torch

    from resnetlib.data import CIFAR10_CLASSES, find_images, is_cifar10
    from resnetlib.zoo import create_model

    classes = CIFAR10_CLASSES if is_cifar10(data) else find_images(data).classes
    torch.manual_seed(seed)
    net = create_model(name, num_classes=len(classes)).to(choose_device(device))
    net.preprocess = preprocessing_for(net, normalize)
    return net


def read(net: "Backbone", data: Path, split: Literal["train", "test"], images: int, batch: int) -> list[tuple["Tensor", "Tensor"]]:
    """Return batches of the first images (of class folders, evenly spaced ones; 0 for all), preprocessed as the network expects."""
    from torch.utils.data import DataLoader, Subset

    from resnetlib.data import ImageDataset, cifar10, find_images, is_cifar10

    preprocess = net.preprocess
    assert preprocess is not None  # noqa: S101 - both ways to the network set it
    if is_cifar10(data):
        there = cifar10(data, split)
        check_classes(data, len(there.classes), net.num_classes)
        return there.first(images or len(there)).batches(preprocess, batch)
    files = find_images(data)
    check_classes(data, len(files.classes), net.num_classes)
    count = min(images or len(files), len(files))
    chosen = Subset(ImageDataset(files, preprocess), [i * len(files) // count for i in range(count)])
    return list(DataLoader(chosen, batch))
