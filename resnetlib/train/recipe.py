"""Training recipes as data, and the named ones."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from math import cos, inf, pi
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from resnetlib.config.integers import as_float, as_integer
from resnetlib.config.spec import parse_object
from resnetlib.errors import InputError, InputTypeError

Optimizer = Literal["sgd", "nesterov", "adamw", "lamb"]
Schedule = Literal["steps", "one_cycle", "cosine"]
Augmentation = Literal["none", "pad_crop_flip", "resized_crop_flip"]
Loss = Literal["cross_entropy", "binary_cross_entropy"]

_ONE_CYCLE_RISE = 0.2  # fraction of the one-cycle schedule in which the learning rate rises

_RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (("lr",), lambda value: value > 0, "above 0"),
    (("stem_lr_scale", "smallest_crop"), lambda value: 0 < value <= 1, "above 0 and at most 1"),
    (("head_only_fraction",), lambda value: value <= 1, "at most 1"),
    (("label_smoothing", "ema", "momentum"), lambda value: value < 1, "below 1"),
    (("rand_augment",), lambda value: value <= 30, "at most 30"),  # torchvision's RandAugment has 31 bins
)
"""Fields, checks of their values, and the accepted values; types and signs are checked before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a network is trained: everything except the network, the images, the seed and the hardware.

    The length is given in epochs or in iterations. An epoch has only full batches; the images left over are skipped, and the next
    epoch has another order.

    Args:
        epochs: length of the training in passes over the images; 0 if `iterations` is given.
        iterations: length of the training in batches; 0 if `epochs` is given.
        batch_size: images per batch, over all devices together; 0 for a tenth of the training images, from 4 to 32, so that an
            epoch of a small set has about ten steps.
        optimizer: "sgd" (with momentum), "nesterov", "adamw" or "lamb" (requires timm).
        lr: peak learning rate.
        stem_lr_scale: learning rate of the stem relative to the classifier's; it decays geometrically from block to block. 1 for
            one learning rate.
        head_only_fraction: fraction of the iterations, at the start, in which only the classifier is trained, at `lr`; the schedule
            begins afterwards. 1 for a linear probe.
        momentum: momentum of SGD.
        weight_decay: weight decay.
        decay_all: apply weight decay to norms and biases too, as in the papers.
        schedule: "steps" divides by ten at the milestones; "one_cycle" rises linearly for the first fifth and falls linearly to 0;
            "cosine" falls to 0 along half a cosine wave.
        milestones: of "steps", as fractions of the training; empty for a constant learning rate.
        warmup: number of warm-up iterations.
        warmup_lr: learning rate of the warm-up; with "cosine" it rises linearly from here to `lr`, otherwise it is constant.
        clip_norm: maximum norm of the gradient; 0 for no clipping.
        loss: "cross_entropy" (softmax) or "binary_cross_entropy" (a sigmoid per class).
        label_smoothing: label smoothing, in [0, 1).
        mixup: alpha of mixup; 0 for none.
        cutmix: alpha of CutMix; 0 for none. With both, each batch uses one of them, chosen at random.
        patience: number of evaluations without a lower error on the evaluation images after which the training stops, counted once
            all layers are trained. The weights with the lowest error are then the result, so final figures need other images. 0 for
            no early stopping.
        ema: decay of the exponential moving average of the weights, which is then the result; 0 for none.
        augmentation: augmentation of the training images.
        pad: pixels added on each side by "pad_crop_flip".
        rand_augment: magnitude of torchvision's RandAugment with two operations, 30 at most (timm's is 10 at most: take three times
            as much); 0 for none. Only for folders of images.
        smallest_crop: minimum area of a training crop of "resized_crop_flip", as a fraction of the image.
        train_size: side of a training crop of "resized_crop_flip", in pixels; 0 for the size of the preprocessing.
        test_size: side of the center crop in evaluation, in pixels, for images in folders; 0 for the size of the preprocessing.
        test_resize: shorter side of an image before the center crop, in pixels; 0 for that of the preprocessing.

    Raises:
        ValueError: for a value out of range or fields that contradict each other.

    Example:
        >>> recipe = Recipe(epochs=2, schedule="one_cycle")
        >>> recipe.steps(50_000)
        780
        >>> recipe_from_json(recipe.to_json()) == recipe
        True
    """

    epochs: int = 0
    iterations: int = 0
    batch_size: int = 128
    optimizer: Optimizer = "sgd"
    lr: float = 0.1
    stem_lr_scale: float = 1.0
    head_only_fraction: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay_all: bool = True
    schedule: Schedule = "steps"
    milestones: tuple[float, ...] = ()
    warmup: int = 0
    warmup_lr: float = 0.0
    clip_norm: float = 0.0
    loss: Loss = "cross_entropy"
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    patience: int = 0
    ema: float = 0.0
    augmentation: Augmentation = "pad_crop_flip"
    pad: int = 4
    rand_augment: int = 0
    smallest_crop: float = 0.08
    train_size: int = 0
    test_size: int = 0
    test_resize: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.milestones, list):  # from JSON
            object.__setattr__(self, "milestones", tuple(self.milestones))
        for field in fields(self):
            object.__setattr__(self, field.name, _as_type(field.name, getattr(self, field.name), field.type))
        for names, fits, accepted in _RANGES:
            for name in names:
                if not fits(getattr(self, name)):
                    raise InputError(f"{name} must be {accepted}, got {getattr(self, name)!r}")
        if (self.epochs > 0) == (self.iterations > 0):
            raise InputError(f"set exactly one of epochs and iterations, got epochs={self.epochs}, iterations={self.iterations}")
        marks = self.milestones
        valid = isinstance(marks, tuple) and all(isinstance(mark, float) and 0 < mark < 1 for mark in marks)
        if not valid or list(marks) != sorted(set(marks)):
            raise InputError(f"milestones must be increasing floats between 0 and 1, such as (0.5, 0.75), got {marks!r}")
        if self.rand_augment and self.augmentation != "resized_crop_flip":
            raise InputError(f"rand_augment needs augmentation='resized_crop_flip', got {self.augmentation!r}: set rand_augment=0")
        if marks and self.schedule != "steps":
            raise InputError(
                f"milestones require schedule='steps', got {list(marks)} with schedule={self.schedule!r}: set milestones=[]"
            )
        if self.warmup and (self.schedule == "one_cycle" or not self.warmup_lr):
            raise InputError(
                "a warm-up needs warmup_lr, and a schedule other than 'one_cycle', which has its own, "
                f"got warmup={self.warmup}, warmup_lr={self.warmup_lr}, {self.schedule!r}"
            )
        if self.optimizer == "nesterov" and not self.momentum:
            raise InputError("the optimizer 'nesterov' needs momentum above 0")
        if 0 < self.test_resize < self.test_size:
            raise InputError(f"test_resize must be at least test_size, got {self.test_resize} and {self.test_size}")

    def batch_for(self, images: int) -> int:
        """Return the batch size for a training set of this many images."""
        return self.batch_size or min(32, max(4, images // 10))

    def steps_per_epoch(self, images: int) -> int:
        """Return the number of batches in an epoch of `images` images; raise ValueError if they do not fill one."""
        size = self.batch_for(images)
        if images < size:
            raise InputError(f"{images} images do not fill a batch of {size}: take a smaller batch")
        return images // size

    def steps(self, images: int) -> int:
        """Return the number of iterations of the training; raise ValueError if the warm-up does not fit into it."""
        steps = self.iterations or self.epochs * self.steps_per_epoch(images)
        left = steps - self.head_only_steps(steps)
        if self.warmup and self.warmup >= left:
            raise InputError(f"warmup must be shorter than the training's {left} iterations, got {self.warmup}")
        return steps

    def head_only_steps(self, steps: int) -> int:
        """Return how many of `steps` iterations train only the classifier."""
        return round(self.head_only_fraction * steps)

    def to_json(self) -> str:
        """Return the recipe as JSON on one line."""
        return json.dumps(asdict(self))


def _as_type(name: str, value: Any, kind: Any) -> Any:
    """Convert a field's value to its type, so that equal recipes have equal JSON.

    Raise ValueError if it cannot be converted.
    """
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise InputError(f"{name} must be one of {', '.join(get_args(kind))}, got {value!r}")
    if kind is bool and not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, got {value!r}")
    if kind is int:
        if (count := as_integer(value)) is None or count < 0:
            raise InputError(f"{name} must be an int, 0 or more, got {value!r}")
        return count
    if kind is float:
        if not 0 <= (number := as_float(value)) < inf:
            raise InputError(f"{name} must be a number, 0 or more, got {value!r:.200}")
        return number
    return value


def recipe_from_json(text: str) -> Recipe:
    """Read a recipe from a JSON object; missing fields take their defaults. Raise ValueError if it is not a valid recipe."""
    return Recipe(**_check_fields(parse_object(text, "a recipe")))


def _check_fields(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields; raise ValueError for unknown ones."""
    known = [field.name for field in fields(Recipe)]
    if unknown := [name for name in values if name not in known]:
        raise InputError(f"a recipe has no field {', '.join(map(repr, unknown))}; its fields are {', '.join(known)}")
    return values


