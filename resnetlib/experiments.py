"""Experiments that train networks: the degradation problem."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Literal

import torch

from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.errors import InputError
from resnetlib.models import build, spec_of
from resnetlib.train import Recipe, fit, recipe_of
from resnetlib.train.data import find_train_and_test
from resnetlib.train.trainer import Precision

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Degradation", "degradation"]


@dataclass(frozen=True, slots=True, eq=False)
class Degradation(AnalysisResult):
    """Errors of networks of several depths that were trained alike: an entry per training.

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

    def errors(self, family: str, depth: int, split: Literal["train", "test"] = "train") -> tuple[float, ...]:
        """Return the errors of a network in percent, one per seed.

        Args:
            family: family of the network.
            depth: number of layers.
            split: "train" or "test".

        Returns:
            The errors.
        """
        values = self.train_error if split == "train" else self.test_error
        mine = zip(self.families, self.depths, values, strict=True)
        return tuple(value for f, d, value in mine if (f, d) == (family, depth))

    def degrades(self, family: str) -> bool:
        """Return whether the deepest network has a higher training error than the shallowest with every seed.

        Args:
            family: family of the networks.

        Returns:
            True for the degradation problem.

        Raises:
            ValueError: if the family was not trained at two depths.
        """
        depths = sorted({depth for f, depth in zip(self.families, self.depths, strict=True) if f == family})
        if len(depths) < 2:
            raise InputError(f"{family} was trained at the depths {depths}: degradation needs two; there are {set(self.families)}")
        return min(self.errors(family, depths[-1])) > max(self.errors(family, depths[0]))

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Plot mean errors against depth, with a dash for each seed; training errors solid, test errors dashed.

        Args:
            ax: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        ax = new_axes(ax)
        for i, family in enumerate(dict.fromkeys(self.families)):
            depths = sorted({depth for f, depth in zip(self.families, self.depths, strict=True) if f == family})
            splits: tuple[tuple[Literal["train", "test"], str], ...] = (("train", "o-"), ("test", "s--"))
            for split, style in splits:
                found = [self.errors(family, depth, split) for depth in depths]
                ax.plot(depths, [mean(errors) for errors in found], style, color=f"C{i}", label=f"{family}, {split}")
                for depth, errors in zip(depths, found, strict=True):
                    ax.plot([depth] * len(errors), errors, "_", color=f"C{i}", alpha=0.7)
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
    """Train networks of several depths alike: do deeper plain networks have a higher training error, and deeper residual ones not?

    The trainings run one after the other. The same call again continues an interrupted one, and does not repeat finished ones.

    Args:
        depths: numbers of layers; 20, 32, 44, 56 and 110 exist in all families.
        families: "plain", "resnet" or "preact_resnet", for the networks `cifar_{family}{depth}`.
        recipe: a recipe or its name.
        seeds: seeds of the initial weights and of the training.
        data: folder of CIFAR-10, or one with train/ and val/.
        out: folder to write, with a subfolder for each training.
        images: use only the first training images; 0 for all.
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
    if not (depths and families and seeds):
        raise InputError("degradation needs depths, families and seeds, one of each at least")
    for what, values in (("depths", depths), ("families", families), ("seeds", seeds)):
        if len(set(values)) < len(values):
            raise InputError(f"{what} has a value twice: {list(values)}")
    cells = [(family, depth, seed) for family in families for depth in depths for seed in seeds]
    specs = {(family, depth): spec_of(f"cifar_{family}{depth}") for family, depth, _ in cells}
    chosen = recipe if isinstance(recipe, Recipe) else recipe_of(recipe)
    train, test, classes = find_train_and_test(Path(data), images)
    results, failed = [], []
    for family, depth, seed in cells:
        name = f"cifar_{family}{depth}-seed={seed}"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = build(specs[family, depth], num_classes=classes)
        try:
            result = fit(net, train, test, chosen, Path(out) / name, seed=seed, device=device, precision=precision)
            results.append((result.train_error, result.test_error))
        except (ValueError, OSError, ArithmeticError) as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(cells)} trainings failed, the others are kept:\n" + "\n".join(failed))
    return Degradation(
        families=tuple(family for family, _, _ in cells),
        depths=tuple(depth for _, depth, _ in cells),
        seeds=tuple(seed for _, _, seed in cells),
        train_error=tuple(train_error for train_error, _ in results),
        test_error=tuple(test_error for _, test_error in results),
        images=images,
        recipe=asdict(chosen),
    )
