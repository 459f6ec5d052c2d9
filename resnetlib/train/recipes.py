"""The recipes that have names."""

from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

from resnetlib.train.recipe import Recipe, fitting

_FINETUNE = Recipe(
    epochs=20,
    batch=32,
    optimizer="nesterov",
    lr=0.02,
    stem_rate=0.3,
    frozen=0.2,
    weight_decay=1e-4,
    decay_all=False,
    schedule="cosine",
    label_smoothing=0.1,
    patience=8,
    augmentation="resized_crop_flip",
    smallest_crop=0.35,
)
_HE2015 = Recipe(iterations=64_000, batch=128, lr=0.1, weight_decay=1e-4, schedule="steps", milestones=(0.5, 0.75))

RECIPES = MappingProxyType(
    {
        "he2015_cifar": _HE2015,
        "he2015_cifar110": replace(_HE2015, warmup=400, warmup_lr=0.01),
        "he2016_cifar": replace(_HE2015, warmup=400, warmup_lr=0.01),
        "densenet_cifar": replace(_HE2015, iterations=0, epochs=300, batch=64, optimizer="nesterov"),
        "one_cycle_cifar": Recipe(epochs=16, batch=128, optimizer="nesterov", lr=0.2, weight_decay=5e-4, schedule="one_cycle"),
        "finetune": _FINETUNE,
        "finetune_cifar": replace(_FINETUNE, augmentation="pad_crop_flip"),
        "he2015_imagenet": Recipe(
            epochs=90, batch=256, lr=0.1, weight_decay=1e-4, milestones=(1 / 3, 2 / 3), augmentation="resized_crop_flip"
        ),
        "rsb_a3": Recipe(
            epochs=100,
            batch=2048,
            optimizer="lamb",
            lr=8e-3,
            weight_decay=0.02,
            decay_all=False,
            schedule="cosine",
            warmup=3125,
            warmup_lr=1e-6,
            clip_norm=1.0,
            loss="binary_cross_entropy",
            mixup=0.1,
            cutmix=1.0,
            augmentation="resized_crop_flip",
            rand_augment=6,
            train_size=160,
            test_size=224,
            test_resize=236,
        ),
    }
)
"""Name -> recipe.

he2015_cifar
    arXiv 1512.03385, sec. 4.2; milestones at 32,000 and 48,000 iterations. The mean and deviation of the colours are those of
    the whole set, where the paper subtracts each pixel's own mean.
he2015_cifar110
    the same for 110 layers: the rate is 0.01 for the first 400 iterations, the time that the paper took to get below 80 % error.
he2016_cifar
    arXiv 1603.05027, appendix: the same warm-up for all depths.
densenet_cifar
    arXiv 1608.06993, sec. 4.2.
one_cycle_cifar
    short, for small machines; arXiv 1708.07120 has the idea.
finetune
    for `resnetlib.finetune`: the classifier alone for a fifth of the time, then all layers, early ones at lower rates
    (arXiv 1801.06146, sec. 3.2 and 3.3); the best weights by the validation images.
finetune_cifar
    the same for images in memory.
he2015_imagenet
    arXiv 1512.03385, sec. 3.4, with crops of random sizes, and a third of 90 epochs for each rate, as in fb.resnet.torch.
rsb_a3
    arXiv 2110.00476, table 2, A3: five of 100 epochs to warm up. Different from it: torchvision's RandAugment at a fixed magnitude,
    bilinear resizing, and targets that stay mixed, where the authors' code makes each class of a mixture a whole one.
"""


def recipe_of(name: str, **changes: Any) -> Recipe:
    """Return one of the named recipes.

    Args:
        name: one of `RECIPES`.
        **changes: fields that shall differ from it. `epochs` and `iterations` replace each other.

    Returns:
        The recipe.

    Raises:
        ValueError: for an unknown name or field, or a value outside what is accepted.

    Example:
        >>> recipe_of("one_cycle_cifar", epochs=5).epochs
        5
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}, but {', '.join(RECIPES)}")
    return changed(RECIPES[name], **changes)


def changed(recipe: Recipe, **changes: Any) -> Recipe:
    """Change fields of a recipe.

    Args:
        recipe: any.
        **changes: fields that shall differ from it. `epochs` and `iterations` replace each other.

    Returns:
        The other recipe.

    Raises:
        ValueError: for an unknown field, or a value outside what is accepted.
    """
    changes = fitting(changes)
    if ("epochs" in changes) != ("iterations" in changes):
        changes = {"epochs": 0, "iterations": 0} | changes
    return replace(recipe, **changes)


def in_words(recipe: Recipe) -> str:
    """Say a recipe in a line: the nearest one that has a name, and what is different.

    Args:
        recipe: any.

    Returns:
        The words.

    Example:
        >>> in_words(recipe_of("he2015_cifar", batch=64, lr=0.05))
        'he2015_cifar, batch=64, lr=0.05'
    """
    values = asdict(recipe)
    changes = {name: {k: v for k, v in values.items() if v != getattr(RECIPES[name], k)} for name in RECIPES}
    nearest = min(changes, key=lambda name: len(changes[name]))
    return ", ".join([nearest, *(f"{field}={value}" for field, value in changes[nearest].items())])