_FINETUNE = Recipe(
    epochs=20,
    batch_size=0,
    optimizer="nesterov",
    lr=0.02,
    stem_lr_scale=0.3,
    head_only_fraction=0.2,
    weight_decay=1e-4,
    decay_all=False,
    schedule="cosine",
    label_smoothing=0.1,
    patience=8,
    augmentation="resized_crop_flip",
    smallest_crop=0.35,
)
_HE2015 = Recipe(iterations=64_000, batch_size=128, lr=0.1, weight_decay=1e-4, schedule="steps", milestones=(0.5, 0.75))

RECIPES = MappingProxyType(
    {
        "he2015_cifar": _HE2015,
        "he2015_cifar110": replace(_HE2015, warmup=400, warmup_lr=0.01),
        "he2016_cifar": replace(_HE2015, warmup=400, warmup_lr=0.01),
        "densenet_cifar": replace(_HE2015, iterations=0, epochs=300, batch_size=64, optimizer="nesterov"),
        "one_cycle_cifar": Recipe(epochs=16, batch_size=128, optimizer="nesterov", lr=0.2, weight_decay=5e-4, schedule="one_cycle"),
        "finetune": _FINETUNE,
        "finetune_cifar": replace(_FINETUNE, augmentation="pad_crop_flip"),
        "he2015_imagenet": Recipe(
            epochs=90, batch_size=256, lr=0.1, weight_decay=1e-4, milestones=(1 / 3, 2 / 3), augmentation="resized_crop_flip"
        ),
        "rsb_a3": Recipe(
            epochs=100,
            batch_size=2048,
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
            rand_augment=18,
            train_size=160,
            test_size=224,
            test_resize=236,
        ),
    }
)
"""Recipes by name.

he2015_cifar
    arXiv 1512.03385, sec. 4.2, with milestones at 32,000 and 48,000 iterations. Images are normalized by the mean and standard
    deviation of each channel, where the paper subtracts the per-pixel mean.
he2015_cifar110
    the same for 110 layers, with a learning rate of 0.01 for the first 400 iterations.
he2016_cifar
    arXiv 1603.05027, appendix: the same warm-up for all depths.
densenet_cifar
    arXiv 1608.06993, sec. 4.2.
one_cycle_cifar
    a short training for small machines, as in arXiv 1708.07120.
finetune
    for `resnetlib.finetune`: the classifier alone for a fifth of the iterations, then all layers with lower learning rates for
    early ones (arXiv 1801.06146, sec. 3.2 and 3.3); the best weights on the validation images are kept.
finetune_cifar
    the same for images in memory.
he2015_imagenet
    arXiv 1512.03385, sec. 3.4, with random resized crops, and the learning rate divided by ten after 30 and 60 of 90 epochs, as in
    fb.resnet.torch.
rsb_a3
    arXiv 2110.00476, table 2, A3, with five epochs of warm-up. It differs in torchvision's RandAugment, where timm varies the
    magnitude and applies each operation with probability 0.5; in bilinear resizing; and in mixed targets, where the authors' code
    makes each class of a mixture a positive one.
"""


