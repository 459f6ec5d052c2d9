"""The papers' recipes on the real images."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnetlib import create_model
from resnetlib.data import LabeledImages, cifar10
from resnetlib.train import RECIPES, fit, recipe_of

pytestmark = pytest.mark.slow


def first(folder: Path, split: str, n: int) -> LabeledImages:
    data = cifar10(folder, split)  # type: ignore[arg-type]
    return replace(data, images=data.images[:n], labels=data.labels[:n])


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.augmentation == "pad_crop_flip"])
def test_each_recipe_of_cifar_for_two_iterations(name: str, cifar10_folder: Path, tmp_path: Path) -> None:
    network = {"densenet_cifar": "cifar_densenet40_k12", "he2016_cifar": "cifar_preact_resnet20"}.get(name, "cifar_resnet20")
    train, test = first(cifar10_folder, "train", 128), first(cifar10_folder, "test", 50)
    result = fit(create_model(network), train, test, recipe_of(name, iterations=2, warmup=0), tmp_path, sample=100)
    assert result.iterations == 2
    assert 0 < result.train_loss < 100


def test_two_hundred_iterations_learn_two_thousand_images(cifar10_folder: Path, tmp_path: Path) -> None:
    train, test = first(cifar10_folder, "train", 2000), first(cifar10_folder, "test", 500)
    torch.manual_seed(0)
    recipe = recipe_of("one_cycle_cifar", iterations=200, batch_size=32, lr=0.1)
    result = fit(create_model("cifar_resnet20"), train, test, recipe, tmp_path, sample=500, every=200)
    assert result.train_loss < 1.85  # guessing costs 2.30
    assert result.test_error < 75
