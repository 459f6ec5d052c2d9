"""Where a surface is not convex: the extreme eigenvalues of the Hessian, and their ratio."""

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from resnetlib.analysis.inputs import Batch, Batches, check_seed, count_images, gather, seeded_generator
from resnetlib.analysis.landscape.directions import Direction, check_directions, draw_directions, parameters_of
from resnetlib.analysis.landscape.grid import Span, check_grid
from resnetlib.analysis.landscape.keeping import begun, check_path, kept, made_of
from resnetlib.analysis.landscape.pictures import draw_map
from resnetlib.analysis.landscape.survey import UNKNOWN, Pace, survey
from resnetlib.analysis.landscape.team import join_team
from resnetlib.analysis.network import check_logits, enable_gradients, preserve_state, run, unwrapped
from resnetlib.analysis.result import AnalysisResult
from resnetlib.modules.arguments import check_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class HessianMap(AnalysisResult):
    """The largest and smallest eigenvalue of the Hessian of the loss, over a plane through the parameters.

    Args:
        x: the coordinates along dx.
        y: the coordinates along dy.
        largest: eigenvalue, `(len(y), len(x))`: `largest[i, j]` is at `x[j]`, `y[i]`; NaN where the loss has no finite one, -1 in
            both where they are not computed yet.
        smallest: eigenvalue.
        images: over how many.
        seed: of the directions; None where they were given.
        made_of: fingerprints of what the map depends on.
    """

    x: Tensor
    y: Tensor
    largest: Tensor
    smallest: Tensor
    images: int
    seed: int | None
    made_of: dict[str, str]

    @property
    def ratio(self) -> Tensor:
        """`|smallest / largest|`: near 0 the loss is as good as convex, near 1 it curves down as much as up."""
        unknown = (self.largest == UNKNOWN) & (self.smallest == UNKNOWN)
        return (self.smallest / self.largest).abs().masked_fill(unknown, torch.nan)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the map of `|smallest / largest|`, from 0 to 0.5 and above, as published.

        Args:
            ax: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        return draw_map(ax, self.x, self.y, self.ratio, highest=0.5, label="|smallest / largest eigenvalue|")


def hessian_map(
    net: nn.Module,
    batches: Batches,
    span: Span = 1.0,
    points: int = 21,
    *,
    directions: Sequence[Direction] | None = None,
    seed: int = 0,
    ignore_norms_and_biases: bool = True,
    tolerance: float = 1e-2,
    out: str | Path | None = None,
) -> HessianMap:
    """`|lambda_min / lambda_max|` of the Hessian of the mean cross-entropy, at each point of a plane.

    The Hessian is that of the parameters of more than one dimension, over all images, in evaluation; as published. Products with
    it are curvlinops', eigenvalues are ARPACK's: first the one of largest magnitude, then the other end, which is that of largest
    magnitude once the first is subtracted from all. (The published code subtracts 0.51 times the first, which finds the other end
    only of Hessians that are not positive definite.) One point costs some tens of gradients over all images. Processes and files
    are those of `landscape`.

    Args:
        net: a classifier; in any mode, and left as it was.
        batches: images and labels.
        span: x and y go from -span to span; or the two ends of each.
        points: of them, along x, and along y.
        directions: dx and dy; None for filter-normalised random ones.
        seed: of the random directions, the same as `landscape` draws, and of ARPACK's start.
        ignore_norms_and_biases: of the random directions.
        tolerance: of the eigenvalues, as a share of the larger one.
        out: a file, .json or .safetensors, that is kept up to date, point by point.

    Returns:
        The map.

    Raises:
        ImportError: without curvlinops and scipy, which `pip install 'resnetlib[landscape]'` brings.
        ValueError: if there are no images, labels or logits, an argument is out of range, or `out` is of another call.

    Source:
        arXiv 1712.09913, sec. 6.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> found = hessian_map(net, (torch.randn(8, 1, 2, 2), torch.arange(8) % 2), points=2)
        >>> found.ratio.shape
        torch.Size([2, 2])
    """
    points, seed = check_count("points", points, least=1), check_seed(seed)
    net = unwrapped(net)
    data = gather(net, batches, None)
    path = check_path(out)
    along = check_directions(net, draw_directions(net, 2, seed, ignore_norms_and_biases) if directions is None else directions)
    if len(along) != 2:
        raise ValueError("a map needs two directions")
    grid = check_grid(span, points, 2)
    if not (isinstance(tolerance, int | float) and 0 < tolerance < 1):
        raise ValueError(f"tolerance must be a share between 0 and 1, got {tolerance!r}")
    made = made_of(net, data, along, span=grid.span, points=points, tolerance=tolerance, start=seed)

    def found(values: Tensor) -> HessianMap:
        largest, smallest = (values[:, i].view(grid.shape).clone() for i in (0, 1))
        return HessianMap(grid.x, grid.plane, largest, smallest, count_images(data), None if directions else seed, made)

    def keep(values: Tensor) -> None:
        if path is not None:
            found(values).save(path)

    with enable_gradients(net), join_team(data[0][0].device) as team, preserve_state(net):
        before = begun(path, HessianMap, made, team)
        with torch.no_grad():
            check_logits(run(net, data[0][0]))
        measure = Extremes(net, along, data, tolerance=tolerance, seed=seed)
        if not measure.finite_at(torch.zeros(2)):
            raise ValueError("the network's own Hessian is not finite on these images: there is no map to draw")
        values = torch.full((len(grid.points), 2), UNKNOWN, dtype=torch.float64)
        if before is not None:
            values = kept(path, grid.shape, before.largest, before.smallest)
        pace = Pace(chunk=1, seconds=1, every=0)
        return found(survey(grid.points, values, [measure], team, pace, keep=keep, what="Hessian extremes"))