def recipe_of(name: str, **changes: Any) -> Recipe:
    """Return a named recipe, with changes to its fields.

    >>> recipe_of("one_cycle_cifar", epochs=5).epochs
    5

    Args:
        name: a key of `RECIPES`.
        **changes: fields of `Recipe`. A new value of `epochs` replaces `iterations`, and the other way round.

    Returns:
        The recipe.

    Raises:
        ValueError: if the name or a field is unknown, or a value is out of range.
    """
    if not isinstance(name, str) or name not in RECIPES:
        raise InputError(f"there is no recipe {name!r}; choose one of {', '.join(RECIPES)}")
    return change_recipe(RECIPES[name], **changes)


def as_recipe(recipe: str | Recipe) -> Recipe:
    """Return a recipe, or the one of this name; raise TypeError for anything else."""
    if isinstance(recipe, str):
        return recipe_of(recipe)
    if not isinstance(recipe, Recipe):
        raise InputTypeError(f"recipe must be a Recipe, such as recipe_of('one_cycle_cifar'), or its name, got {recipe!r:.200}")
    return recipe


def change_recipe(recipe: Recipe, **changes: Any) -> Recipe:
    """Return a recipe with some fields changed; `epochs` and `iterations` replace each other."""
    changes = _check_fields(changes)
    if ("epochs" in changes) != ("iterations" in changes):
        changes = {"epochs": 0, "iterations": 0} | changes
    return replace(recipe, **changes)


