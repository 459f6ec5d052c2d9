"""Experiments that train: the degradation problem."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Literal

from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.disk import write_atomically
from resnetlib.models import spec_of
from resnetlib.train.grid import Cell, cells_of, run_grid
from resnetlib.train.recipe import Recipe
from resnetlib.train.recipes import recipe_of
from resnetlib.train.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Degradation", "degradation"]

_RECIPE = "recipe.json"


@dataclass(frozen=True, slots=True, eq=False)
class Degradation(AnalysisResult):
    """Errors of networks of several depths, trained alike: an entry for each training.

    Args:
        families: of each network, "plain" for `cifar_plain20`.
        depths: layers of each network.
        seeds: of each training.
        train_error: percent, in evaluation, on the images that it was trained on.
        test_error: percent, of the last iteration's weights.
        images: training images; 0 for all.
        recipe: by which all were trained.
    """

    families: tuple[str, ...]
    depths: tuple[int, ...]
    seeds: tuple[int, ...]
    train_error: tuple[float, ...]
    test_error: tuple[float, ...]
    images: int
    recipe: dict[str, object]

    def errors(self, family: str, depth: int, split: Literal["train", "test"] = "train") -> tuple[float, ...]:
        """Return the errors of one network's trainings.

        Args:
            family: of the network.
            depth: of the network.
            split: on which images.

        Returns:
            Percent, for each seed.
        """
        values = self.train_error if split == "train" else self.test_error
        mine = zip(self.families, self.depths, values, strict=True)
        return tuple(value for f, d, value in mine if (f, d) == (family, depth))

    def degrades(self, family: str) -> bool:
        """Tell whether each training of the deepest network has a higher training error than every one of the shallowest.

        Args:
            family: of the networks.

        Returns:
            True for the degradation problem.

        Raises:
            ValueError: for a family that was not trained at two depths.
        """
        depths = sorted({depth for f, depth in zip(self.families, self.depths, strict=True) if f == family})
        if len(depths) < 2:
            raise ValueError(f"{family} was trained at the depths {depths}: degradation needs two; there are {set(self.families)}")
        return min(self.errors(family, depths[-1])) > max(self.errors(family, depths[0]))

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw errors against depth: means as lines, a dash for each seed; training solid, test dashed.

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
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    device: str | None = None,
    jobs: int = 1,
) -> Degradation:
    """Train networks of several depths alike: do deeper plain ones train worse, and deeper residual ones not?

    The same call again goes on where the last one was stopped; trainings that are finished are not repeated.

    Args:
        depths: layers; 20, 32, 44, 56, 110 have names in all families.
        families: "plain", "resnet", "preact_resnet": the networks `cifar_{family}{depth}`.
        recipe: by its name, or your own.
        seeds: of first weights and draws; degradation shows only beside the spread over seeds.
        data: the folder of CIFAR-10, or one with train/ and val/.
        out: the folder to fill, one of its own for each training.
        images: train on the first so many; 0 for all.
        precision: as in `resnetlib.train.fit`.
        device: where to compute; None for a GPU if there is one.
        jobs: trainings at once.

    Returns:
        The errors.

    Raises:
        ValueError: for a network that there is not, a recipe that there is not, the same thing twice, or nothing.
        RuntimeError: if a training failed; the others are kept.

    Source:
        arXiv 1512.03385, fig. 1, 4 and 6.
    """
    if not (depths and families and seeds):
        raise ValueError("degradation needs depths, families and seeds, one of each at least")
    for what, values in (("depths", depths), ("families", families)):
        if len(set(values)) < len(values):
            raise ValueError(f"{what} has a value twice: {list(values)}")
    names = {f"cifar_{family}{depth}": (family, depth) for family in families for depth in depths}
    for name in names:
        spec_of(name)
    chosen = recipe if isinstance(recipe, Recipe) else recipe_of(recipe)
    cells = cells_of({"models": list(names), "seeds": [str(seed) for seed in seeds]})
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if (out / _RECIPE).is_file() and (out / _RECIPE).read_text() != chosen.to_json():
        raise ValueError(f"{out} holds trainings by another recipe: give another folder")
    write_atomically(out / _RECIPE, chosen.to_json().encode())
    common = ["--data", str(data), "--recipe", str(out / _RECIPE), "--precision", precision]
    common += ["--images", str(images)] if images else []
    common += ["--device", device] if device else []
    results = run_grid(cells, common, out, jobs=jobs)
    return _collected([(*names[cell.model], cell) for cell in cells], results, images, chosen)


def _collected(cells: list[tuple[str, int, Cell]], results: dict[str, Result | str], images: int, recipe: Recipe) -> Degradation:
    done, failed = [], []
    for family, depth, cell in cells:
        result = results[cell.name]
        if isinstance(result, Result):
            done.append((family, depth, int(dict(cell.values)["seed"]), result.train_error, result.test_error))
        else:
            failed.append(f"{cell.name}: {result}")
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(cells)} trainings failed, the others are kept:\n" + "\n".join(failed))
    families, depths, seeds, train, test = zip(*done, strict=True)
    return Degradation(families, depths, seeds, train, test, images, asdict(recipe))
