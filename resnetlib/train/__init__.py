"""Training by the papers' recipes: measured, logged, and resumed after any interruption."""

from resnetlib.train.fit import fit
from resnetlib.train.recipe import Recipe, recipe_from_json
from resnetlib.train.recipes import RECIPES, recipe_of
from resnetlib.train.result import Result
from resnetlib.train.schedule import learning_rate
from resnetlib.train.window import DivergenceError

__all__ = ["RECIPES", "DivergenceError", "Recipe", "Result", "fit", "learning_rate", "recipe_from_json", "recipe_of"]
