"""A training and its folder: measurements, checkpoints, and in the end the network."""

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from resnetlib.config import pretrained_config_from_json
from resnetlib.disk import unfinished
from resnetlib.distributed import Processes
from resnetlib.inference import Evaluation
from resnetlib.train.checkpoints import Checkpoints
from resnetlib.train.curves import draw_curves
from resnetlib.train.feed import SPLITS, Feed
from resnetlib.train.identity import Identity, begin_session, claim, digest_of
from resnetlib.train.interrupts import check, heeding
from resnetlib.train.journal import Journal, read_log
from resnetlib.train.measure import evaluate_together
from resnetlib.train.result import Result, changed_files, error_of, pretrained_config_of_training, read_result, write_result
from resnetlib.train.training import Training
from resnetlib.train.window import DivergenceError, Means
from resnetlib.weights import PretrainedConfig
from resnetlib.weights.configs import pretrained_config_of, read_json
from resnetlib.weights.files import write_state, write_weights
from resnetlib.weights.find import CONFIG, WEIGHTS_NAMES
from resnetlib.weights.save import CARD, save_model

RUN, LOG, CURVES, BEST, RESULT, LOCK = "run.json", "log.jsonl", "curves.png", "best.safetensors", "result.json", ".lock"

_KEPT = ("seconds", "best", "best_at", "best_net", "stale")
"""What a checkpoint keeps of the measurements."""

_HASHED = (WEIGHTS_NAMES[0], BEST, LOG)
"""Files whose hashes the result keeps."""

_WRITTEN = (RUN, LOG, CURVES, BEST, RESULT, CONFIG, CARD, *WEIGHTS_NAMES)
"""The files in a run's folder, besides the checkpoints."""

_REDRAWN = 20.0
"""Seconds between two drawings of the curves."""


