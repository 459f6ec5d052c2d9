"""Training paths, projected onto the plane of their first two principal components."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from resnetlib.analysis import style
from resnetlib.analysis.batches import as_tuple
from resnetlib.analysis.landscape.directions import Direction, check_directions, parameters_of
from resnetlib.analysis.result import AnalysisResult, Axes, new_axes
from resnetlib.errors import InputError

Checkpoint = nn.Module | Mapping[str, Tensor]
"""A network or its state dict, with or without the prefixes `module.` and `_orig_mod.` of DataParallel and torch.compile."""


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory(AnalysisResult):
    """Coordinates of checkpoints in a plane through the parameters.

    Args:
        coordinates: of each checkpoint, in order, `(n, 2)`; the network itself is at (0, 0).
        outside: fraction of each checkpoint's distance from the network outside the plane: `|d - x dx - y dy| / |d|`.
        explained: fraction of the path's variance along each axis; None if the directions were given.
        axes: directions, flattened one parameter after the other, `(2, P)`.
        shapes: shapes of the parameters by name.
    """

    coordinates: Tensor
    outside: Tensor
    explained: Tensor | None
    axes: Tensor
    shapes: dict[str, tuple[int, ...]]

    @property
    def directions(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Directions dx and dy, for `landscape`."""
        parts = [axis.split([prod(shape) for shape in self.shapes.values()]) for axis in self.axes]
        dx, dy = ({name: p.view(s) for p, (name, s) in zip(part, self.shapes.items(), strict=True)} for part in parts)
        return dx, dy

    @property
    def span(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Ends of x and y that contain the path with a margin of a fifth, for `landscape`."""
        ends = torch.cat([self.coordinates, torch.zeros(1, 2, dtype=torch.float64)])
        low, high = ends.min(0).values, ends.max(0).values
        margin = 0.2 * (high - low).where(high > low, (high - low).max())
        (x0, y0), (x1, y1) = (low - margin).tolist(), (high + margin).tolist()
        return (x0, x1), (y0, y1)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the path, for example on the axes of a landscape."""
        ax = new_axes(ax, width=5.5, height=4.5)
        x, y = torch.cat([self.coordinates, torch.zeros(1, 2, dtype=torch.float64)]).T.numpy()
        ax.plot(x, y, marker=".", color=style.SECOND, linewidth=1)
        shares = [""] * 2 if self.explained is None else [f", {share:.1%} of the variance" for share in self.explained.tolist()]
        ax.set(xlabel=f"x{shares[0]}", ylabel=f"y{shares[1]}")
        return ax


def trajectory(
    net: nn.Module,
    checkpoints: Iterable[Checkpoint],
    *,
    directions: Sequence[Direction] | None = None,
    ignore_norms_and_biases: bool = True,
) -> Trajectory:
    """Project checkpoints onto the first two principal components of [theta_0 - theta_n, ..., theta_{n-1} - theta_n].

    Args:
        net: the network at the end of the training, theta_n.
        checkpoints: networks or state dicts of the same network, in order.
        directions: dx and dy of any lengths and angle, to use in place of the principal components.
        ignore_norms_and_biases: leave parameters of at most one dimension out of the principal components.

    Returns:
        The path; `landscape(net, batches, found.span, directions=found.directions)` is the surface under it.

    Raises:
        ValueError: if the checkpoints span no plane, are not finite, or belong to another network.

    Source:
        arXiv 1712.09913, sec. 7.2. As in the authors' code, rows are centered before the components are computed.
    """
    theta = parameters_of(net)
    steps = _steps(theta, checkpoints)
    if directions is not None:
        axes, explained = _flatten(check_directions(net, directions)), None
        if len(axes) != 2:
            raise InputError(f"a trajectory needs two directions, got {len(axes)}")
    else:
        counted = torch.cat([torch.full((t.numel(),), t.ndim > 1 or not ignore_norms_and_biases) for t in theta.values()])
        axes, explained = _principal_components(steps * counted)
    coordinates, outside = _least_squares(steps, axes)
    shapes = {name: tuple(tensor.shape) for name, tensor in theta.items()}
    return Trajectory(coordinates=coordinates, outside=outside, explained=explained, axes=axes, shapes=shapes)


def project(net: nn.Module, checkpoints: Iterable[Checkpoint], directions: Sequence[Direction]) -> Tensor:
    """Project checkpoints onto directions: the c that minimize `|theta_i - theta - c_1 d_1 - c_2 d_2|`.

    Args:
        net: the network at the origin, theta.
        checkpoints: networks or state dicts of the same network.
        directions: one or two.

    Returns:
        The coordinates, `(n, 1)` or `(n, 2)`.

    Raises:
        ValueError: if the directions are zero or parallel, or anything is not finite or belongs to another network.

    Source:
        The normal equations. The published tool instead divides inner products by `|d|` and ignores the angle, which is wrong
        unless axes are orthonormal, as filter-normalized ones are not.

    Example:
        >>> net = nn.Linear(2, 1, bias=False)
        >>> dx, dy = {"weight": torch.tensor([[2.0, 0.0]])}, {"weight": torch.tensor([[1.0, 1.0]])}
        >>> project(net, [{"weight": net.weight.detach() + 3 * dx["weight"] - dy["weight"]}], [dx, dy]).round(decimals=3)
        tensor([[ 3., -1.]], dtype=torch.float64)
    """
    steps = _steps(parameters_of(net), checkpoints)
    return _least_squares(steps, _flatten(check_directions(net, directions)))[0]


def _steps(theta: Mapping[str, Tensor], checkpoints: Iterable[Checkpoint]) -> Tensor:
    """Return theta_i - theta, flattened, `(n, P)`, in fp32 on the CPU."""
    given = as_tuple(checkpoints)
    if given is None or not all(isinstance(checkpoint, nn.Module | Mapping) for checkpoint in given):
        raise InputError(f"checkpoints must be an iterable of networks or state dicts, got {type(checkpoints).__name__}")
    if not given:
        raise InputError("there are no checkpoints")
    steps = torch.empty(len(given), sum(tensor.numel() for tensor in theta.values()), dtype=torch.float32)
    for step, checkpoint in zip(steps, given, strict=True):
        state = parameters_of(checkpoint) if isinstance(checkpoint, nn.Module) else _strip_prefixes(checkpoint, next(iter(theta)))
        for name, tensor in theta.items():
            shape = getattr(state.get(name), "shape", None)
            if shape != tensor.shape:
                found = f"{name} is a {type(state[name]).__name__}" if name in state else f"it has no {name}"
                found = found if shape is None else f"{name} has shape {tuple(shape)}"
                raise InputError(f"a checkpoint belongs to another network: {found}, expected shape {tuple(tensor.shape)}")
        differences = [
            (torch.as_tensor(state[name]).detach().double().cpu() - t.double().cpu()).flatten() for name, t in theta.items()
        ]
        torch.cat(differences, out=step)
        for name, part in zip(theta, step.split([*map(len, differences)]), strict=True):
            if not part.isfinite().all():
                raise InputError(
                    f"{name} of a checkpoint, or its difference from the network's, is not finite in fp32 (NaN or infinite)"
                )
    return steps


def _strip_prefixes(state: Mapping[str, Tensor], first: str) -> Mapping[str, Tensor]:
    while first not in state and any(name.startswith(("module.", "_orig_mod.")) for name in state):
        state = {re.sub(r"^(module|_orig_mod)\.", "", name): tensor for name, tensor in state.items()}
    return state


def _flatten(directions: Sequence[Direction]) -> Tensor:
    return torch.stack([torch.cat([d.float().cpu().flatten() for d in direction.values()]) for direction in directions])


def _principal_components(steps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first two principal components, of length 1, and their fractions of the variance."""
    centered = steps - steps.mean(0)
    variances, rotation = torch.linalg.eigh(_inner_products(centered, centered))  # n x n: rows are few and long
    variances = variances.clamp(min=0)
    if len(steps) < 3 or variances[-2] <= 1e-10 * variances[-1]:
        raise InputError(f"the {len(steps)} checkpoints span no plane: give three or more that are not in one line")
    axes = (rotation[:, -2:].flip(1).T / variances[-2:].flip(0).sqrt()[:, None]).float() @ centered
    signs = _inner_products(axes, steps[:1]).sign()  # the first checkpoint is at the upper right
    return axes * signs.float().where(signs != 0, 1.0), variances[-2:].flip(0) / variances.sum()


def _least_squares(steps: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the coordinates of rows along axes, and the fraction of each row's length outside their span."""
    gram, products = _inner_products(axes, axes), _inner_products(steps, axes)
    lengths = gram.diagonal().sqrt()
    if not (lengths > 0).all() or torch.linalg.det(gram / lengths / lengths[:, None]) < 1e-10:
        raise InputError("the directions are zero or parallel, and span no plane")
    coordinates = torch.linalg.solve(gram, products.T).T
    rest = torch.stack([(step.double() - c @ axes.double()).norm() for step, c in zip(steps, coordinates, strict=True)])
    whole = steps.double().norm(dim=1)
    return coordinates, (rest / whole).where(whole > 0, 0.0)


def _inner_products(rows: Tensor, others: Tensor) -> Tensor:
    """Return inner products, summed in float64 without copying whole rows."""
    parts = zip(rows.split(2**20, 1), others.split(2**20, 1), strict=True)
    return sum((one.double() @ other.double().T for one, other in parts), torch.zeros(len(rows), len(others), dtype=torch.float64))
