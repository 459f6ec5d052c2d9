"""What the commands that need trained weights share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from resnetlib.config import Normalization, Preprocessing
    from resnetlib.modules import Backbone


def weights_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --weights, --normalize and --device to a command."""
    options = (
        click.option("--weights", metavar="TAG|FILE", help="Which weights.  [default: the first in the package]"),
        click.option(
            "--normalize",
            type=click.Choice(["imagenet", "cifar10"]),
            help="Mean and deviation of the colours, for a file that does not say.",
        ),
        click.option("--device", default=None, help="Where to compute.  [default: cuda if there is one, else cpu]"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def embedded_tags(name: str) -> list[str]:
    """Return the tags of a network's weights that are in the package."""
    from resnetlib.weights.catalog import EMBEDDED

    return [tag for network, tag in EMBEDDED if network == name]


def load(
    name: str, weights: str | None, normalize: "Normalization | None", device: str | None
) -> tuple["Backbone", "Preprocessing"]:
    """Create a network with trained weights, and with preprocessing.

    Args:
        name: of a network, or of weights, as `create_model` takes it.
        weights: a tag or a file; None for the name's own, or the first tag in the package.
        normalize: mean and deviation, where the weights do not say.
        device: where; None for the GPU if there is one.

    Returns:
        The network, and what turns an image into its input.

    Raises:
        ValueError: without weights, or where it is not known how to preprocess, or is said twice.
    """
    from resnetlib.models import list_models, spec_of
    from resnetlib.weights import Preprocessing, tags_of
    from resnetlib.weights.find import CONFIG, names_weights
    from resnetlib.zoo import create_model

    if name not in list_models() and Path(name, CONFIG).is_file():
        name = f"./{name}" if not Path(name).is_absolute() else name  # a folder here, without the dot that create_model wants
    if weights is None and not names_weights(name):
        spec_of(name)  # or it says which names there are
        tags = embedded_tags(name)
        if not tags:
            others = ", ".join(f"{name}.{tag}" for tag in tags_of(name)) or "a file"
            raise ValueError(f"the package has no weights for {name}: name some ({others}), or give a file with --weights")
        weights = tags[0]
    net = create_model(name, weights=weights, device=usable(device))
    if net.preprocess is not None:
        if normalize is not None:
            raise ValueError(f"{weights or name} says how images are normalized for it: leave out --normalize")
        return net, net.preprocess
    if normalize is None:
        raise ValueError(
            f"{weights or name} does not say how images were normalized: add --normalize imagenet or --normalize cifar10"
        )
    resize, size = (256, 224) if net.spec.stem == "imagenet" else (32, 32)
    net.preprocess = Preprocessing.named(normalize, resize=resize, size=size)
    return net, net.preprocess


def usable(device: str | None) -> str:
    """Try a device.

    Args:
        device: its name; None for the GPU if there is one, else the CPU.

    Returns:
        The name.

    Raises:
        ValueError: if nothing can be computed there.
    """
    import torch

    own = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"  # under torchrun each process has its own
    if device is None:
        device = own if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {device!r} cannot be used: {error}") from error
    return device