def describe_recipe(recipe: Recipe) -> str:
    """Return the closest named recipe and the fields that differ from it, as "he2015_cifar, batch_size=64, lr=0.05"."""
    values = asdict(recipe)
    changes = {name: {k: v for k, v in values.items() if v != getattr(RECIPES[name], k)} for name in RECIPES}
    nearest = min(changes, key=lambda name: len(changes[name]))
    return ", ".join([nearest, *(f"{field}={value}" for field, value in changes[nearest].items())])


def learning_rate(recipe: str | Recipe, iteration: int, steps: int) -> float:
    """Return the learning rate of an iteration, counted from 0, in a training of `steps` iterations.

    >>> recipe = recipe_of("he2015_cifar110")
    >>> [learning_rate(recipe, i, 64_000) for i in (0, 399, 400, 31_999, 32_000, 48_000)]
    [0.01, 0.01, 0.1, 0.1, 0.01, 0.001]
    """
    recipe = as_recipe(recipe)
    head_only = recipe.head_only_steps(steps)
    if iteration < head_only:
        return recipe.lr
    iteration, steps = iteration - head_only, steps - head_only
    if iteration < recipe.warmup:
        if recipe.schedule != "cosine":
            return recipe.warmup_lr
        return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * iteration / recipe.warmup
    if recipe.schedule == "steps":
        passed = sum(iteration >= mark * steps for mark in recipe.milestones)
        return recipe.lr / float(10**passed)
    if recipe.schedule == "cosine":
        done = (iteration - recipe.warmup) / (steps - recipe.warmup)
        return recipe.lr * (1 + cos(pi * done)) / 2
    done = (iteration + 1) / (steps + 1)
    return recipe.lr * min(done / _ONE_CYCLE_RISE, (1 - done) / (1 - _ONE_CYCLE_RISE))
