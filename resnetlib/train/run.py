"""`fit`: train a network in a folder that holds its log, its checkpoints and, at the end, the saved network."""

import errno
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from importlib.util import find_spec
from math import inf, isfinite
from operator import index
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor
from tqdm import tqdm

from resnetlib.config import Preprocessing, PretrainedConfig, pretrained_config_from_json
from resnetlib.config.integers import MAX_INT, check_count, check_seed
from resnetlib.config.pretrained import preprocessing_for
from resnetlib.data import ImageFiles, LabeledImages, find_images, is_cifar10
from resnetlib.disk import check_writable, local_path, unfinished, write_atomically
from resnetlib.distributed import Processes, choose_device, is_main_process, process_group
from resnetlib.errors import FolderInUseError, InputError, InputTypeError, MissingPackageError, NotAFolderError, ResourceError
from resnetlib.images import count_workers
from resnetlib.inference import Evaluation
from resnetlib.modules import Backbone, is_dilated
from resnetlib.modules.backbone import check_network
from resnetlib.train import metrics
from resnetlib.train.checkpoint import Checkpoints, begin_session, check_folder, identify, read_run, write_run
from resnetlib.train.data import Images, Split, make_loader, preprocess_for_folders
from resnetlib.train.interrupts import check_interrupt, interrupts
from resnetlib.train.metrics import AnyResult, DivergenceError, Result, StepMeans
from resnetlib.train.recipe import Recipe, as_recipe, describe_recipe
from resnetlib.train.trainer import Precision, Trainer, dtype_of, load_own_weights
from resnetlib.weights.config_files import pretrained_config_of, read_json
from resnetlib.weights.dialects.compare import name_of
from resnetlib.weights.files import write_state, write_weights
from resnetlib.weights.find import CONFIG, WEIGHTS_NAMES
from resnetlib.weights.save import CARD, save_model
from resnetlib.zoo import create_model

RUN, LOG, CURVES, BEST, RESULT, LOCK = "run.json", "log.jsonl", "curves.png", "best.safetensors", "result.json", ".lock"

_FILES = (RUN, LOG, CURVES, BEST, RESULT, CONFIG, CARD, *WEIGHTS_NAMES)  # of a training, besides its checkpoints
_STATE = (
    "seconds",
    "best",
    "best_at",
    "best_net",
    "best_config",
    "evaluations_without_improvement",
    "log",
)  # attributes of `Run` in a checkpoint
_DRAW_SECONDS = 20.0  # at least, between two drawings of the curves

logger = logging.getLogger("resnetlib")


def fit(
    net: Backbone,
    train: Images,
    test: Images,
    recipe: str | Recipe,
    out: str | Path,
    *,
    seed: int = 0,
    preprocess: Preprocessing | None = None,
    start: str = "",
    device: torch.device | str | None = None,
    precision: Precision = "auto",
    compiled: bool = False,
    every: int = 0,
    sample: int = 10_000,
    keep: int = 2,
    workers: int | None = None,
) -> Result:
    """Train a network by a recipe, with evaluations and checkpoints on the way, and save it.

    Each evaluation is logged at level INFO, by the logger "resnetlib"; a progress bar is shown in terminals. Called again with the
    same folder, training continues from the newest undamaged checkpoint, and ends with the same weights as if it had never been
    stopped, on the CPU bit for bit. Under torchrun, each process computes its part of every batch.

    Args:
        net: the network with its initial weights; moved to the device and trained in place. Its mode is restored.
        train: training images, in memory or in a folder with a subfolder per class.
        test: test images, of the same kind; used only for measuring, unless the recipe has patience.
        recipe: the recipe, or its name.
        out: folder to write, or to continue in. It will hold the network (`create_model(out)`), log.jsonl, curves.png, run.json,
            result.json, best.safetensors and checkpoints.
        seed: seed of the order, the augmentation and all random numbers in training; initial weights are the caller's.
        preprocess: the preprocessing, such as that of pretrained weights (`net.preprocess`); None for the statistics of images in
            memory, and for folders ImageNet's, or CIFAR-10's at 32 pixels for a stem of CIFAR. A recipe's sizes change it.
        start: identifies the initial weights, for example by a hash; a folder that began with others is rejected.
        device: the device; None for a GPU if there is one.
        precision: precision of the convolutions and linear layers.
        compiled: compile the network first, which can take minutes and may not pay on a CPU.
        every: iterations between two evaluations, each with a checkpoint; 0 for one per epoch.
        sample: images of each set in these evaluations; 0 for all. The result is of all images.
        keep: number of checkpoints to keep.
        workers: processes that read images from folders; None for one per core, up to 8. The result does not depend on it.

    Returns:
        The errors of the saved weights: those of the last iteration, or with patience the best.

    Raises:
        DivergenceError: if a loss or a gradient is not finite, or a loss reaches 10,000; earlier checkpoints remain.
        TypeError: for arguments of other types.
        ValueError: if arguments do not fit together or to the network, gradients are disabled, the device cannot be used, the
            folder belongs to another training or cannot be repaired, an image cannot be read, or the network is dilated.
        OSError: if the disk is full or a worker process was killed; earlier checkpoints remain.
        KeyboardInterrupt: on Ctrl-C; earlier checkpoints remain.

    Example:
        >>> import tempfile, torch, resnetlib
        >>> from resnetlib.train import fit, recipe_of
        >>> images = torch.randint(256, (40, 3, 32, 32), dtype=torch.uint8)
        >>> toy = resnetlib.data.LabeledImages(images, torch.arange(40) % 2, ("even", "odd"))
        >>> with tempfile.TemporaryDirectory() as out:
        ...     recipe = recipe_of("one_cycle_cifar", iterations=2, batch_size=20)
        ...     fit(resnetlib.create_model("cifar_resnet20", num_classes=2), toy, toy, recipe, out).iterations
        2
    """
    return fit_as(
        Result, net, train, test, as_recipe(recipe), out, seed=seed, preprocess=preprocess, start=start, device=device,
        precision=precision, compiled=compiled, every=every, sample=sample, keep=keep, workers=workers,
    )  # fmt: skip


