"""From trained weights and a folder of images to a classifier of these images."""

import hashlib
from pathlib import Path

import torch
from tqdm import tqdm

from resnetlib.data import ImageFiles, LabelledImages, check_same_classes, find_images, hold_out, try_images
from resnetlib.data.folder import ENDINGS
from resnetlib.distributed import choose_device, is_main_process
from resnetlib.modules import Backbone
from resnetlib.train import Recipe, Result, fit, recipe_of
from resnetlib.train.fit import check_arguments
from resnetlib.train.step import Precision
from resnetlib.weights import InputRule, Preprocessing
from resnetlib.zoo import create_model

__all__ = ["find_split", "finetune"]


def finetune(
    name: str | Path,
    data: str | Path | tuple[LabelledImages, LabelledImages],
    out: str | Path,
    *,
    recipe: Recipe | None = None,
    validation: float = 0.2,
    in_chans: int | None = None,
    input_rule: InputRule | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    precision: Precision = "auto",
    compiled: bool = False,
    every: int = 0,
    sample: int = 10_000,
) -> Result:
    """Fine-tune a network on your images, and save it.

    The folder `out` is a complete model: `create_model("./out")`, `resnetlib predict out photo.jpg`, and where timm has the network
    timm and transformers load it too. Called again, it goes on where it was stopped, and ends the same.

    Args:
        name: of weights, as `create_model` takes it; of a network without weights, to train from scratch.
        data: a folder with a folder of images for each class; one with `train/` and `val/`, each like that; or training and
            validation images in memory. Images that cannot be read are passed over, and said.
        out: the folder to fill, or to go on in; not one inside the data.
        recipe: how; None for `recipe_of("finetune")`, or for images in memory `recipe_of("finetune_cifar")`.
        validation: share of the images held out where there is no `val/`, of each class. By them the best weights are chosen.
        in_chans: channels of the images; None for the weights' own. Images in folders have 1 or 3.
        input_rule: how the first convolution is adapted to them (`resnetlib.weights.adapt_input`).
        seed: of the split, of the new classifier, and of all that is drawn in training.
        device: where; None for a GPU if there is one.
        precision: of the convolutions.
        compiled: whether to compile the network first.
        every: iterations between measurements; 0 for an epoch's.
        sample: images of either set in these measurements; 0 for all.

    Returns:
        The errors of the weights that were saved; "test" means the validation images.

    Raises:
        ValueError: if there is one class only, two classes have one name, a class has no readable image, and as `fit` and
            `create_model` do.
        FileNotFoundError: for a folder without classes, or a class without images.

    Source:
        Classifier first, then all layers: arXiv 1801.06146, sec. 3.3, "gradual unfreezing", in two steps. Rates by layer: sec. 3.2.

    Example:
        >>> import tempfile, torch
        >>> from resnetlib import create_model, finetune
        >>> from resnetlib.train import recipe_of
        >>> images = torch.randint(256, (40, 3, 32, 32), dtype=torch.uint8)
        >>> toy = LabelledImages(images, torch.arange(40) % 2, ("even", "odd"))
        >>> recipe = recipe_of("finetune_cifar", epochs=1, batch=20)
        >>> with tempfile.TemporaryDirectory() as out:
        ...     _ = finetune("cifar_resnet20.resnetlib_c10", (toy, toy), out, recipe=recipe)
        ...     create_model(f"{out}/").classes
        ('even', 'odd')
    """
    check_arguments(recipe or recipe_of("finetune"), out, seed=seed, every=every, sample=sample)
    device = choose_device(device)
    if not isinstance(validation, int | float):
        raise TypeError(f"validation must be a number between 0 and 1, got {validation!r:.200}")
    parts: tuple[LabelledImages, LabelledImages] | tuple[ImageFiles, ImageFiles]
    if data == "":
        raise ValueError("data must name a folder, got ''")
    if isinstance(data, str | Path):
        if Path(out).resolve().is_relative_to(Path(data).resolve()):
            raise ValueError(f"{out} lies in {data}, where its files would be taken for data: give another folder")
        parts = find_split(data, validation, seed=seed)
    elif isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, LabelledImages) for part in data):
        parts = data
    else:
        kinds = [type(part).__name__ for part in data] if isinstance(data, tuple | list) else repr(data)
        raise TypeError(f"data must be a folder, or training and validation images in memory, got {kinds!s:.200}")
    in_memory, classes = isinstance(parts[0], LabelledImages), parts[0].classes
    if len(classes) < 2:
        raise ValueError(f"there is one class only, {classes[0]!r}: a classifier needs two or more")
    recipe = recipe or recipe_of("finetune_cifar" if in_memory else "finetune")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = create_model(name, num_classes=len(classes), in_chans=in_chans, input_rule=input_rule)
        if net.classes != classes:  # as many by chance are others all the same
            net.reset_classifier(len(classes))
    preprocess = net.preprocess
    if preprocess is None and net.spec.stem == "cifar" and not in_memory:
        preprocess = Preprocessing.named("cifar10", resize=32, size=32).for_channels(net.in_chans)
    return fit(
        net,
        parts[0],
        parts[1],
        recipe,
        out,
        seed=seed,
        preprocess=preprocess,
        start=_digest(net),
        device=device,
        precision=precision,
        compiled=compiled,
        every=every,
        sample=sample,
    )


def _digest(net: Backbone) -> str:
    """Hash the weights that a network begins with."""
    digest = hashlib.sha256()
    for tensor in net.state_dict().values():
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def find_split(data: str | Path, validation: float = 0.2, *, seed: int = 0) -> tuple[ImageFiles, ImageFiles]:
    """Find the images in a folder, try to read them all, and split them in two.

    Args:
        data: the folder; with `train/` and `val/` in it these are the two parts.
        validation: share of the second part otherwise.
        seed: of that split.

    Returns:
        The images to train on, and those to choose by.

    Raises:
        FileNotFoundError: for a folder without classes, or a class without images.
        ValueError: if `train/` and `val/` have different classes, `val/` is there alone, or there are other folders beside them.
    """
    found = [try_images(find_images(folder)) for folder in _parts(Path(data))]
    if is_main_process():
        for files in found:
            if files.report:
                tqdm.write(files.report)
    if len(found) == 1:
        return hold_out(found[0], validation, seed=seed)
    check_same_classes(*found)
    return found[0], found[1]


def _parts(data: Path) -> list[Path]:
    """Tell the folders train and val from folders that are classes: a class has images in it, train has folders."""
    named = {name: data / name for name in ("train", "val") if (data / name).is_dir() and not _has_images(data / name)}
    if not named:
        return [data]
    folders = [path.name for path in data.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))]
    others = [name for name in folders if name not in named]
    if "train" not in named or others:
        there = ", ".join(sorted([*named, *others]))
        raise ValueError(f"{data} has the folders {there}: give train and val, train alone, or a folder of images for each class")
    return [*named.values()]


def _has_images(folder: Path) -> bool:
    return any(path.suffix.lower() in ENDINGS for path in folder.iterdir())