class Run:
    """A training and its folder.

    Args:
        training: the network on its way.
        feed: its images.
        processes: the processes, of which the first one writes.
        out: the folder.
        identity: which training it is.
        session: where and with what it is done this time.
        every: iterations between measurements; 0 for an epoch's.
        sample: images of either set in a measurement; 0 for all.
        keep: checkpoints that stay.
    """

    def __init__(
        self,
        training: Training,
        feed: Feed,
        processes: Processes,
        out: Path,
        identity: Identity,
        session: dict[str, Any],
        *,
        every: int,
        sample: int,
        keep: int,
    ) -> None:
        self._training, self._feed, self._processes, self._out = training, feed, processes, out
        self._identity, self._session = identity, session
        self._every, self._sample = every or training.steps_per_epoch, sample
        self._journal, self._checkpoints = Journal(out / LOG), Checkpoints(out / "checkpoints", keep=keep)
        self._seconds, self._best, self._best_at, self._stale = 0.0, 100.0, 0, 0
        self._best_net: dict[str, Tensor] | None = None
        self._best_config = ""
        self._drawn = time.monotonic()

    def complete(self) -> Result:
        """Train to the end from where the folder's newest checkpoint is, and save the network.

        Returns:
            The errors of the last iteration's weights, or with patience of the best.

        Raises:
            DivergenceError: if a loss or a gradient is not finite.
            ValueError: if the folder is another training's, or something in it is damaged that cannot be written anew.
            OSError: if the disk is full, another process trains in the folder, or a process that reads images was killed.
            KeyboardInterrupt: for Ctrl-C, with what the same training would go on from.
        """
        try:
            with heeding(), self._hold():
                self._lead(self._enter)
                if not self._is_finished():
                    self._resume()
                    self._train()
                    check()
                    self._finish()
                self._processes.barrier()
        except KeyboardInterrupt as error:
            saved = self._checkpoints.newest_first()
            where = f"iteration {int(saved[0].name[:9])}" if saved else "the beginning"
            raise KeyboardInterrupt(
                f"interrupted after iteration {self._training.iteration}; run the same again to go on from {where}"
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            newest = next(iter(self._checkpoints.newest_first()), None)
            left = "there is no checkpoint yet" if newest is None else f"{newest} is there, and whole"
            raise OSError(error.errno, f"the disk is full; {left}. Make room, and run the same again: {error}") from error
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise OSError(
                "a process that reads images was killed, as happens where memory or shared memory (/dev/shm) is short. Make room, "
                "or allow fewer cores (taskset), each of which has such a process, and run the same again: "
                f"{str(error).splitlines()[0]}"
            ) from error
        return read_result(self._out / RESULT)[0]

    @contextmanager
    def _hold(self) -> Iterator[None]:
        """Keep other trainings out of the folder."""
        if not self._processes.is_main:
            yield
            return
        from filelock import FileLock, Timeout

        self._out.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._out / LOCK, blocking=False):
                yield
        except Timeout as error:
            raise BlockingIOError(f"another process trains in {self._out} already: wait for it, or give another folder") from error

    def _enter(self) -> None:
        """Take the folder, and delete what a killed process left."""
        for name in _WRITTEN:
            if (self._out / name).exists() and not (self._out / name).is_file():
                raise ValueError(f"{self._out / name} is a pipe, a socket, a device or a folder, expected a regular file")
        finished = False
        with suppress(OSError, ValueError):
            finished = read_result(self._out / RESULT)[1].get("training") == digest_of(self._identity)
        claim(self._out / RUN, self._identity, finished=finished)
        self._checkpoints.clean()
        for name in _WRITTEN:
            for path in unfinished(self._out, name):
                path.unlink()

    def _is_finished(self) -> bool:
        """Tell whether the result is there, and the files that belong to it are whole."""
        path = self._out / RESULT
        if not os.path.lexists(path):
            return False
        changed: list[Path] = []
        try:
            _, hashes = read_result(path)
            mine = digest_of(self._identity)
            if hashes.pop("training", mine) != mine:
                raise ValueError(f"{path} is another training's")
            hashes = {name: digest for name, digest in hashes.items() if name not in (BEST, LOG) or (self._out / name).exists()}
            changed = changed_files(self._out, hashes)
            if changed:
                names = ", ".join(map(str, changed))
                raise ValueError(f"{names} is damaged: its SHA-256 is not the one that was written down")
            pretrained_config_of(read_json(self._out / CONFIG))
        except (OSError, ValueError) as error:
            if not self._checkpoints.newest_first():
                raise ValueError(f"{error}. No checkpoint can replace it: delete {self._out} to begin anew.") from error
            if self._processes.is_main:
                for path in changed:  # somebody may have meant to
                    path.replace(path.with_name(f"{path.name}.damaged"))
                kept = f" (the old one is kept as {changed[0].name}.damaged)" if changed else ""
                tqdm.write(f"{error}; it is written anew from the newest checkpoint{kept}")
            return False
        return True

    def _resume(self) -> None:
        """Go to where the newest checkpoint is, and write anew what belongs to it."""
        complaints: list[str] = []
        is_main = self._processes.is_main
        for turn in (is_main, not is_main):  # the others read when the main process has put damaged ones aside
            if turn:
                state, complaints = self._checkpoints.load()
            self._processes.barrier()
        log: str | None = ""
        if state is not None:
            path, mine = self._checkpoints.newest_first()[0], digest_of(self._identity)
            if state.pop("training", mine) != mine:  # earlier versions did not write it down
                what = "the seed, the network, the recipe, the images or the first weights"
                raise ValueError(f"{path} is another training's, which differs in {what}: give another folder, or delete it")
            log, self._best_config = state.pop("log", None), state.pop("best_config", "")
            try:
                self._seconds, self._best, self._best_at, self._best_net, self._stale = (state.pop(key) for key in _KEPT)
                self._training.restore(state)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise ValueError(f"{path} does not fit this training: {error}") from error
        iteration = self._training.iteration
        if (
            self._processes.sum(torch.tensor(float(iteration), device=self._processes.device))
            != iteration * self._processes.world_size
        ):
            raise ValueError(f"the processes do not see the same checkpoints: {self._out} must be on a disk that all of them share")
        if self._processes.is_main:
            for line in complaints:
                tqdm.write(f"{line}; going on from iteration {iteration}")
            if log is None:
                records = [record for record in read_log(self._out / LOG) if record.get("iteration", 0) <= iteration]
                log = "".join(json.dumps(record) + "\n" for record in records)
            self._journal.restore(log)
            if self._best_net is not None and self._best_config:
                write_state(self._best_net, self._out / BEST, pretrained_config_from_json(self._best_config))
            begin_session(self._out / RUN, iteration, self._session)

    def _train(self) -> None:
        training, batch = self._training, self._training.recipe.batch
        done, total = training.iteration * batch, training.steps * batch
        quiet = None if self._processes.is_main else True
        with tqdm(total=total, initial=done, unit=" images", unit_scale=True, smoothing=0.1, disable=quiet) as bar:
            while training.iteration < training.steps and not self._lost_patience():
                begin, start = training.iteration, time.perf_counter()
                for new, means in training.advance(min(training.steps, (begin // self._every + 1) * self._every)):
                    bar.update(new * batch)
                    bar.set_postfix(epoch=f"{training.epoch:.2f}", loss=f"{means.loss:.3f}", error=f"{means.error:.1f} %")
                took = time.perf_counter() - start
                self._seconds += took
                self._measure(means, batch * (training.iteration - begin) / took)

    def _measure(self, means: Means, speed: float) -> None:
        """Write down where the training is, and keep it."""
        training, net = self._training, self._training.result
        seen, test = self._evaluate(self._sample)
        better = error_of(test) < self._best
        self._stale = 0 if training.is_frozen else self._stale + 1
        if better or not self._best_at:
            self._best, self._best_at, self._stale = error_of(test), training.iteration, 0
            self._best_net = {key: tensor.to("cpu", copy=True) for key, tensor in net.state_dict().items()}
            self._best_config = self._pretrained_config(training.iteration, seen, test).to_json()
        if not self._processes.is_main:
            return
        record = {
            "iteration": training.iteration,
            "epoch": round(training.epoch, 4),
            "lr": training.lr,
            "loss": means.loss,
            "error": means.error,
            "gradient_norm": means.norm,
            "train_loss": seen.loss,
            "train_error": error_of(seen),
            "test_loss": test.loss,
            "test_error": error_of(test),
            "seconds": round(self._seconds, 3),
            "images_per_second": round(speed, 1),
        }
        self._journal.add(record)
        if time.monotonic() - self._drawn > _REDRAWN:
            self._draw()
        if self._best_at == training.iteration:
            write_weights(net, self._out / BEST, self._pretrained_config(training.iteration, seen, test))
        kept = dict(zip(_KEPT, (self._seconds, self._best, self._best_at, self._best_net, self._stale), strict=True))
        also = {"training": digest_of(self._identity), "log": self._journal.text, "best_config": self._best_config}
        self._checkpoints.save(training.iteration, {**training.state(), **kept, **also})

    def _lost_patience(self) -> bool:
        """Tell whether the training has not got better for as long as its recipe waits."""
        patience = self._training.recipe.patience
        return 0 < patience <= self._stale

    def _finish(self) -> None:
        """Measure the result on all images, and save it."""
        training, net = self._training, self._training.result
        iteration = training.iteration
        if training.recipe.patience and self._best_net is not None:
            net.load_state_dict(self._best_net)
            iteration = self._best_at
        seen, test = self._evaluate(0)
        if not self._processes.is_main:
            return
        self._draw()
        self._journal.restore(self._journal.text)
        save_model(net, self._out, pretrained_cfg=self._pretrained_config(iteration, seen, test), overwrite=True)
        result = Result(
            iterations=training.iteration,
            train_error=error_of(seen),
            train_loss=seen.loss,
            test_error=error_of(test),
            test_loss=test.loss,
            best_test_error=min(self._best, error_of(test)),
            seconds=round(self._seconds, 3),
        )
        write_result(self._out / RESULT, result, digest_of(self._identity), _HASHED)

    def _pretrained_config(self, iteration: int, seen: Evaluation, test: Evaluation) -> PretrainedConfig:
        """Say what is known of the weights of an iteration."""
        return pretrained_config_of_training(self._training, self._feed, self._identity, iteration, seen, test)

    def _evaluate(self, images: int) -> list[Evaluation]:
        """Measure the network on both sets, each process on its part."""
        net = self._training.result
        self._processes.broadcast_buffers(net)
        measured = [evaluate_together(net, self._feed.plain(split, images), self._processes) for split in SPLITS]
        for split, evaluation in zip(SPLITS, measured, strict=True):
            if not isfinite(evaluation.loss):  # however large: fresh running statistics can make it so
                where = f"after iteration {self._training.iteration}: loss {evaluation.loss:g} on {split} images"
                raise DivergenceError(f"the training diverged {where}")
        return measured

    def _draw(self) -> None:
        draw_curves(self._journal.records, self._out / CURVES)
        self._drawn = time.monotonic()

    def _lead(self, task: Callable[[], None]) -> None:
        """Let one process do something, and the others wait."""
        if self._processes.is_main:
            task()
        self._processes.barrier()