def fit_as(
    kind: type[AnyResult],
    net: Backbone,
    train: Images,
    test: Images,
    recipe: Recipe,
    out: str | Path,
    *,
    seed: int,
    preprocess: Preprocessing | None,
    start: str,
    device: torch.device | str | None,
    precision: Precision,
    compiled: bool,
    every: int,
    sample: int,
    keep: int = 2,
    workers: int | None,
) -> AnyResult:
    """Train as `fit` does; in a `FinetuneResult` and its log, the test images are called "val"."""
    folders = [each.root if isinstance(each, ImageFiles) else each for each in (train, test)]
    check_arguments(recipe, out, seed=seed, precision=precision, every=every, sample=sample, workers=workers, folders=folders)
    out = local_path(out)
    check_count("keep", keep, minimum=1)
    seed, every, sample, keep = map(index, (seed, every, sample, keep))  # NumPy's integers cannot be written as JSON
    check_network(net, compiled=False)
    if preprocess is not None and not isinstance(preprocess, Preprocessing):
        raise InputTypeError(f"preprocess must be a resnetlib.weights.Preprocessing, or None, got {type(preprocess).__name__}")
    if is_dilated(net):
        raise InputError(
            "fit cannot train a dilated network, because save_model does not store output_stride: build it without output_stride"
        )
    if not torch.is_grad_enabled() or not any(parameter.requires_grad for parameter in net.parameters()):
        raise InputError("fit needs gradients: call it outside torch.no_grad(), with a network whose parameters are not all frozen")
    wide = next(net.parameters()).dtype == torch.float64
    if wide and precision in ("bf16", "fp16"):
        raise InputError(f"precision={precision!r} is for networks in fp32 or less: autocast would leave torch.float64 as it is")
    modes = {module: module.training for module in net.modules()}
    with process_group(choose_device(device)) as processes:
        device = processes.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            if isinstance(train, ImageFiles | str | Path) and isinstance(test, ImageFiles | str | Path):
                preprocess = preprocess or preprocessing_for(net.spec.stem).for_channels(net.in_chans)
                preprocess_for_folders(recipe, preprocess)  # checks before the images are listed
                train, test = (find_images(each) if isinstance(each, str | Path) else each for each in (train, test))
            if isinstance(train, LabeledImages | ImageFiles):
                recipe = choose_batch(recipe, len(train), processes)
            data = make_loader(train, test, recipe, seed, processes, preprocess, workers)
            check_classes(data.classes)
            if len(data.classes) != net.num_classes:
                raise InputError(f"there are {len(data.classes)} classes, but the network has {net.num_classes} logits")
            if data.preprocess.channels != net.in_chans:
                raise InputError(f"images have {data.preprocess.channels} channels, but the network takes {net.in_chans}")
            if (side := min(data.preprocess.size, recipe.train_size or inf)) < net.smallest_input:
                raise InputError(f"the network takes images of at least {net.smallest_input} pixels, got {side}")
            net.to(device).to(memory_format=torch.channels_last)
            identity = identify(net, data, recipe, seed, start)
            with suppress(OSError, ValueError, LookupError):
                if net.pretrained_cfg == pretrained_config_of(read_json(out / CONFIG)):  # trained here, by an earlier call
                    identity["weights"] = read_run(out / RUN)["weights"]
            net.preprocess, net.classes = data.preprocess, data.classes
            dtype = dtype_of("fp32" if wide else precision, device)
            trainer = Trainer(net, data, recipe, seed=seed, processes=processes, dtype=dtype, compiled=compiled)
            if processes.is_main and recipe.ema and (horizon := 1 / (1 - recipe.ema)) > trainer.steps:
                logger.warning("ema=%g averages %.0f iterations, more than the %d trained", recipe.ema, horizon, trainer.steps)
            try:
                Run(kind, trainer, out, identity, every, sample, keep).complete()
            finally:
                trainer.unfreeze()
                for module, mode in modes.items():
                    module.training = mode
    saved = create_model(out, device=device)
    load_own_weights(net, saved.state_dict())
    net.pretrained_cfg = saved.pretrained_cfg
    net.zero_grad()
    return metrics.read_result(out / RESULT, kind)[0]


