"""A training and its folder: measurements, checkpoints, and in the end the network."""

import errno
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from resnetlib.inference import Evaluation, evaluate
from resnetlib.train.checkpoints import Checkpoints
from resnetlib.train.curves import draw_curves
from resnetlib.train.feed import SPLITS, Feed
from resnetlib.train.group import Group
from resnetlib.train.identity import Identity, claim
from resnetlib.train.journal import Journal
from resnetlib.train.recipes import in_words
from resnetlib.train.training import Training
from resnetlib.train.window import Means
from resnetlib.weights import Contract
from resnetlib.weights.configs import name_of
from resnetlib.weights.files import write_atomically, write_weights
from resnetlib.weights.save import save_model

RUN, LOG, CURVES, BEST, RESULT = "run.json", "log.jsonl", "curves.png", "best.safetensors", "result.json"

_REDRAWN = 20.0
"""Seconds between two drawings of the curves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What came out of a training. Errors are in percent, losses in nats, both in evaluation, without augmentation.

    Args:
        iterations: how many were done.
        train_error: over all training images.
        train_loss: over all training images.
        test_error: over all test images, of the last iteration's weights.
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


class Run:
    """A training and its folder.

    Args:
        training: the network on its way.
        feed: its images.
        group: the processes, of which the first one writes.
        out: the folder.
        identity: what the folder shall say of itself.
        every: iterations between measurements; 0 for an epoch's.
        sample: images of either set in a measurement; 0 for all.
        keep: checkpoints that stay.
    """

    def __init__(
        self, training: Training, feed: Feed, group: Group, out: Path, identity: Identity, *, every: int, sample: int, keep: int
    ) -> None:
        self._training, self._feed, self._group, self._out, self._identity = training, feed, group, out, identity
        self._every, self._sample = every or training.steps_per_epoch, sample
        self._journal, self._checkpoints = Journal(out / LOG), Checkpoints(out / "checkpoints", keep=keep)
        self._seconds, self._best = 0.0, 100.0
        self._drawn = time.monotonic()

    def begin(self) -> None:
        """Take hold of the folder, and go to where its newest checkpoint is.

        Raises:
            ValueError: if it is another training's, or all its checkpoints are damaged.
        """
        self._lead(lambda: claim(self._out / RUN, self._identity))
        state, complaints = self._checkpoints.load()
        if state is not None:
            self._seconds, self._best = state.pop("seconds"), state.pop("best")
            self._training.restore(state)
        if self._group.leads:
            for line in complaints:
                tqdm.write(f"{line}; going on from iteration {self._training.iteration}")
        self._lead(lambda: self._journal.cut(self._training.iteration))

    def complete(self) -> Result:
        """Train to the end, and save the network.

        Returns:
            The last iteration's errors.

        Raises:
            DivergenceError: if a loss or a gradient is not finite.
            OSError: if the disk is full.
        """
        try:
            self._train()
            self._lead(self._finish)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            newest = next(iter(self._checkpoints.newest_first()), None)
            left = "there is no checkpoint yet" if newest is None else f"{newest} is there, and whole"
            raise OSError(error.errno, f"the disk is full; {left}. Make room, and run the same again: {error}") from error
        return Result(**json.loads((self._out / RESULT).read_text()))

    def _train(self) -> None:
        training, batch = self._training, self._training.recipe.batch
        done, total = training.iteration * batch, training.steps * batch
        quiet = None if self._group.leads else True
        with tqdm(total=total, initial=done, unit=" images", unit_scale=True, smoothing=0.1, disable=quiet) as bar:
            while training.iteration < training.steps:
                begin, start = training.iteration, time.perf_counter()
                for new, means in training.advance(min(training.steps, (begin // self._every + 1) * self._every)):
                    bar.update(new * batch)
                    bar.set_postfix(epoch=f"{training.epoch:.2f}", loss=f"{means.loss:.3f}", error=f"{means.error:.1f} %")
                took = time.perf_counter() - start
                self._seconds += took
                self._lead(partial(self._measure, means, batch * (training.iteration - begin) / took))

    def _measure(self, means: Means, speed: float) -> None:
        """Write down where the training is, and keep it."""
        training, net = self._training, self._training.result
        seen, test = (evaluate(net, self._feed.plain(split, self._sample)) for split in SPLITS)
        record = {
            "iteration": training.iteration,
            "epoch": round(training.epoch, 4),
            "lr": training.lr,
            "loss": means.loss,
            "error": means.error,
            "gradient_norm": means.norm,
            "train_loss": seen.loss,
            "train_error": _error(seen),
            "test_loss": test.loss,
            "test_error": _error(test),
            "seconds": round(self._seconds, 3),
            "images_per_second": round(speed, 1),
        }
        self._journal.add(record)
        if time.monotonic() - self._drawn > _REDRAWN:
            self._draw()
        if record["test_error"] < self._best:
            self._best = record["test_error"]
            write_weights(net, self._out / BEST, self._contract(seen, test))
        self._checkpoints.save(training.iteration, {**training.state(), "seconds": self._seconds, "best": self._best})

    def _finish(self) -> None:
        """Measure the result on all images, and save it."""
        if (self._out / RESULT).is_file():
            return
        self._draw()
        training, net = self._training, self._training.result
        seen, test = (evaluate(net, self._feed.plain(split, 0)) for split in SPLITS)
        save_model(net, self._out, contract=self._contract(seen, test), overwrite=True)
        result = Result(
            iterations=training.iteration,
            train_error=_error(seen),
            train_loss=seen.loss,
            test_error=_error(test),
            test_loss=test.loss,
            best_test_error=min(self._best, _error(test)),
            seconds=round(self._seconds, 3),
        )
        write_atomically(self._out / RESULT, (json.dumps(asdict(result), indent=2) + "\n").encode())

    def _draw(self) -> None:
        draw_curves(self._journal.read(), self._out / CURVES)
        self._drawn = time.monotonic()

    def _contract(self, seen: Evaluation, test: Evaluation) -> Contract:
        """Say what is known of the weights."""
        net, recipe = self._training.result, self._training.recipe
        return Contract(
            name=name_of(net.spec),
            tag="",
            spec=net.spec,
            classes=self._feed.classes,
            preprocess=self._feed.preprocess,
            train_top1=seen.top1,
            top1=test.top1,
            top5=test.top5,
            evaluated_on=f"{test.images:,} test images; the training's figure: {seen.images:,} of its images",
            recipe=f"{in_words(recipe)}; {len(self._feed):,} images, seed {self._identity['seed']}; "
            f"weights of iteration {self._training.iteration:,} of {self._training.steps:,}",
            origin="resnetlib.train",
        )

    def _lead(self, task: Callable[[], None]) -> None:
        """Let one process do something, and the others wait."""
        if self._group.leads:
            task()
        self._group.wait()


def _error(measured: Evaluation) -> float:
    """Return the share of wrong first guesses, in percent."""
    return round(100 - measured.top1, 4)
