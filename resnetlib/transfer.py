"""From trained weights and a folder of images to a classifier of these images."""

from pathlib import Path

import torch
from tqdm import tqdm

from resnetlib.data import ImageFiles, LabelledImages, find_images, hold_out, try_images
from resnetlib.train import Recipe, Result, fit, recipe_of
from resnetlib.train.group import leads
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
    in_channels: int | None = None,
    input_rule: InputRule | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    precision: Precision = "auto",
    compiled: bool = False,
    every: int = 0,
    sample: int = 0,
) -> Result:
    """Fine-tune a network on your images, and save it.

    The folder `out` is a complete model: `create_model(out)`, `resnetlib predict out photo.jpg`, and where timm has the network
    timm and transformers load it too. Called again, it goes on where it was stopped, and ends the same.

    Args:
        name: of weights, as `create_model` takes it; of a network without weights, to train from scratch.
        data: a folder with a folder of images for each class; one with `train/` and `val/`, each like that; or training and
            validation images in memory. Images that cannot be read are passed over, and said.
        out: the folder to fill, or to go on in; not one inside the data.
        recipe: how; None for `recipe_of("finetune")`, or for images in memory `recipe_of("finetune_cifar")`.
        validation: share of the images held out where there is no `val/`, of each class. By them the best weights are chosen.
        in_channels: channels of the images; None for the weights' own. Images in folders have 1 or 3.
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
        >>> from resnetlib import create_model, finetune, recipe_of
        >>> images = torch.randint(256, (40, 3, 32, 32), dtype=torch.uint8)
        >>> toy = LabelledImages(images, torch.arange(40) % 2, ("even", "odd"))
        >>> recipe = recipe_of("finetune_cifar", epochs=1, batch=20)
        >>> with tempfile.TemporaryDirectory() as out:
        ...     _ = finetune("cifar_resnet20.resnetlib_c10", (toy, toy), out, recipe=recipe)
        ...     create_model(f"{out}/").classes
        ('even', 'odd')
    """
    parts: tuple[LabelledImages, LabelledImages] | tuple[ImageFiles, ImageFiles]
    if isinstance(data, str | Path):
        if Path(out).resolve().is_relative_to(Path(data).resolve()):
            raise ValueError(f"{out} lies in {data}, where its files would be taken for data: give another folder")
        parts = find_split(data, validation, seed=seed)
    else:
        parts = data
    in_memory, classes = isinstance(parts[0], LabelledImages), parts[0].classes
    if len(classes) < 2:
        raise ValueError(f"there is one class only, {classes[0]!r}: a classifier needs two or more")
    recipe = recipe or recipe_of("finetune_cifar" if in_memory else "finetune")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = create_model(name, num_classes=len(classes), in_channels=in_channels, input_rule=input_rule)
        if net.classes != classes:  # as many by chance are others all the same
            net.reset_classifier(len(classes))
    preprocess = net.preprocess if isinstance(net.preprocess, Preprocessing) else None
    if preprocess is None and net.spec.stem == "cifar" and not in_memory:
        preprocess = Preprocessing.named("cifar10", resize=32, size=32).for_channels(net.in_channels)
    return fit(
        net,
        parts[0],
        parts[1],
        recipe,
        out,
        seed=seed,
        preprocess=preprocess,
        device=device,
        precision=precision,
        compiled=compiled,
        every=every,
        sample=sample,
    )


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
        ValueError: if `train/` and `val/` have different classes, or one is there without the other's images.
    """
    train, val = Path(data) / "train", Path(data) / "val"
    if val.is_dir() and not train.is_dir():
        raise ValueError(f"{data} has a folder val, but no train: give both, or a folder for each class")
    folders = (train, val) if val.is_dir() else (train,) if train.is_dir() else (Path(data),)
    found = [try_images(find_images(folder)) for folder in folders]
    if leads():
        for files in found:
            if files.report:
                tqdm.write(files.report)
    if len(found) == 1:
        return hold_out(found[0], validation, seed=seed)
    if found[0].classes != found[1].classes:
        apart = sorted(set(found[0].classes) ^ set(found[1].classes))
        raise ValueError(f"{train} and {val} must have the same classes; only one of them has {', '.join(apart)}")
    return found[0], found[1]
