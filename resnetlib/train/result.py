"""What comes out of a training: its errors, and what can be said of its weights."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from resnetlib.disk import open_file, read_file, write_atomically
from resnetlib.inference import Evaluation
from resnetlib.train.feed import Feed
from resnetlib.train.identity import Identity
from resnetlib.train.recipes import in_words
from resnetlib.train.training import Training
from resnetlib.weights import PretrainedConfig
from resnetlib.weights.dialects.compare import name_of

_LARGEST = 2**20
"""Bytes of a result that are read."""


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


def write_result(path: Path, result: Result, training: str, files: Sequence[str]) -> None:
    """Write a result, with the hashes by which damage to it, and to the files beside it, is seen.

    Args:
        path: of the file.
        result: what came out.
        training: the hash of the training's identity.
        files: names of files beside it; those that are not there are left out.
    """
    found = {name: _sha256(path.parent / name) for name in files if (path.parent / name).is_file()}
    hashes, figures = {"training": training, **found}, asdict(result)
    hashes["rest"] = _hash_of({**figures, "sha256": hashes})
    write_atomically(path, (json.dumps({**figures, "sha256": hashes}, indent=2) + "\n").encode())


def read_result(path: Path) -> tuple[Result, dict[str, str]]:
    """Read what `write_result` wrote.

    Args:
        path: of the file.

    Returns:
        The result, and the hashes, by name: of the training, and of the files beside it. Earlier versions wrote none.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is damaged.
    """
    try:
        figures: Any = json.loads(read_file(path, _LARGEST))
        hashes = figures.pop("sha256", {}) if isinstance(figures, dict) else None
        names = {field.name for field in fields(Result)}
        if not isinstance(hashes, dict) or figures.keys() != names or not all(map(_is_number, figures.values())):
            raise ValueError("it is not the result of a training")
        if hashes and hashes.pop("rest", None) != _hash_of({**figures, "sha256": hashes}):
            raise ValueError("its contents are not those that were written")
        return Result(**figures), hashes
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def changed_files(folder: Path, hashes: dict[str, str]) -> list[Path]:
    """Return the files whose hashes have changed.

    Args:
        folder: where they are.
        hashes: of each name.

    Returns:
        Their paths.

    Raises:
        OSError: if one cannot be read.
    """
    return [folder / name for name, digest in hashes.items() if _sha256(folder / name) != digest]


def _hash_of(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def pretrained_config_of_training(
    training: Training, feed: Feed, identity: Identity, iteration: int, seen: Evaluation, test: Evaluation
) -> PretrainedConfig:
    """Say what is known of a training's weights.

    Args:
        training: where it is.
        feed: its images.
        identity: which training it is.
        iteration: of the weights.
        seen: its figures on training images.
        test: its figures on test images.

    Returns:
        The pretrained config, without a tag, and with no licence but that of the weights that it began with.
    """
    spec, began = training.result.spec, identity["weights"]
    chosen = "held-out images, by which the weights were chosen" if training.recipe.patience else "test images"
    return PretrainedConfig(
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
