"""`finetune`: train a classifier of your images from pretrained weights."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import Any

import torch

from resnetlib.config.pretrained import preprocessing_for
from resnetlib.data import (
    ImageFiles,
    LabeledImages,
    check_same_classes,
    cifar10,
    find_images,
    hold_out,
    is_cifar10,
    training_folders,
    verify_images,
)
from resnetlib.disk import local_path
from resnetlib.distributed import Processes, choose_device, is_main_process, process_group
from resnetlib.errors import InputError, InputTypeError
from resnetlib.modules.hashes import hash_tensors
from resnetlib.train import FinetuneResult, Recipe, recipe_of
from resnetlib.train.checkpoint import read_run
from resnetlib.train.data import preprocess_for_folders
from resnetlib.train.recipe import as_recipe
from resnetlib.train.run import RUN, check_arguments, check_classes, fit_as
from resnetlib.train.trainer import Precision
from resnetlib.weights import InputRule, tags_of
from resnetlib.weights.find import WeightsLike, resolve
from resnetlib.zoo import create_model

__all__ = ["find_split", "finetune"]

FROM_SCRATCH: dict[str, Any] = {"head_only_fraction": 0.0, "stem_lr_scale": 1.0}
"""Recipe changes for random weights: all layers learn from the start, at one rate."""

logger = logging.getLogger("resnetlib")


def finetune(
    name: str | Path,
    data: str | Path | tuple[LabeledImages, LabeledImages],
    out: str | Path,
    *,
    weights: WeightsLike | None = None,
    recipe: str | Recipe | None = None,
    from_scratch: bool = False,
    validation: float = 0.2,
    in_chans: int | None = None,
    input_rule: InputRule | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    precision: Precision = "auto",
    compiled: bool = False,
    every: int = 0,
    sample: int = 10_000,
    workers: int | None = None,
    exif: bool = True,
) -> FinetuneResult:
    """Fine-tune a network on your images, and save it.

    The folder `out` is a complete model for `create_model("./out")`, and for timm and transformers, after `import
    resnetlib.timm_models` if timm lacks the network. Called again, an interrupted training continues and ends with the same
    weights.

    Args:
        name: name, file or folder of pretrained weights, as for `create_model`; the name of a network stands for its default
            weights, the first of `resnetlib.weights.tags_of(name)`, which are logged.
        data: a folder with a subfolder of images per class, or with `train/` and `val/` like that (see
            `resnetlib.data.split_folders`), where images that cannot be read are skipped and reported; CIFAR-10's, whose test
            images are not used; or training and validation images in memory.
        out: folder to write or to continue in; not inside the data.
        weights: other weights for the name of a network, as for `create_model`: a tag, a file or a URL.
        recipe: the recipe, or its name; None for "finetune", or for CIFAR-10 and images in memory "finetune_cifar".
        from_scratch: start from random weights; `name` is then the name of a network. All layers are trained from the beginning and
            at one rate (`head_only_fraction=0`, `stem_lr_scale=1`), unless `recipe` is a `Recipe`.
        validation: fraction of each class held out for validation if there is no `val/`. The best weights are chosen by it.
        in_chans: channels of the images; None for those of the weights. Images in folders have 1 or 3.
        input_rule: how to adapt the first convolution to them (`resnetlib.weights.adapt_input`).
        seed: seed of the split, the new classifier, and all random numbers in training.
        device: the device; None for a GPU if there is one.
        precision: precision of the convolutions and linear layers.
        compiled: compile the network first.
        every: iterations between two evaluations; 0 for one per epoch.
        sample: images of each set in these evaluations; 0 for all.
        workers: processes that read images from folders; None for one per core, up to 8. The result does not depend on it.
        exif: whether to turn the images of a folder upright by their EXIF orientation.

    Returns:
        The errors of the saved weights on training and validation images.

    Raises:
        ValueError: if the network has no weights and `from_scratch` is not set, there is only one class, two classes have one
            name, a class has no readable image, and as `fit` and `create_model` do.
        FileNotFoundError: for a folder without classes, or a class without images.

    Source:
        Classifier first, then all layers: arXiv 1801.06146, sec. 3.3, "gradual unfreezing", in two steps. Layer-wise rates: sec.
        3.2.

    Example:
        >>> import tempfile, torch
        >>> from resnetlib import create_model, finetune
        >>> from resnetlib.train import recipe_of
        >>> images = torch.randint(256, (40, 3, 32, 32), dtype=torch.uint8)
        >>> toy = LabeledImages(images, torch.arange(40) % 2, ("even", "odd"))
        >>> recipe = recipe_of("finetune_cifar", epochs=1, batch_size=4)
        >>> with tempfile.TemporaryDirectory() as out:
        ...     _ = finetune("cifar_resnet20.resnetlib_c10", (toy, toy), out, recipe=recipe)
        ...     create_model(f"{out}/").classes
        ('even', 'odd')
    """
    is_cifar = isinstance(data, str | Path) and is_cifar10(data)
    if recipe is None:
        recipe = "finetune_cifar" if is_cifar or isinstance(data, tuple) else "finetune"
    if from_scratch and isinstance(recipe, str):
        recipe = recipe_of(recipe, **FROM_SCRATCH)
    recipe = as_recipe(recipe)
    check_arguments(recipe, out, seed=seed, precision=precision, every=every, sample=sample, workers=workers, folders=[data])
    _check_start(name, from_scratch, weights)
    device = choose_device(device)
    if not isinstance(validation, Real):
        raise InputTypeError(f"validation must be a number between 0 and 1, got {validation!r:.200}")
    if not 0 < validation < 1:
        raise InputError(f"validation must be between 0 and 1, got {validation}")
    if data == "":
        raise InputError("data must name a folder, got ''")
    if not isinstance(data, str | Path) and (
        not isinstance(data, tuple) or len(data) != 2 or not all(isinstance(part, LabeledImages) for part in data)
    ):
        kinds = [type(part).__name__ for part in data] if isinstance(data, tuple | list) else repr(data)
        raise InputTypeError(f"data must be a folder, or training and validation images in memory, got {kinds!s:.200}")
    if is_cifar and not isinstance(data, tuple):
        data = hold_out(cifar10(data, "train"), validation, seed=seed)
        if is_main_process():
            logger.info("%s of CIFAR-10's training images are held out for validation; the test images are not used", len(data[1]))
    with process_group(device) as processes:  # the steps below may need the other processes
        found, note = ([], "") if isinstance(data, tuple) else _list_images(data, exif=exif)
        classes = (data if isinstance(data, tuple) else found)[0].classes
        check_classes(classes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = create_model(
                name,
                not from_scratch and weights is None,
                weights=weights,
                num_classes=len(classes),
                in_chans=in_chans,
                input_rule=input_rule,
            )
            if net.classes != classes:  # as many classes, but others
                net.reset_classifier(len(classes))
        start = hash_tensors(net.state_dict())
        if isinstance(data, tuple):
            parts: tuple[LabeledImages, LabeledImages] | tuple[ImageFiles, ImageFiles] = data
        else:
            usual = preprocessing_for(net.spec.stem).for_channels(net.in_chans)
            preprocess_for_folders(recipe, net.preprocess or usual)  # checks before the images are read
            previous = processes.gather(_checked_before(local_path(out)))[0]
            parts = _verify_and_split(found, note, validation, seed=seed, previous=previous, processes=processes)
        train, val = parts
        return fit_as(
            FinetuneResult, net, train, val, recipe, out, seed=seed, preprocess=net.preprocess, start=start, device=device,
            precision=precision, compiled=compiled, every=every, sample=sample, workers=workers,
        )  # fmt: skip


def _check_start(name: str | Path, from_scratch: bool, weights: WeightsLike | None) -> None:
    """Raise ValueError unless there are weights to start from, or the start is random."""
    kind, text = resolve(name)
    if weights is not None and from_scratch:
        raise InputError(f"pass either from_scratch or weights, not both, got weights={weights!r}")
    if weights is not None:
        return
    if from_scratch and kind != "network":
        raise InputError(f"from_scratch starts from random weights, but {text} names weights: give the name of a network")
    if not from_scratch and kind == "network" and not tags_of(text):
        raise InputError(
            f"{text} has no pretrained weights: name a file or a folder, or start from random ones with from_scratch=True, on the "
            "command line --from-scratch"
        )


def find_split(data: str | Path, validation: float = 0.2, *, seed: int = 0, exif: bool = True) -> tuple[ImageFiles, ImageFiles]:
    """Find the images in a folder, read them all once, and split them into training and validation images.

    Args:
        data: the folder; `train/` and `val/` in it are the two parts, or `train/` and `test/` if there is no `val/`. Other usual
            names, in upper or lower case, are understood, see `resnetlib.data.split_folders`. A `test/` beside `val/` is not used.
        validation: without such parts, the fraction of each class for validation.
        seed: seed of the split.
        exif: whether to turn images upright by their EXIF orientation when they are read.

    Returns:
        The training images and the validation images.

    Raises:
        FileNotFoundError: for a folder without classes, or a class without images.
        ValueError: if `train/` and `val/` have different classes, `train/` is missing, or there are other folders beside them; and
            if all folders hold the same subfolders, so that either may be the classes.
    """
    found, note = _list_images(data, exif=exif)
    return _verify_and_split(found, note, validation, seed=seed)


def _list_images(data: str | Path, *, exif: bool) -> tuple[list[ImageFiles], str]:
    """List the images in a folder; also return a note for the user."""
    folders, note = training_folders(data)
    found = [find_images(folder, exif=exif) for folder in folders]
    if len(found) > 1:
        check_same_classes(*found)
    return found, note


def _verify_and_split(
    found: Sequence[ImageFiles],
    note: str,
    validation: float,
    *,
    seed: int,
    previous: Sequence[Mapping[str, Any]] = (),
    processes: Processes | None = None,
) -> tuple[ImageFiles, ImageFiles]:
    """Read all images once, log what is skipped, and hold out validation images if there are none."""
    found = [verify_images(files, previous=previous, processes=processes) for files in found]
    if processes is None or processes.is_main:
        for text in (note, *(line for files in found for line in files.report.splitlines())):
            if text:
                logger.warning(text)
    if len(found) == 1:
        return hold_out(found[0], validation, seed=seed)
    return found[0], found[1]


def _checked_before(out: Path) -> Sequence[Mapping[str, Any]]:
    """Return the checks of images in run.json by an earlier call; nothing if the file is missing or damaged."""
    with suppress(OSError, ValueError):
        checked = read_run(out / RUN).get("checked")
        keys = {"stamp", "digest", "skipped"}
        if isinstance(checked, list) and all(isinstance(each, dict) and keys <= each.keys() for each in checked):
            return checked
    return ()
