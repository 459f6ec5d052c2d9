"""The path of a training, seen in the plane in which most of it happens."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from resnetlib.analysis.inputs import as_tuple
from resnetlib.analysis.landscape.directions import Direction, check_directions, parameters_of
from resnetlib.analysis.result import AnalysisResult, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Checkpoint = nn.Module | Mapping[str, Tensor]
"""A network, or its state dict; also that of what spread or compiled it, whose names begin with `module.` or `_orig_mod.`."""


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory(AnalysisResult):
    """Where checkpoints lie in a plane through a network.

    Args:
        coordinates: of each checkpoint, in order, `(n, 2)`; the network itself is at (0, 0).
        outside: for each, the share of its distance from the network that is not in the plane: `|d - x dx - y dy| / |d|`.
        explained: the share of the path's variance along each axis; None where the directions were given.
        axes: the directions, flattened one parameter after the other, `(2, P)`.
        shapes: of the parameters, by their names.
    """

    coordinates: Tensor
    outside: Tensor
    explained: Tensor | None
    axes: Tensor
    shapes: dict[str, tuple[int, ...]]

    @property
    def directions(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The directions dx and dy, for `landscape`."""
        parts = [axis.split([prod(shape) for shape in self.shapes.values()]) for axis in self.axes]
        dx, dy = ({name: p.view(s) for p, (name, s) in zip(part, self.shapes.items(), strict=True)} for part in parts)
        return dx, dy

    @property
    def span(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The ends of a plane that holds the path, and a fifth of its size around it, for `landscape`."""
        ends = torch.cat([self.coordinates, torch.zeros(1, 2, dtype=torch.float64)])
        low, high = ends.min(0).values, ends.max(0).values
        margin = 0.2 * (high - low).where(high > low, (high - low).max())
        (x0, y0), (x1, y1) = (low - margin).tolist(), (high + margin).tolist()
        return (x0, x1), (y0, y1)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the path, over a landscape where its axes are given.

        Args:
            ax: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        ax = new_axes(ax, width=5.5, height=4.5)
        x, y = torch.cat([self.coordinates, torch.zeros(1, 2, dtype=torch.float64)]).T.numpy()
        ax.plot(x, y, marker=".", color="tab:red", linewidth=1)
        shares = [""] * 2 if self.explained is None else [f", {share:.1%} of the variance" for share in self.explained.tolist()]
        ax.set(xlabel=f"x{shares[0]}", ylabel=f"y{shares[1]}")
        return ax

    def to_h5(self, path: str | Path) -> None:
        """Write the published tool's projection file: proj_xcoord, proj_ycoord.

        Args:
            path: the file.
        """
        from resnetlib.analysis.landscape.files import write_path

        write_path(Path(path), self)


def trajectory(
    net: nn.Module,
    checkpoints: Sequence[Checkpoint],
    *,
    directions: Sequence[Direction] | None = None,
    ignore_norms_and_biases: bool = True,
) -> Trajectory:
    """Project checkpoints onto the first two principal components of [theta_0 - theta_n, ..., theta_{n-1} - theta_n].

    Args:
        net: where the training ended, theta_n.
        checkpoints: of the same network, in order.
        directions: dx and dy, for another plane than that of the principal components; of any lengths and angle.
        ignore_norms_and_biases: leave parameters of at most one dimension out of the principal components.

    Returns:
        The path; `landscape(net, batches, found.span, directions=found.directions)` is the surface under it.

    Raises:
        ValueError: if the checkpoints span no plane, are not finite, or of another network.

    Source:
        arXiv 1712.09913, sec. 7.2. As in its authors' code, the mean of the rows is taken away before the components are computed.

    Example:
        >>> from copy import deepcopy
        >>> net = nn.Linear(4, 4, bias=False)
        >>> checkpoints = [{"weight": net.weight.detach() + torch.randn(4, 4)} for _ in range(5)]
        >>> found = trajectory(net, checkpoints)
        >>> found.coordinates.shape, bool(found.explained.sum() <= 1)
        (torch.Size([5, 2]), True)
    """
    theta = parameters_of(net)
    steps = _steps(theta, checkpoints)
    if directions is not None:
        axes, explained = _flat(check_directions(net, directions)), None
        if len(axes) != 2:
            raise ValueError(f"directions must be two, got {len(axes)}")
    else:
        counted = torch.cat([torch.full((t.numel(),), t.ndim > 1 or not ignore_norms_and_biases) for t in theta.values()])
        axes, explained = _principal_axes(steps * counted)
    coordinates, outside = _least_squares(steps, axes)
    return Trajectory(
        coordinates=coordinates,
        outside=outside,
        explained=explained,
        axes=axes,
        shapes={name: tuple(tensor.shape) for name, tensor in theta.items()},
    )


def project(net: nn.Module, checkpoints: Sequence[Checkpoint], directions: Sequence[Direction]) -> Tensor:
    """Coordinates along directions of any lengths and angle: the c that make `|theta_i - theta - c_1 d_1 - c_2 d_2|` least.

    Args:
        net: the network at the origin, theta.
        checkpoints: what is projected.
        directions: one or two.

    Returns:
        The coordinates, `(n, 1)` or `(n, 2)`.

    Raises:
        ValueError: if the directions are zero or parallel, or anything is not finite, or of another network.

    Source:
        The normal equations. The published tool divides inner products by `|d|` where `|d|^2` is due, and knows no angles: its
        paths are off on axes that are not of length 1, as filter-normalised ones are.

    Example:
        >>> net = nn.Linear(2, 1, bias=False)
        >>> dx, dy = {"weight": torch.tensor([[2.0, 0.0]])}, {"weight": torch.tensor([[1.0, 1.0]])}
        >>> project(net, [{"weight": net.weight.detach() + 3 * dx["weight"] - dy["weight"]}], [dx, dy]).round(decimals=3)
        tensor([[ 3., -1.]], dtype=torch.float64)
    """
    steps = _steps(parameters_of(net), checkpoints)
    return _least_squares(steps, _flat(check_directions(net, directions)))[0]


def _steps(theta: Mapping[str, Tensor], checkpoints: Sequence[Checkpoint]) -> Tensor:
    """Return theta_i - theta, flattened, `(n, P)`, in fp32 on the CPU."""
    given = as_tuple(checkpoints)
    if given is None or not all(isinstance(checkpoint, nn.Module | Mapping) for checkpoint in given):
        raise ValueError(f"checkpoints must be a sequence of networks or of their states, got {type(checkpoints).__name__}")
    if not checkpoints:
        raise ValueError("there are no checkpoints")
    steps = torch.empty(len(checkpoints), sum(tensor.numel() for tensor in theta.values()))
    for step, checkpoint in zip(steps, checkpoints, strict=True):
        state = parameters_of(checkpoint) if isinstance(checkpoint, nn.Module) else _unwrapped(checkpoint, next(iter(theta)))
        for name, tensor in theta.items():
            if name not in state or state[name].shape != tensor.shape:
                was = f"of shape {tuple(state[name].shape)}" if name in state else "not there"
                raise ValueError(f"a checkpoint is of another network: {name} must be of shape {tuple(tensor.shape)}, and is {was}")
        parts = [(state[name].detach().double().cpu() - t.double().cpu()).flatten() for name, t in theta.items()]
        step.copy_(torch.cat(parts))
        if not step.isfinite().all():
            raise ValueError("a checkpoint, or the network itself, is not finite (NaN or infinite): it is nowhere")
    return steps


def _unwrapped(state: Mapping[str, Tensor], first: str) -> Mapping[str, Tensor]:
    while first not in state and any(name.startswith(("module.", "_orig_mod.")) for name in state):
        state = {re.sub(r"^(module|_orig_mod)\.", "", name): tensor for name, tensor in state.items()}
    return state


def _flat(directions: Sequence[Direction]) -> Tensor:
    return torch.stack([torch.cat([d.float().cpu().flatten() for d in direction.values()]) for direction in directions])


def _principal_axes(steps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first two principal components of rows, of length 1, and their shares of the variance."""
    centred = steps - steps.mean(0)
    squares, rotation = torch.linalg.eigh(_products(centred, centred))  # as many as rows: a path is short, and wide
    squares = squares.clamp(min=0)
    if len(steps) < 3 or squares[-2] <= 1e-10 * squares[-1]:
        raise ValueError(f"the {len(steps)} checkpoints span no plane: give three or more that are not in one line")
    axes = (rotation[:, -2:].flip(1).T / squares[-2:].flip(0).sqrt()[:, None]).float() @ centred
    signs = _products(axes, steps[:1]).sign()  # the first checkpoint is at the upper right
    return axes * signs.float().where(signs != 0, 1.0), (squares[-2:].flip(0) / squares.sum())


def _least_squares(steps: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the coordinates of rows, and how much of each is in no axis."""
    gram, products = _products(axes, axes), _products(steps, axes)
    lengths = gram.diagonal().sqrt()
    if not (lengths > 0).all() or torch.linalg.det(gram / lengths / lengths[:, None]) < 1e-10:
        raise ValueError("the directions are zero or parallel: they are no axes")
    coordinates = torch.linalg.solve(gram, products.T).T
    rest = torch.stack([(step.double() - c @ axes.double()).norm() for step, c in zip(steps, coordinates, strict=True)])
    whole = steps.double().norm(dim=1)
    return coordinates, (rest / whole).where(whole > 0, 0.0)


def _products(rows: Tensor, others: Tensor) -> Tensor:
    """Return inner products, summed in float64."""
    parts = zip(rows.split(2**20, 1), others.split(2**20, 1), strict=True)
    return sum((one.double() @ other.double().T for one, other in parts), torch.zeros(len(rows), len(others), dtype=torch.float64))
