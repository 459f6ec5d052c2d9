"""Maps of the extreme eigenvalues of the Hessian, which show where the loss is not convex."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.functional import vhp
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from resnetlib.analysis.batches import Batch, Batches, count_images, gather, seeded_generator
from resnetlib.analysis.landscape import grids
from resnetlib.analysis.landscape.directions import Direction, check_directions, draw_directions, parameters_of
from resnetlib.analysis.landscape.grids import NOT_COMPUTED, Span
from resnetlib.analysis.network import check_labels, check_logits, enable_gradients, preserve_state, run
from resnetlib.analysis.result import AnalysisResult, Axes, new_axes
from resnetlib.config.integers import check_count, check_seed
from resnetlib.distributed import process_group
from resnetlib.errors import InputError, MissingPackageError


@dataclass(frozen=True, slots=True, eq=False)
class HessianMap(AnalysisResult):
    """The largest and smallest eigenvalue of the Hessian of the loss, over a plane through the parameters.

    Args:
        x: coordinates along dx.
        y: coordinates along dy.
        largest: eigenvalue, `(len(y), len(x))`: `largest[i, j]` is at `x[j]`, `y[i]`; NaN if the Hessian is not finite. Points that
            are not computed yet have -1 in both.
        smallest: eigenvalue, same shape.
        images: number of images.
        seed: seed of the directions; None if they were given.
        made_of: fingerprints of everything that the map depends on.
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
        """`|smallest / largest|`: near 0 the loss is almost convex, near 1 it curves down as much as up."""
        unknown = (self.largest == NOT_COMPUTED) & (self.smallest == NOT_COMPUTED)
        return (self.smallest / self.largest).abs().masked_fill(unknown, torch.nan)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the map of `|smallest / largest|`, from 0 to 0.5 and above, as published."""
        ax = new_axes(ax, width=5.5, height=4.5)
        x, y, ratio = self.x.numpy(), self.y.numpy(), self.ratio.numpy()
        mesh = ax.pcolormesh(x, y, ratio, vmin=0, vmax=0.5, cmap="viridis", shading="nearest")
        ax.get_figure(root=True).colorbar(mesh, ax=ax, label="|smallest / largest eigenvalue|")  # type: ignore[union-attr]
        ax.set(xlabel="x", ylabel="y")
        return ax


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
    """Compute the extreme eigenvalues of the Hessian of the mean cross-entropy, at each point of a plane.

    The Hessian is with respect to the parameters of more than one dimension, over all images, in evaluation mode, as published.
    ARPACK finds the eigenvalue of largest magnitude, then the one at the other end (also of positive definite Hessians, unlike
    the published code). A point costs some tens of gradients over all images. Processes share the points, and a file is resumed,
    as in `landscape`.

    Args:
        net: any classifier.
        batches: images and labels.
        span: x and y go from -span to span; or the two ends of each.
        points: number of points along x and along y; a single one is in the middle.
        directions: dx and dy; None for filter-normalized random ones.
        seed: of the random directions, the same as those of `landscape`, and of ARPACK's starting vector.
        ignore_norms_and_biases: see `filter_normalized_direction`.
        tolerance: of the eigenvalues, relative to the larger one.
        out: checkpoint file, .json or .safetensors, updated at every point.

    Returns:
        The map.

    Raises:
        ImportError: if scipy is missing: `pip install 'resnetlib[landscape]'`.
        ValueError: if there are no images, labels or logits, an argument is out of range, or `out` belongs to another call.

    Source:
        arXiv 1712.09913, sec. 6.
    """
    points, seed = check_count("points", points, minimum=1), check_seed(seed)
    net, data = gather(net, batches)
    path = grids.check_checkpoint_path(out)
    along = check_directions(net, draw_directions(net, 2, seed, ignore_norms_and_biases) if directions is None else directions)
    if len(along) != 2:
        raise InputError(f"a map needs two directions, got {len(along)}")
    ends, axes, coordinates = grids.make_grid(span, points, 2)
    if not (isinstance(tolerance, Real) and 0 < tolerance < 1):
        raise InputError(f"tolerance must be a number between 0 and 1, got {tolerance!r}")
    tolerance = float(tolerance)
    made_of = grids.fingerprint(net, data, along, span=ends, points=points, tolerance=tolerance, start=seed)

    def result(values: Tensor) -> HessianMap:
        largest, smallest = (values[:, i].view(points, points).clone() for i in (0, 1))
        return HessianMap(axes[0], axes[1], largest, smallest, count_images(data), None if directions else seed, made_of)

    with enable_gradients(net), process_group(data[0][0].device, "gloo") as processes, preserve_state(net):
        _, values = grids.load_checkpoint(path, HessianMap, ("largest", "smallest"), (points, points), made_of, processes)
        with torch.no_grad():
            check_labels(torch.cat([labels for _, labels in data]), check_logits(run(net, data[0][0])))
        theta, (dx, dy) = parameters_of(net), along
        size = sum(parameter.numel() for parameter in theta.values() if parameter.ndim > 1)
        if size < 2:
            raise InputError("the network has no parameters of more than one dimension, which the Hessian is taken with respect to")
        start = torch.randn(size, generator=seeded_generator(seed), dtype=torch.float64).numpy()
        if not np.isfinite(multiply_by_hessian(net, theta, data, start)).all():
            raise InputError(
                "the network's own Hessian is not finite on these images: check its weights, and that the images are preprocessed; "
                "call this for an untrained network within resnetlib.analysis.recalibrated(net, batches)"
            )

        def eigenvalues(point: Tensor) -> Tensor:
            """Return the largest and smallest eigenvalue at a point `(1, 2)`, or NaN where the Hessian is not finite."""
            x, y = point[0].tolist()
            at_point = {name: parameter + (x * dx[name] + y * dy[name]) for name, parameter in theta.items()}
            multiply = partial(multiply_by_hessian, net, at_point, data)
            finite = np.isfinite(multiply(start)).all()
            both = extreme_eigenvalues(multiply, start, tolerance) if finite else (torch.nan, torch.nan)
            return torch.tensor([both], dtype=torch.float64)

        return grids.compute_points(coordinates, values, [eigenvalues], processes, result, path, desc="Hessian eigenvalues")


def multiply_by_hessian(net: nn.Module, parameters: Mapping[str, Tensor], batches: list[Batch], vector: Any) -> Any:
    """Multiply a vector by the Hessian of the mean cross-entropy at the given parameters (Pearlmutter 1994)."""
    names = [name for name, parameter in parameters.items() if parameter.ndim > 1]
    matrices = tuple(parameters[name] for name in names)

    def loss(x: Tensor, y: Tensor, *matrices: Tensor) -> Tensor:
        state = dict(parameters) | dict(zip(names, matrices, strict=True))
        return cross_entropy(functional_call(net, state, (x,)), y, reduction="sum")

    parts = torch.from_numpy(vector).flatten().to(matrices[0]).split([matrix.numel() for matrix in matrices])
    direction = tuple(part.view_as(matrix) for part, matrix in zip(parts, matrices, strict=True))
    product = torch.zeros(vector.size, dtype=torch.float64)
    for x, y in batches:
        _, products = vhp(partial(loss, x, y), matrices, direction)
        product += torch.cat([part.flatten() for part in products]).double().cpu()
    return product.numpy() / count_images(batches)


def extreme_eigenvalues(multiply: Callable[[Any], Any], start: Any, tolerance: float) -> tuple[float, float]:
    """Return the largest and the smallest eigenvalue of a symmetric operator, NaN where ARPACK does not converge."""
    try:
        from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
    except ImportError as error:
        raise MissingPackageError("Hessians need scipy: pip install 'resnetlib[landscape]'") from error

    def largest_magnitude(multiply: Callable[[Any], Any]) -> float:
        operator = LinearOperator((len(start), len(start)), matvec=multiply, dtype=np.float64)
        try:
            return float(eigsh(operator, k=1, tol=tolerance, v0=start, return_eigenvectors=False)[0])
        except ArpackNoConvergence:
            return float("nan")

    first = largest_magnitude(multiply)
    other = first + largest_magnitude(lambda v: multiply(v) - first * v.reshape(-1))
    return max(first, other), min(first, other)
