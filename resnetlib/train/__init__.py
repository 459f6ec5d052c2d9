"""Training by recipes, with evaluations, logs and checkpoints; an interrupted training continues where it stopped."""

from resnetlib.train.metrics import DivergenceError, FinetuneResult, Result
from resnetlib.train.recipe import RECIPES, Recipe, learning_rate, recipe_from_json, recipe_of
from resnetlib.train.run import fit

__all__ = [
    "RECIPES",
    "DivergenceError",
    "FinetuneResult",
    "Recipe",
    "Result",
    "fit",
    "learning_rate",
    "recipe_from_json",
    "recipe_of",
]
