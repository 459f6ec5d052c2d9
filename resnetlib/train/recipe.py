"""How a network is trained, as data."""

import json
from dataclasses import asdict, dataclass, fields
from sys import float_info
from typing import Any, Literal, get_args

Optimizer = Literal["sgd", "nesterov", "adamw", "lamb"]
Schedule = Literal["steps", "one_cycle", "cosine"]
Augmentation = Literal["none", "pad_crop_flip", "resized_crop_flip"]
Loss = Literal["cross_entropy", "binary_cross_entropy"]

_LARGEST_MAGNITUDE = 30
"""Of torchvision's RandAugment, which counts from 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a network is trained: everything but the network, the images, the seed and the machine.

    The length is given in epochs or in iterations. An epoch is as many whole batches as the images fill; the rest waits for another
    epoch's order.

    Args:
        epochs: length of the training, in passes through the images, unless patience ends it earlier; 0 where `iterations` says it.
        iterations: length of the training, in batches; 0 where `epochs` says it.
        batch: images in a batch, on all devices together.
        optimizer: SGD with momentum, the same in Nesterov's form, AdamW, or LAMB.
        lr: learning rate, where the schedule is at its height.
        stem_rate: learning rate of the stem as a share of the classifier's; it falls evenly in between, from block to block. 1 for
            one rate.
        frozen: share of the whole training, at its beginning, in which the classifier alone learns, at `lr`; the schedule
            follows. 1 for a linear probe.
        momentum: of SGD.
        weight_decay: factor of the L2 penalty.
        decay_all: whether norms and biases decay too, as in the papers.
        schedule: "steps" divides by ten at the milestones; "one_cycle" rises linearly for the first fifth and falls linearly to 0;
            "cosine" falls to 0 in half a wave.
        milestones: of "steps", as shares of the whole training.
        warmup: iterations at the beginning that have another learning rate.
        warmup_lr: the learning rate of the warm-up; with "cosine" it rises from here to `lr`, otherwise it stays.
        clip_norm: largest norm of the gradient, longer ones are shortened to it; 0 for any.
        loss: over softmax, or over a sigmoid for each class.
        label_smoothing: share of the target that is spread over all classes.
        mixup: alpha of mixup; 0 for none.
        cutmix: alpha of CutMix; 0 for none. With both, each batch draws one of the two.
        patience: measurements without a lower error on the test images after which the training ends, once all layers learn; the
            weights with the lowest are then the result, so the test images should be others than those by which it will be judged.
            0 for no such end.
        ema: decay of the moving average of the weights, which is then the result; 0 for none.
        augmentation: of the training images.
        pad: pixels on each side for "pad_crop_flip".
        rand_augment: magnitude of RandAugment, two operations at a time; 0 for none. For folders of images.
        smallest_crop: least share of an image's area in a training crop, of "resized_crop_flip".
        train_size: side of the training crop in pixels, of "resized_crop_flip".
        test_size: side of the test crop in pixels, of images that are not all of one size.
        test_resize: shorter side of a test image before that crop, in pixels.

    Raises:
        ValueError: for a value outside what is accepted, and for fields that contradict each other.

    Example:
        >>> recipe = Recipe(epochs=2, schedule="one_cycle")
        >>> recipe.steps(50_000)
        780
        >>> recipe_from_json(recipe.to_json()) == recipe
        True
    """

    epochs: int = 0
    iterations: int = 0
    batch: int = 128
    optimizer: Optimizer = "sgd"
    lr: float = 0.1
    stem_rate: float = 1.0
    frozen: float = 0.0
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
    train_size: int = 224
    test_size: int = 224
    test_resize: int = 256

    def __post_init__(self) -> None:
        choices = {"optimizer": Optimizer, "schedule": Schedule, "augmentation": Augmentation, "loss": Loss}
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}")
        for field in fields(self):
            _check_number(field.name, getattr(self, field.name), field.type)
        if (self.epochs > 0) == (self.iterations > 0):
            raise ValueError(f"one of epochs and iterations must be above 0, got {self.epochs} and {self.iterations}")
        _check_shares(self)
        if self.warmup and (self.schedule == "one_cycle" or not self.warmup_lr):
            raise ValueError(
                f"a warm-up needs warmup_lr, and a schedule other than 'one_cycle', which has its own, got warmup={self.warmup}, "
                f"warmup_lr={self.warmup_lr}, {self.schedule!r}"
            )
        if self.optimizer == "nesterov" and not self.momentum:
            raise ValueError("the optimizer 'nesterov' needs momentum above 0")
        if self.rand_augment > _LARGEST_MAGNITUDE:
            raise ValueError(f"rand_augment must be at most {_LARGEST_MAGNITUDE}, got {self.rand_augment}")
        if self.test_resize < self.test_size:
            raise ValueError(f"test_resize must be at least test_size, got {self.test_resize} and {self.test_size}")

    def steps_per_epoch(self, images: int) -> int:
        """Return the number of whole batches in a pass through so many images.

        Args:
            images: in the training set.

        Returns:
            The number, at least 1.

        Raises:
            ValueError: if the images fill no batch.
        """
        if images < self.batch:
            raise ValueError(f"{images} images do not fill a batch of {self.batch}: take a smaller batch")
        return images // self.batch

    def steps(self, images: int) -> int:
        """Return the number of iterations of the whole training.

        Args:
            images: in the training set.

        Returns:
            The number.

        Raises:
            ValueError: if the images fill no batch, or the warm-up lasts longer than the training.
        """
        steps = self.iterations or self.epochs * self.steps_per_epoch(images)
        left = steps - self.frozen_steps(steps)
        if self.warmup and self.warmup >= left:
            raise ValueError(f"warmup must be shorter than the training's {left} iterations, got {self.warmup}")
        return steps

    def frozen_steps(self, steps: int) -> int:
        """Return the number of iterations in which the classifier alone learns.

        Args:
            steps: iterations of the whole training.

        Returns:
            The number.
        """
        return round(self.frozen * steps)

    def to_json(self) -> str:
        """Return the recipe as JSON, on one line."""
        return json.dumps(asdict(self))


