"""A training that takes a second."""

from dataclasses import replace
from typing import Any

import torch

from resnetlib import Backbone, ResNetSpec, build
from resnetlib.data import LabeledImages
from resnetlib.models import Spec
from resnetlib.train import Recipe, recipe_of

SPEC = ResNetSpec(block="basic", depths=(1, 1), widths=(4, 8), shortcut="A", stem="cifar")


def images(n: int = 60, *, seed: int = 0, side: int = 8) -> LabeledImages:
    """Images of three classes, told apart by their brightest color."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    pixels = torch.randint(160, (n, 3, side, side), dtype=torch.uint8, generator=draws)
    pixels[torch.arange(n), labels] += 60
    return LabeledImages(pixels, labels, ("red", "green", "blue"))


def network(spec: Spec = SPEC, **options: Any) -> Backbone:
    """A network that begins with the same weights every time."""
    torch.manual_seed(0)
    return build(spec, num_classes=3, **options)


def recipe(**changes: Any) -> Recipe:
    """Four epochs of six batches."""
    return recipe_of("one_cycle_cifar", **{"epochs": 4, "batch_size": 10, "lr": 0.1, "pad": 1} | changes)


def plain(spec: ResNetSpec = SPEC) -> ResNetSpec:
    """The same without skips."""
    return replace(spec, join="replace")
