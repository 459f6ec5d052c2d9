"""What comes out of a training: its errors, and what can be said of its weights."""

from dataclasses import dataclass

from resnetlib.inference import Evaluation
from resnetlib.train.feed import Feed
from resnetlib.train.identity import Identity
from resnetlib.train.recipes import in_words
from resnetlib.train.training import Training
from resnetlib.weights import Contract
from resnetlib.weights.configs import name_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What came out of a training. Errors are in percent, losses in nats, both in evaluation, without augmentation.

    Args:
        iterations: how many were done.
        train_error: over all training images.
        train_loss: over all training images.
        test_error: over all test images, of the weights that were saved: the last iteration's, or with patience the best.
        test_loss: over all test images.
        best_test_error: the lowest that was measured on the way; to choose by it is to train on the test images.
        seconds: of training, without measurements.
    """

    iterations: int
    train_error: float
    train_loss: float
    test_error: float
    test_loss: float
    best_test_error: float
    seconds: float


def contract_of(training: Training, feed: Feed, identity: Identity, iteration: int, seen: Evaluation, test: Evaluation) -> Contract:
    """Say what is known of a training's weights.

    Args:
        training: where it is.
        feed: its images.
        identity: which training it is.
        iteration: of the weights.
        seen: its figures on training images.
        test: its figures on test images.

    Returns:
        The contract, without a tag, and with no licence but that of the weights that it began with.
    """
    spec, began = training.result.spec, identity["weights"]
    chosen = "held-out images, by which the weights were chosen" if training.recipe.patience else "test images"
    return Contract(
        name=name_of(spec),
        tag="",
        spec=spec,
        classes=feed.classes,
        preprocess=feed.preprocess,
        train_top1=seen.top1,
        top1=test.top1,
        top5=test.top5,
        evaluated_on=f"{test.images:,} {chosen}; train_top1: {seen.images:,} training images",
        recipe=f"{in_words(training.recipe)}; {len(feed):,} images, seed {identity['seed']}; "
        f"weights of iteration {iteration:,} of {training.steps:,}",
        license=identity["license"],
        origin=f"resnetlib.train; began as {began}" if began else "resnetlib.train",
    )


def error_of(measured: Evaluation) -> float:
    """Return the share of wrong first guesses.

    Args:
        measured: the figures.

    Returns:
        The share, in percent.
    """
    return round(100 - measured.top1, 4)
