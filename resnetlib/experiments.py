"""The degradation problem: train plain and residual networks of several depths."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import mean
from typing import get_args

import torch

from resnetlib.analysis.batches import check_integers
from resnetlib.analysis.result import AnalysisResult, Axes, new_axes
from resnetlib.analysis.style import style_of
from resnetlib.config.integers import MAX_INT, check_count, check_seed
from resnetlib.disk import local_path
from resnetlib.errors import FailedTrainingsError, InputError
from resnetlib.models import build, spec_of
from resnetlib.train import Recipe, fit
from resnetlib.train.checkpoint import read_run
from resnetlib.train.data import Split, check_recipe, find_train_and_test
from resnetlib.train.recipe import as_recipe
from resnetlib.train.run import RUN, check_out
from resnetlib.train.trainer import Precision

__all__ = ["Degradation", "degradation"]


@dataclass(frozen=True, slots=True, eq=False)
class Degradation(AnalysisResult):
    """Errors of networks of several depths trained by the same recipe, one entry per training.

    Args:
        families: family of each network, such as "plain" for `cifar_plain20`.
        depths: number of layers of each network.
        seeds: seed of each training.
        train_error: training error in percent, in evaluation mode.
        test_error: test error in percent, of the last iteration's weights.
        images: number of training images; 0 for all.
        recipe: the recipe of all trainings.
    """

    families: tuple[str, ...]
    depths: tuple[int, ...]
    seeds: tuple[int, ...]
    train_error: tuple[float, ...]
    test_error: tuple[float, ...]
    images: int
    recipe: dict[str, object]

    def errors(self, family: str, depth: int, split: Split = "train") -> tuple[float, ...]:
        """Return the errors of a network in percent, one per seed; raise ValueError if it was not trained."""
        if split not in get_args(Split):
            raise InputError(f"split must be one of {', '.join(get_args(Split))}, got {split!r}")
        if depth not in self._depths(family):
            raise InputError(f"there is no training of {family!r} with {depth!r} layers; there are {self._trained()}")
        values = self.train_error if split == "train" else self.test_error
        return tuple(error for *net, error in zip(self.families, self.depths, values, strict=True) if net == [family, depth])

    def _depths(self, family: str) -> list[int]:
        return sorted({depth for each, depth in zip(self.families, self.depths, strict=True) if each == family})

    def _trained(self) -> str:
        return ", ".join(f"{family} {depth}" for family, depth in dict.fromkeys(zip(self.families, self.depths, strict=True)))

    def degrades(self, family: str) -> bool:
        """Return whether the deepest network trains worse than the shallowest.

        All its seeds must train worse than all of the other's. Raise ValueError if the family was not trained at two depths.
        """
        depths = self._depths(family)
        if len(depths) < 2:
            raise InputError(f"degradation needs {family!r} trained at two depths or more; there are {self._trained()}")
        return min(self.errors(family, depths[-1])) > max(self.errors(family, depths[0]))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot mean errors against depth, with a dash for each seed: training errors solid, test errors dashed."""
        ax = new_axes(ax)
        for family in dict.fromkeys(self.families):
            depths = self._depths(family)
            color = style_of(f"{family}44").get("color")
            for split, style in zip(get_args(Split), ("o-", "s--"), strict=True):
                found = [self.errors(family, depth, split) for depth in depths]
                ax.plot(depths, [mean(errors) for errors in found], style, color=color, label=f"{family}, {split}")
                for depth, errors in zip(depths, found, strict=True):
                    ax.plot([depth] * len(errors), errors, "_", color=color, alpha=0.7)
        ax.set(xlabel="layers", ylabel="error (%)", ylim=(0, None))
        ax.legend()
        return ax


def degradation(
    depths: Sequence[int] = (20, 56),
    families: Sequence[str] = ("plain", "resnet"),
    recipe: str | Recipe = "one_cycle_cifar",
    seeds: Sequence[int] = (0, 1, 2),
    *,
    data: str | Path,
    out: str | Path,
    images: int = 0,
    precision: Precision = "auto",
    device: str | None = None,
) -> Degradation:
    """Train networks of several depths by the same recipe, to compare the training errors of plain and residual ones.

    The trainings run one after the other. The same call again continues an interrupted one, and does not repeat finished ones.

    Args:
        depths: numbers of layers: 20, 32, 44, 56 and 110 for "plain", these, 164 and 1202 for "resnet", and 20, 56, 110, 164 and
            1001 for "preact_resnet".
        families: "plain", "resnet" or "preact_resnet", for the networks `cifar_{family}{depth}`.
        recipe: a recipe or its name.
        seeds: seeds of the initial weights and of the training.
        data: folder of CIFAR-10, or one with train/ and val/.
        out: folder to write, with a subfolder per training.
        images: number of training images of CIFAR-10 to use, the first ones; 0 for all.
        precision: as in `resnetlib.train.fit`.
        device: the device; None for a GPU if there is one.

    Returns:
        The errors.

    Raises:
        ValueError: for an unknown network or recipe, repeated values, or an empty argument.
        RuntimeError: if a training failed; the others are kept.

    Source:
        arXiv 1512.03385, fig. 1, 4 and 6.
    """
    depths, seeds = check_integers("depths", depths, 1), tuple(map(check_seed, check_integers("seeds", seeds, 0)))
    images = check_count("images", images, minimum=0, maximum=MAX_INT)
    names = isinstance(families, Sequence) and not isinstance(families, str) and all(isinstance(name, str) for name in families)
    if not names or not 0 < len(families) == len({*families}):
        raise InputError(f"families must be a sequence of different names, such as ('plain', 'resnet'), got {families!r:.200}")
    cells = list(product(families, depths, seeds))
    specs = [spec_of(f"cifar_{family}{depth}") for family, depth, _ in cells]
    chosen = as_recipe(recipe)
    check_out(out := local_path(out), data)
    train, test = find_train_and_test(local_path(data), images)
    check_recipe(chosen, train)
    results, failed = [], []
    for (family, depth, seed), spec in zip(cells, specs, strict=True):
        name = f"cifar_{family}{depth}-seed={seed}"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = build(spec, num_classes=len(train.classes))
        try:
            results.append(fit(net, train, test, chosen, out / name, seed=seed, device=device, precision=precision))
        except (ValueError, OSError, ArithmeticError) as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise FailedTrainingsError(f"{len(failed)} of {len(cells)} trainings failed, the others are kept:\n" + "\n".join(failed))
    all_families, all_depths, all_seeds = zip(*cells, strict=True)
    return Degradation(
        families=all_families,
        depths=all_depths,
        seeds=all_seeds,
        train_error=tuple(result.train_error for result in results),
        test_error=tuple(result.test_error for result in results),
        images=images,
        recipe=asdict(Recipe(**read_run(out / name / RUN)["recipe"])),  # with the batch size that was used
    )