def recipe_from_json(text: str) -> Recipe:
    """Read a recipe that `to_json` wrote, or that a user did.

    Args:
        text: a JSON object; fields that it lacks have their defaults.

    Returns:
        The recipe.

    Raises:
        ValueError: for anything else.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the recipe cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"a recipe must be a JSON object, got {type(values).__name__}")
    return Recipe(**fitting(values))


def fitting(values: dict[str, Any]) -> dict[str, Any]:
    """Check that a recipe has such fields, and make tuples of lists.

    Args:
        values: names and values of fields.

    Returns:
        The same, as `Recipe` takes them.

    Raises:
        ValueError: for a name that is no field's.
    """
    known = [field.name for field in fields(Recipe)]
    if unknown := [name for name in values if name not in known]:
        raise ValueError(f"a recipe has no field {', '.join(map(repr, unknown))}, but {', '.join(known)}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _check_number(name: str, value: Any, kind: Any) -> None:
    if kind is int and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ValueError(f"{name} must be an int, 0 or more, got {value!r}")
    if kind is float and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= float_info.max):
        raise ValueError(f"{name} must be a number, 0 or more, got {value!r:.200}")
    if kind is bool and not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    if name in ("batch", "lr", "train_size", "test_size", "test_resize") and not value:
        raise ValueError(f"{name} must be above 0, got {value!r}")


def _check_shares(recipe: Recipe) -> None:
    for name in ("label_smoothing", "ema", "momentum"):
        if getattr(recipe, name) >= 1:
            raise ValueError(f"{name} must be below 1, got {getattr(recipe, name)!r}")
    if recipe.frozen > 1:
        raise ValueError(f"frozen must be 1 at most, got {recipe.frozen!r}")
    for name in ("stem_rate", "smallest_crop"):
        if not 0 < getattr(recipe, name) <= 1:
            raise ValueError(f"{name} must be above 0, and 1 at most, got {getattr(recipe, name)!r}")
    marks = recipe.milestones
    fit = isinstance(marks, tuple) and all(isinstance(mark, float) and 0 < mark < 1 for mark in marks)
    if not fit or list(marks) != sorted(set(marks)):
        raise ValueError(f"milestones must be rising floats between 0 and 1, got {marks!r}")
    if bool(marks) != (recipe.schedule == "steps"):
        raise ValueError(
            f"milestones belong to the schedule 'steps', which needs some (give the others milestones=[]), got {list(marks)} with "
            f"{recipe.schedule!r}"
        )