def check_classes(classes: Sequence[str]) -> None:
    """Raise ValueError if there is only one class."""
    if len(classes) < 2:
        raise InputError(f"there is only one class, {classes[0]!r}: a classifier needs two or more")


def choose_batch(recipe: Recipe, images: int, processes: Processes) -> Recipe:
    """Return the recipe with the batch size to use, and log a change."""
    world = processes.world_size
    if not images:
        raise InputError("there are no training images")
    size = min(recipe.batch_size or max(world, recipe.batch_for(images)), images)
    if size < world:
        raise InputError(f"{images} images cannot be shared among {world} processes")
    if size == recipe.batch_size:
        return recipe
    size -= size % world
    if processes.is_main and recipe.batch_size:
        logger.warning("%d images do not fill a batch of %d: the batch size is %d", images, recipe.batch_size, size)
    elif processes.is_main:
        logger.info("the batch size is %d, for %d images", size, images)
    return replace(recipe, batch_size=size)


def check_arguments(
    recipe: Recipe,
    out: str | Path,
    *,
    seed: int,
    precision: Precision,
    every: int,
    sample: int,
    workers: int | None,
    folders: Sequence[object],
) -> None:
    """Check the arguments of `fit` and `finetune` before any image is read."""
    check_seed(seed)
    for name, value in (("every", every), ("sample", sample)):
        check_count(name, value, minimum=0, maximum=MAX_INT)
    count_workers(workers)
    if recipe.optimizer == "lamb" and find_spec("timm") is None:
        raise MissingPackageError("the optimizer 'lamb' is timm's: pip install timm, or choose 'sgd' or 'nesterov'")
    dtype_of(precision, torch.device("cpu"))  # raises an error for an unknown precision
    check_out(out, *folders)
    out = local_path(out)
    if is_main_process():
        known = {"seed": seed, "recipe": json.loads(recipe.to_json())}
        with suppress(OSError, ValueError, LookupError, TypeError):  # `choose_batch` may have changed it
            known["recipe"]["batch_size"] = read_run(out / RUN)["recipe"]["batch_size"]
        with _locked(out) if (out / LOCK).exists() else nullcontext():
            check_folder(out / RUN, known, finished=(out / RESULT).exists())


