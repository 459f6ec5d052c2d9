"""Recipes are data: checked, written as JSON, and true to the papers."""

import json
import sys
from dataclasses import FrozenInstanceError, asdict, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetlib import create_model
from resnetlib.errors import MissingPackageError
from resnetlib.train import RECIPES, Recipe, fit, learning_rate, recipe_from_json, recipe_of
from resnetlib.train.recipe import describe_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_json_round_trip(name: str) -> None:
    assert recipe_from_json(RECIPES[name].to_json()) == RECIPES[name]


def test_the_papers_recipes() -> None:
    he = RECIPES["he2015_cifar"]
    assert (he.iterations, he.batch_size, he.optimizer, he.momentum, he.weight_decay) == (64_000, 128, "sgd", 0.9, 1e-4)
    rates = [learning_rate(he, i, 64_000) for i in (0, 31_999, 32_000, 47_999, 48_000, 63_999)]
    assert rates == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert learning_rate("he2015_cifar", 48_000, 64_000) == rates[4]
    warm = [learning_rate(RECIPES["he2015_cifar110"], i, 64_000) for i in (0, 399, 400)]
    assert warm == [0.01, 0.01, 0.1]
    dense = RECIPES["densenet_cifar"]
    assert (dense.epochs, dense.batch_size, dense.optimizer, dense.weight_decay) == (300, 64, "nesterov", 1e-4)
    steps = dense.steps(50_000)
    assert steps == 300 * 781
    assert [learning_rate(dense, i, steps) for i in (steps // 2 - 1, steps // 2, 3 * steps // 4)] == [0.1, 0.01, 0.001]


def test_one_cycle_rises_and_falls_in_straight_lines() -> None:
    recipe = recipe_of("one_cycle_cifar", epochs=10)
    rates = [learning_rate(recipe, i, 1000) for i in range(1000)]
    top = rates.index(max(rates))
    assert 195 <= top <= 205
    assert rates[top] == pytest.approx(recipe.lr, rel=0.01)
    assert 0 < rates[0] < recipe.lr / 100
    assert 0 < rates[-1] < recipe.lr / 100
    rises = [b - a for a, b in pairwise(rates)]
    assert all(rise > 0 for rise in rises[:top])
    assert all(rise < 0 for rise in rises[top + 1 :])


def test_cosine_warms_up_and_ends_near_nothing() -> None:
    recipe = recipe_of("rsb_a3")
    steps = recipe.steps(1_281_167)
    assert learning_rate(recipe, 0, steps) == recipe.warmup_lr
    assert learning_rate(recipe, recipe.warmup, steps) == recipe.lr
    assert learning_rate(recipe, (steps + recipe.warmup) // 2, steps) == pytest.approx(recipe.lr / 2, rel=1e-3)
    assert 0 < learning_rate(recipe, steps - 1, steps) < 1e-8


@given(st.sampled_from(sorted(RECIPES)), st.integers(1, 99), st.integers(100, 5000))
def test_the_rate_is_never_below_nothing_nor_above_its_height(name: str, percent: int, steps: int) -> None:
    recipe = replace(RECIPES[name], warmup=min(RECIPES[name].warmup, steps // 10))
    rate = learning_rate(recipe, steps * percent // 100, steps)
    assert 0 < rate <= recipe.lr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "set exactly one of epochs and iterations, got epochs=0, iterations=0"),
        ({"epochs": 3, "iterations": 5}, "set exactly one of epochs and iterations, got epochs=3, iterations=5"),
        ({"batch_size": -1}, "batch_size must be an int, 0 or more, got -1"),
        ({"batch_size": 1.5}, "batch_size must be an int, 0 or more, got 1.5"),
        ({"batch_size": True}, "batch_size must be an int"),
        ({"lr": -1}, "lr must be a number, 0 or more, got -1"),
        ({"lr": float("nan")}, "lr must be a number"),
        ({"lr": "much"}, "lr must be a number"),
        ({"decay_all": 1}, "decay_all must be True or False, got 1"),
        ({"optimizer": "adam"}, "optimizer must be one of sgd, nesterov, adamw, lamb, got 'adam'"),
        ({"schedule": "linear"}, "schedule must be one of steps, one_cycle, cosine"),
        ({"label_smoothing": 1}, "label_smoothing must be below 1, got 1"),
        (
            {"milestones": [0.5]},
            r"^milestones require schedule='steps', got \[0.5\] with schedule='one_cycle': set milestones=\[\]$",
        ),
        ({"schedule": "steps", "milestones": [0.7, 0.5]}, "milestones must be increasing floats between 0 and 1"),
        ({"warmup": 5, "warmup_lr": 0.1}, "a warm-up needs warmup_lr, and a schedule other than 'one_cycle'"),
        ({"schedule": "cosine", "warmup": 5}, "a warm-up needs warmup_lr"),
        ({"momentum": 0.0}, "the optimizer 'nesterov' needs momentum above 0"),
        ({"rand_augment": 40}, "rand_augment must be at most 30, got 40"),
        ({"rand_augment": 9}, "rand_augment needs augmentation='resized_crop_flip', got 'pad_crop_flip': set rand_augment=0"),
        (
            {"rand_augment": 9, "augmentation": "none"},
            "rand_augment needs augmentation='resized_crop_flip', got 'none': set rand_augment=0",
        ),
        ({"test_resize": 10, "test_size": 224}, "test_resize must be at least test_size, got 10 and 224"),
        ({"speed": 9}, "a recipe has no field 'speed'; its fields are epochs, iterations, batch_size"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe_of("one_cycle_cifar", **changes)


@pytest.mark.parametrize("text", ["", "[]", "3", '{"epochs": 1, "sped": 2}', "[" * 100_000])
def test_json_of_no_recipe(text: str) -> None:
    with pytest.raises(ValueError, match="recipe"):
        recipe_from_json(text)


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(ValueError, match=r"no recipe 'he'.*he2015_cifar, "):
        recipe_of("he")


def test_epochs_and_iterations_replace_each_other() -> None:
    assert recipe_of("he2015_cifar", epochs=2).iterations == 0
    assert recipe_of("one_cycle_cifar", iterations=7).steps(50_000) == 7


def test_a_recipe_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        RECIPES["rsb_a3"].lr = 1.0  # type: ignore[misc]


def test_too_few_images_and_too_long_a_warm_up() -> None:
    with pytest.raises(ValueError, match="100 images do not fill a batch of 128"):
        recipe_of("one_cycle_cifar").steps(100)
    with pytest.raises(ValueError, match="warmup must be shorter than the training's 400 iterations, got 400"):
        recipe_of("he2016_cifar", iterations=400).steps(50_000)


def test_equal_recipes_have_equal_json() -> None:
    """Or a training could not continue: its identity is the JSON."""
    one = recipe_of("one_cycle_cifar", epochs=3, lr=1, weight_decay=0)
    other = recipe_of("one_cycle_cifar", epochs=np.int64(3), lr=np.float32(1), weight_decay=0.0)
    assert one == other
    assert one.to_json() == other.to_json()
    assert '"lr": 1.0, ' in one.to_json()


def test_describe_recipe() -> None:
    assert describe_recipe(RECIPES["densenet_cifar"]) == "densenet_cifar"
    assert describe_recipe(recipe_of("one_cycle_cifar", epochs=30, lr=0.1)) == "one_cycle_cifar, epochs=30, lr=0.1"


def test_a_file_that_a_user_wrote_may_leave_fields_out() -> None:
    recipe = recipe_from_json(json.dumps({"epochs": 3, "schedule": "one_cycle"}))
    assert asdict(recipe) == {field.name: getattr(Recipe(epochs=3, schedule="one_cycle"), field.name) for field in fields(Recipe)}


def test_steps_without_milestones_are_a_constant_rate() -> None:
    recipe = recipe_from_json('{"epochs": 10, "lr": 0.1}')
    assert recipe == Recipe(epochs=10)
    assert {learning_rate(recipe, i, 100) for i in range(100)} == {0.1}


def test_rand_augment_is_on_the_scale_of_torchvision() -> None:
    """The paper's magnitude is 6 of timm's 10."""
    from torchvision.transforms import v2

    bins = v2.RandAugment(magnitude=RECIPES["rsb_a3"].rand_augment).num_magnitude_bins
    assert RECIPES["rsb_a3"].rand_augment / (bins - 1) == 6 / 10


def test_a_list_of_milestones_is_a_tuple() -> None:
    recipe = Recipe(epochs=1, milestones=[0.5])  # type: ignore[arg-type]
    assert recipe == Recipe(epochs=1, milestones=(0.5,)) == recipe_from_json(recipe.to_json())
    assert hash(recipe) == hash(Recipe(epochs=1, milestones=(0.5,)))
    with pytest.raises(ValueError, match=r"milestones must be increasing floats .*, such as \(0\.5, 0\.75\), got 0\.5"):
        Recipe(epochs=1, milestones=0.5)  # type: ignore[arg-type]


def test_lamb_without_timm_says_what_to_install_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackageError, match="pip install timm"):
        fit(None, None, None, recipe_of("rsb_a3"), tmp_path / "out")  # type: ignore[arg-type]


def test_a_dilated_network_says_why_it_is_not_trained(tmp_path: Path) -> None:
    net = create_model("resnet18", output_stride=8)
    with pytest.raises(ValueError, match=r"fit cannot train a dilated network, because save_model does not store output_stride"):
        fit(net, tmp_path / "a", tmp_path / "b", recipe_of("he2015_imagenet"), tmp_path / "out")
