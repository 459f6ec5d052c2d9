"""The learning rate of each iteration."""

from math import cos, pi

from resnetlib.train.recipe import Recipe

_RISE = 0.2
"""The share of one cycle in which the rate rises."""


def learning_rate(recipe: Recipe, iteration: int, steps: int) -> float:
    """Return the learning rate of an iteration.

    Args:
        recipe: its schedule.
        iteration: counted from 0.
        steps: iterations of the whole training.

    Returns:
        The rate.

    Example:
        >>> from resnetlib.train import recipe_of
        >>> recipe = recipe_of("he2015_cifar110")
        >>> [learning_rate(recipe, i, 64_000) for i in (0, 399, 400, 31_999, 32_000, 48_000)]
        [0.01, 0.01, 0.1, 0.1, 0.01, 0.001]
    """
    frozen = recipe.frozen_steps(steps)
    if iteration < frozen:
        return recipe.lr
    iteration, steps = iteration - frozen, steps - frozen
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
    return recipe.lr * min(done / _RISE, (1 - done) / (1 - _RISE))
