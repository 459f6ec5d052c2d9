"""Training a network by a recipe, from the first iteration or from where it was interrupted."""

from pathlib import Path

import torch

from resnetlib.data import ImageFiles, LabelledImages
from resnetlib.distributed import Processes, choose_device, process_group
from resnetlib.modules import Backbone, is_dilated
from resnetlib.train.draws import own_draws
from resnetlib.train.feed import Feed, MemoryFeed
from resnetlib.train.folders import FolderFeed
from resnetlib.train.identity import identify, session
from resnetlib.train.recipe import Recipe
from resnetlib.train.result import Result
from resnetlib.train.run import Run
from resnetlib.train.step import Precision, dtype_of
from resnetlib.train.training import Training
from resnetlib.weights import Preprocessing
from resnetlib.zoo import create_model

Images = LabelledImages | ImageFiles | str | Path
"""In memory, or found in a folder with a folder for each class, or that folder's path."""


def fit(
    net: Backbone,
    train: Images,
    test: Images,
    recipe: Recipe,
    out: str | Path,
    *,
    seed: int = 0,
    preprocess: Preprocessing | None = None,
    start: str = "",
    device: torch.device | str | None = None,
    precision: Precision = "auto",
    compiled: bool = False,
    every: int = 0,
    sample: int = 10_000,
    keep: int = 2,
) -> Result:
    """Train a network, measure it on the way, and save it.

    Called again with the same folder, it goes on from the newest checkpoint that is whole, and ends with the same weights, on the
    CPU to the bit, as if it had never been stopped. Under torchrun, each process takes its part of every batch.

    Args:
        net: the network, with the weights to begin with; trained in place, and moved to the device.
        train: training images: in memory, or a folder with a folder for each class.
        test: test images, of the same kind; no decision is made by them, unless the recipe has patience.
        recipe: how.
        out: the folder. It will hold the network (`create_model(out)`), log.jsonl, curves.png, run.json, result.json,
            best.safetensors and checkpoints.
        seed: of order, augmentation and all that is drawn in training; the weights to begin with are the caller's.
        preprocess: what makes an image an input, as for weights that were trained so (`net.preprocess`); None for the images' own
            colours in memory, and for ImageNet's with folders.
        start: tells the weights to begin with from others, such as by their hash: a folder that began with others is refused.
        device: where; None for a GPU if there is one.
        precision: of the convolutions.
        compiled: whether to compile the network first, which takes about a minute; on a CPU it need not be faster.
        every: iterations between measurements, each of which is a checkpoint too; 0 for an epoch's.
        sample: images of either set in these measurements; 0 for all. The result is of all.
        keep: checkpoints that stay.

    Returns:
        The errors of the last iteration's weights, or with patience of the best.

    Raises:
        DivergenceError: if a loss or a gradient is not finite; the checkpoints before it stay.
        TypeError: for arguments of other types.
        ValueError: if something does not fit together, the device cannot be used, the folder is another training's, what lies in
            it is damaged and cannot be written anew, an image cannot be read, or the network is dilated.
        OSError: if the disk is full, or a process that reads images was killed; what was saved stays.
        KeyboardInterrupt: for Ctrl-C; what was saved stays.

    Example:
        >>> import tempfile, torch, resnetlib
        >>> from resnetlib.train import fit, recipe_of
        >>> images = torch.randint(256, (40, 3, 32, 32), dtype=torch.uint8)
        >>> toy = resnetlib.data.LabelledImages(images, torch.arange(40) % 2, ("even", "odd"))
        >>> with tempfile.TemporaryDirectory() as out:
        ...     recipe = recipe_of("one_cycle_cifar", iterations=2, batch=20)
        ...     fit(resnetlib.create_model("cifar_resnet20", num_classes=2), toy, toy, recipe, out).iterations
        2
    """
    check_arguments(recipe, out, seed=seed, every=every, sample=sample)
    if not isinstance(keep, int) or not 1 <= keep < 2**63:
        raise ValueError(f"keep must be an int, 1 or more, got {keep!r}")
    if not isinstance(net, Backbone):
        raise TypeError(f"net must be a network of this library, got {_kind(net)}; of a wrapper, give net.module")
    if preprocess is not None and not isinstance(preprocess, Preprocessing):
        raise TypeError(f"preprocess must be a resnetlib.weights.Preprocessing, or None, got {_kind(preprocess)}")
    if is_dilated(net):
        raise ValueError("a dilated network's figures would not be those of what is saved: build it without output_stride")
    with process_group(choose_device(device)) as processes, own_draws(processes.device):
        feed = _feed(train, test, recipe, seed, processes, preprocess)
        if len(feed.classes) != net.num_classes:
            raise ValueError(f"there are {len(feed.classes)} classes, and the network has {net.num_classes} logits")
        dtype = dtype_of(precision, processes.device)
        net.to(processes.device).to(memory_format=torch.channels_last)
        identity = identify(net, feed, recipe, seed, start)
        net.preprocess, net.classes = feed.preprocess, feed.classes
        training = Training(net, feed, recipe, seed=seed, processes=processes, dtype=dtype, compiled=compiled)
        about = identity, session(processes, dtype, compiled)
        try:
            result = Run(training, feed, processes, Path(out), *about, every=every, sample=sample, keep=keep).complete()
        finally:
            training.release()
    net.load_state_dict(create_model(Path(out), device=processes.device).state_dict())
    net.zero_grad()
    return result


def check_arguments(recipe: Recipe, out: str | Path, *, seed: int, every: int, sample: int) -> None:
    """Check what `fit` and `finetune` are given, before they read images.

    Args:
        recipe: how.
        out: the folder.
        seed: of all draws.
        every: iterations between measurements.
        sample: images in them.

    Raises:
        TypeError: for another type.
        ValueError: for a number out of range, or no folder's name.
        NotADirectoryError: for a file.
    """
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe, such as recipe_of('one_cycle_cifar'), got {recipe!r:.200}")
    for name, value in (("seed", seed), ("every", every), ("sample", sample)):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            raise ValueError(f"{name} must be an int, 0 or more, got {value!r}")
    if not isinstance(out, str | Path):
        raise TypeError(f"out must be the path of a folder, got {_kind(out)}")
    if not str(out) or "\0" in str(out):
        raise ValueError(f"out must name a folder, got {str(out)!r}")
    if Path(out).exists() and not Path(out).is_dir():
        raise NotADirectoryError(f"{out} is a file: give a folder to fill, or to go on in")


def _feed(
    train: Images, test: Images, recipe: Recipe, seed: int, processes: Processes, preprocess: Preprocessing | None = None
) -> Feed:
    """Return the source of batches for this kind of images."""
    if recipe.batch % processes.world_size:
        raise ValueError(f"a batch of {recipe.batch} cannot be shared equally among {processes.world_size} processes")
    if isinstance(train, LabelledImages) and isinstance(test, LabelledImages):
        return MemoryFeed(train, test, recipe, seed=seed, processes=processes, preprocess=preprocess)
    if isinstance(train, LabelledImages) or isinstance(test, LabelledImages):
        raise TypeError(f"train and test must both be in memory or both in folders, got {_kind(train)}, {_kind(test)}")
    for each in (train, test):
        if not isinstance(each, str | Path | ImageFiles):
            raise TypeError(f"images must be LabelledImages, ImageFiles or the path of a folder, got {_kind(each)}")
    ours, others = (each if isinstance(each, ImageFiles) else Path(each) for each in (train, test))
    return FolderFeed(ours, others, recipe, seed=seed, processes=processes, preprocess=preprocess)


def _kind(images: object) -> str:
    return type(images).__name__