class Extremes:
    """The eigenvalues of largest and smallest value at points of a plane.

    Args:
        net: the network, in evaluation.
        directions: dx and dy.
        batches: images and labels.
        tolerance: of the eigenvalues.
        seed: of the vector from which ARPACK starts.
    """

    def __init__(
        self, net: nn.Module, directions: Sequence[dict[str, Tensor]], batches: list[Batch], *, tolerance: float, seed: int
    ) -> None:
        self.net, self.theta, self.directions = copy.deepcopy(net), parameters_of(net), directions
        self.batches, self.tolerance = batches, tolerance
        self.parameters = dict(self.net.named_parameters())
        for parameter in self.parameters.values():
            parameter.requires_grad_(parameter.ndim > 1)
        self.learned = [parameter for parameter in self.parameters.values() if parameter.requires_grad]
        size = sum(parameter.numel() for parameter in self.learned)
        if size < 2:
            raise ValueError("the network has no parameters of more than one dimension, which the Hessian is taken of")
        self.start = torch.randn(size, generator=seeded_generator(seed), dtype=torch.float64).numpy()

    def __call__(self, points: Tensor) -> Tensor:
        """Compute them at one point.

        Args:
            points: its coordinates, `(1, 2)`.

        Returns:
            The largest and the smallest, `(1, 2)`.
        """
        if not self.finite_at(points[0]):
            return torch.full((1, 2), torch.nan, dtype=torch.float64)
        product = self.products()
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of what PyTorch imports for derivatives forward
            first = self.extreme(product)
            other = first + self.extreme(lambda v: product(v) - first * v.reshape(-1))
        return torch.tensor([[max(first, other), min(first, other)]], dtype=torch.float64)

    def finite_at(self, point: Tensor) -> bool:
        """Move to a point, and tell whether the Hessian there is finite, by one product with it."""
        (x, y), (dx, dy) = point.tolist(), self.directions
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self.theta[name] + (x * dx[name] + y * dy[name]))
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            return bool(np.isfinite(self.products()(self.start)).all())

    def products(self) -> Callable[[Any], Any]:
        """Return what multiplies vectors by the Hessian, averaged over all images."""
        operator = _curvlinops().HessianLinearOperator(
            self.net, nn.CrossEntropyLoss(), self.learned, self.batches, check_deterministic=False
        )
        like = self.learned[0]

        def product(v: Any) -> Any:
            with torch.enable_grad():
                return (operator @ torch.from_numpy(v).flatten().to(like.device, like.dtype)).double().cpu().numpy()

        return product

    def extreme(self, product: Callable[[Any], Any]) -> float:
        """Return the eigenvalue of largest magnitude, NaN where ARPACK finds none."""
        from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

        size = len(self.start)
        operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
        try:
            return float(eigsh(operator, k=1, tol=self.tolerance, v0=self.start, return_eigenvectors=False)[0])
        except ArpackNoConvergence:
            return float("nan")


def _curvlinops() -> Any:
    try:
        import scipy  # noqa: F401

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it imports
            import curvlinops
    except ImportError as error:
        raise ImportError("Hessians need curvlinops and scipy: pip install 'resnetlib[landscape]'") from error
    return curvlinops