def check_out(out: str | Path, *folders: object) -> None:
    """Check that `out` can be written to, and is not among the images."""
    if not isinstance(out, str | Path):
        raise InputTypeError(f"out must be the path of a folder, got {type(out).__name__}")
    if not str(out) or "\0" in str(out):
        raise InputError(f"out must name a folder, got {str(out)!r}")
    out = local_path(out)
    if out.exists() and not out.is_dir():
        raise NotAFolderError(f"{out} is a file: give a folder to write, or to continue in")
    for folder in folders:
        if not isinstance(folder, str | Path) or is_cifar10(folder):
            continue
        if out.resolve().is_relative_to(local_path(folder).resolve()):
            raise InputError(f"{out} is inside {folder}, so its files would be read as data: give another folder")
    check_writable(out)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Create a folder, and lock it against other trainings."""
    from filelock import FileLock, Timeout

    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / LOCK, blocking=False):
            yield
    except Timeout as error:
        raise FolderInUseError(f"another process is already training in {out}: wait for it, or give another folder") from error


class Run:
    """A training in its folder. The evaluation images are "test" in a `Result`, and "val" in a `FinetuneResult`."""

    def __init__(
        self, kind: type[Any], trainer: Trainer, out: Path, identity: dict[str, Any], every: int, sample: int, keep: int
    ) -> None:
        self.trainer, self._processes, self._out, self._identity = trainer, trainer.processes, out, identity
        self._kind, self._split = kind, "test" if kind is Result else "val"
        self._measured = "test" if kind is Result else "validation"
        self._training = metrics.hash_json(identity)
        self._every, self._sample = every or trainer.steps_per_epoch, sample
        self._checkpoints = Checkpoints(out / "checkpoints", keep=keep)
        self._drawn = time.monotonic()
        self.log, self.seconds = "", 0.0
        self.best, self.best_at, self.evaluations_without_improvement = 100.0, 0, 0
        self.best_net: dict[str, Tensor] | None = None
        self.best_config = ""

    def complete(self) -> None:
        """Train from the newest checkpoint to the end, and save the network."""
        try:
            with interrupts(), _locked(self._out) if self._processes.is_main else nullcontext():
                if not self._check_finished():
                    self._resume()
                    self._train()
                    check_interrupt()
                    self._finish()
                self._processes.barrier()
        except KeyboardInterrupt as error:
            saved = self._checkpoints.newest_first()
            where = f"iteration {int(saved[0].name[:9])}" if saved else "the beginning"
            raise KeyboardInterrupt(
                f"interrupted after iteration {self.trainer.iteration}; run the same again to continue from {where}"
            ) from error
        except (RuntimeError, EOFError, ConnectionError) as error:  # the latter two from the pipe of a killed worker
            if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
                raise
            raise ResourceError(
                "a process that reads images was killed, which happens if memory or shared memory (/dev/shm) runs out. Read "
                "without such processes (--workers 0, or workers=0), or give a container more (docker run --shm-size=2g), and run "
                f"the same again: {(str(error) or repr(error)).splitlines()[0]}"
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            saved = self._checkpoints.newest_first()
            left = f"{saved[0]} is intact" if saved else "there is no checkpoint yet"
            raise ResourceError(
                error.errno, f"the disk is full; {left}. Free some space, and run the same again: {error}"
            ) from error

    def _check_finished(self) -> bool:
        """Claim the folder, and return whether its training is finished.

        Only the main process looks, since it renames damaged files, which the others would take for missing ones. Its errors are
        raised in all processes.
        """
        found: bool | Exception = False
        try:
            if self._processes.is_main:
                self._claim_folder()
                found = self._is_finished()
        except Exception as error:
            self._processes.gather(error)
            raise
        found = self._processes.gather(found)[0]
        if isinstance(found, Exception):
            raise found
        return found

    def _claim_folder(self) -> None:
        """Write run.json, and delete files that a killed process did not finish writing."""
        for path in (self._out / name for name in _FILES):
            if path.exists() and not path.is_file():
                raise InputError(f"{path} is a pipe, a socket, a device or a folder, expected a regular file")
        finished = False
        with suppress(OSError, ValueError):
            finished = metrics.read_result(self._out / RESULT, self._kind)[1].get("training") == self._training
        check_folder(self._out / RUN, self._identity, finished=finished)
        if not os.path.lexists(self._out / RUN):
            write_run(self._out / RUN, {**self._identity, "sessions": []})
        self._checkpoints.clean()
        for path in (path for name in _FILES for path in unfinished(self._out, name)):
            path.unlink()

    def _is_finished(self) -> bool:
        """Return whether the folder holds the training's result, and undamaged files."""
        path = self._out / RESULT
        if not os.path.lexists(path):
            return False
        changed: list[Path] = []
        try:
            hashes = metrics.read_result(path, self._kind)[1]
            if hashes.pop("training", None) != self._training:
                raise InputError(f"{path} belongs to another training")
            optional = [name for name in (BEST, LOG) if not (self._out / name).exists()]
            changed = metrics.changed_files(self._out, {name: digest for name, digest in hashes.items() if name not in optional})
            if changed:
                raise InputError(f"{', '.join(map(str, changed))} is damaged: its SHA-256 is not the recorded one")
            pretrained_config_of(read_json(self._out / CONFIG))
        except (OSError, ValueError) as error:
            if not self._checkpoints.newest_first():
                raise InputError(f"{error}. No checkpoint can replace it: delete {self._out} to start again.") from error
            for path in changed:  # the change may have been deliberate
                path.replace(path.with_name(f"{path.name}.damaged"))
            kept = f" (the old one is kept as {changed[0].name}.damaged)" if changed else ""
            logger.warning("%s; it is written again from the newest checkpoint%s", error, kept)
            return False
        return True

    def _resume(self) -> None:
        """Load the newest checkpoint, and restore the files that belong to it."""
        trainer, is_main = self.trainer, self._processes.is_main
        for turn in (is_main, not is_main):  # the main process renames damaged checkpoints before the others load
            if turn:
                state, messages = self._checkpoints.load()
            self._processes.barrier()
        if state is not None:
            self._load_state_dict(state, self._checkpoints.newest_first()[0])
        total = self._processes.sum(torch.tensor(float(trainer.iteration), device=self._processes.device))
        if total != trainer.iteration * self._processes.world_size:
            raise InputError(f"the processes do not see the same checkpoints: {self._out} must be on a disk that all of them share")
        if is_main:
            for message in messages:
                logger.warning("%s; continuing from iteration %d", message, trainer.iteration)
            self._write_log()
            if self.best_net is not None:
                write_state(self.best_net, self._out / BEST, pretrained_config_from_json(self.best_config))
            begin_session(self._out / RUN, trainer)

    def _load_state_dict(self, state: dict[str, Any], path: Path) -> None:
        if state.get("training") != self._training:
            what = "the seed, the network, the recipe, the images or the first weights"
            raise InputError(f"{path} belongs to another training, which differs in {what}: give another folder, or delete it")
        try:
            for name in _STATE:
                setattr(self, name, state[name])
            self.trainer.load_state_dict(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{path} does not fit this training: {error}") from error

    def _train(self) -> None:
        """Train to the last iteration or until patience runs out, with evaluations on the way."""
        trainer, batch, patience = self.trainer, self.trainer.recipe.batch_size, self.trainer.recipe.patience
        done, total, quiet = trainer.iteration * batch, trainer.steps * batch, None if self._processes.is_main else True
        with tqdm(total=total, initial=done, unit=" images", unit_scale=True, smoothing=0.1, disable=quiet) as bar:
            while trainer.iteration < trainer.steps and not 0 < patience <= self.evaluations_without_improvement:
                first, start = trainer.iteration, time.perf_counter()
                for new, means in trainer.train_until(min(trainer.steps, (first // self._every + 1) * self._every)):
                    epoch = trainer.iteration / trainer.steps_per_epoch
                    bar.update(new * batch)
                    bar.set_postfix(epoch=f"{epoch:.2f}", loss=f"{means.loss:.3f}", error=f"{means.error:.1f} %")
                seconds = time.perf_counter() - start
                self.seconds += seconds
                self._measure(means, batch * (trainer.iteration - first) / seconds)

    def _measure(self, means: StepMeans, images_per_second: float) -> None:
        """Evaluate the network on samples, log it, and save a checkpoint."""
        trainer, net = self.trainer, self.trainer.eval_net
        train, test = self._evaluate(self._sample)
        self.evaluations_without_improvement = self.evaluations_without_improvement + 1 if trainer.counts_for_patience else 0
        improved = metrics.error_of(test) < self.best or not self.best_at
        if improved:
            self.best, self.best_at, self.evaluations_without_improvement = metrics.error_of(test), trainer.iteration, 0
            self.best_net = {key: tensor.to("cpu", copy=True) for key, tensor in net.state_dict().items()}
            self.best_config = self._pretrained_config(trainer.iteration, train, test).to_json()
        if not self._processes.is_main:
            return
        record = {
            "iteration": trainer.iteration,
            "epoch": round(trainer.iteration / trainer.steps_per_epoch, 4),
            "lr": trainer.lr,
            **means._asdict(),
            **self._metrics(train, test),
            "images_per_second": round(images_per_second, 1),
        }
        logger.info(
            "iteration %s of %s, epoch %.4g: training error %.2f %%, %s error %.2f %%",
            trainer.iteration, trainer.steps, record["epoch"], metrics.error_of(train), self._measured, metrics.error_of(test),
        )  # fmt: skip
        line = json.dumps(record, allow_nan=False) + "\n"
        self.log += line
        with (self._out / LOG).open("a") as file:
            file.write(line)
        if time.monotonic() - self._drawn > _DRAW_SECONDS:
            self._draw()
        if improved:
            write_weights(net, self._out / BEST, pretrained_config_from_json(self.best_config))
        state = {name: getattr(self, name) for name in _STATE}
        self._checkpoints.save(trainer.iteration, {**trainer.state_dict(), "training": self._training, **state})

    def _finish(self) -> None:
        """Evaluate the network on all images, and save it."""
        trainer, net = self.trainer, self.trainer.eval_net
        iteration = trainer.iteration
        if trainer.recipe.patience and self.best_net is not None:
            load_own_weights(net, self.best_net)
            iteration = self.best_at
            if self._processes.is_main:
                stopped = f"stopped early, after iteration {trainer.iteration} of {trainer.steps}; "
                kept = f"the weights of iteration {iteration} are kept, which had the lowest {self._measured} error"
                kept += ", so it is not that of unseen images" if self._measured == "test" else ""
                logger.info("%s%s", stopped if trainer.iteration < trainer.steps else "", kept)
        train, test = self._evaluate(0)
        if not self._processes.is_main:
            return
        self._draw()
        self._write_log()
        save_model(net, self._out, pretrained_cfg=self._pretrained_config(iteration, train, test), overwrite=True)
        best = {f"best_{self._split}_error": min(self.best, metrics.error_of(test))}
        result = self._kind(iterations=trainer.iteration, **self._metrics(train, test), **best)
        metrics.write_result(self._out / RESULT, result, self._training, (WEIGHTS_NAMES[0], BEST, LOG))

    def _metrics(self, train: Evaluation, test: Evaluation) -> dict[str, float]:
        """Return the errors, the losses and the time, as the log and the result name them."""
        return {
            "train_loss": train.loss,
            "train_error": metrics.error_of(train),
            f"{self._split}_loss": test.loss,
            f"{self._split}_error": metrics.error_of(test),
            "seconds": round(self.seconds, 3),
        }

    def _evaluate(self, images: int) -> list[Evaluation]:
        """Evaluate the network on training and test images, shared among the processes."""
        trainer, net = self.trainer, self.trainer.eval_net
        self._processes.broadcast_buffers(net)
        evaluations = [
            metrics.evaluate_distributed(net, trainer.data.eval_batches(split, images), self._processes)
            for split in get_args(Split)
        ]
        for evaluation, name in zip(evaluations, ("train", self._split), strict=True):
            if not isfinite(evaluation.loss):  # running statistics of few iterations can cause this
                where = f"after iteration {trainer.iteration}: loss {evaluation.loss:g} on {name} images"
                raise DivergenceError(f"the training diverged {where}")
        return evaluations

    def _pretrained_config(self, iteration: int, train: Evaluation, test: Evaluation) -> PretrainedConfig:
        """Return the config of the weights of an iteration; their license is that of the initial weights."""
        trainer, data, initial = self.trainer, self.trainer.data, self._identity["weights"]
        chosen = "held-out images, by which the weights were chosen" if trainer.recipe.patience else f"{self._measured} images"
        return PretrainedConfig(
            name=name_of(trainer.eval_net.spec),
            tag="",
            spec=trainer.eval_net.spec,
            classes=data.classes,
            preprocess=data.preprocess,
            train_top1=train.top1,
            top1=test.top1,
            top5=test.top5,
            evaluated_on=f"{test.images:,} {chosen}; train_top1: {train.images:,} training images",
            recipe=f"{describe_recipe(trainer.recipe)}; {len(data):,} images, seed {self._identity['seed']}; "
            f"weights of iteration {iteration:,} of {trainer.steps:,}",
            license=self._identity["license"],
            origin=f"resnetlib.train; began as {initial}" if initial else "resnetlib.train",
        )

    def _write_log(self) -> None:
        if self.log or os.path.lexists(self._out / LOG):
            write_atomically(self._out / LOG, self.log.encode())

    def _draw(self) -> None:
        metrics.draw_curves([json.loads(line) for line in self.log.splitlines()], self._out / CURVES, self._split)
        self._drawn = time.monotonic()
