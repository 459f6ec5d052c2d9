"""Export surfaces as 3-D plots, interactive pages, and the h5 files of tomgoldstein/loss-landscape."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from resnetlib.analysis.landscape.directions import Direction, check_directions
from resnetlib.analysis.landscape.surface import Landscape
from resnetlib.analysis.landscape.trajectory import Trajectory
from resnetlib.disk import write_atomically
from resnetlib.errors import InputError, MissingPackageError
from resnetlib.modules.arguments import check_number

if TYPE_CHECKING:
    from mpl_toolkits.mplot3d import Axes3D


def plot_3d(surface: Landscape, *, highest: float = 10.0) -> "Axes3D":
    """Plot a plane in three dimensions on new axes, the loss on a logarithmic scale, as in the paper's first figure.

    The surface is cut off at a loss of `highest`. Raise ValueError for a line.
    """
    from matplotlib.figure import Figure

    if surface.y is None:
        raise InputError("this is a line, and has no surface: compute a plane (dimensions=2)")
    check_number("highest", highest)
    if highest <= 0:
        raise InputError(f"highest must be above 0, got {highest}")
    columns, rows = np.meshgrid(surface.x.numpy(), surface.y.numpy())
    height = log10_clipped(surface.known("loss"), highest)
    ax: Axes3D = Figure(figsize=(7, 6), layout="constrained").add_subplot(projection="3d")
    ax.plot_surface(columns, rows, height, cmap="coolwarm", rstride=1, cstride=1, linewidth=0, antialiased=True)
    finite = height[np.isfinite(height)]
    ticks = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if len(finite) and finite.min() <= np.log10(tick) <= finite.max()]
    ticks = ticks if len(ticks) < 8 else ticks[::3]
    ax.set_zticks(np.log10(ticks), [f"{tick:g}" for tick in ticks])
    ax.set(xlabel="x", ylabel="y", zlabel="loss")
    return ax


def write_html(path: str | Path, surface: Landscape, trajectory: Trajectory | None = None) -> None:
    """Write a standalone page with an interactive plot of a plane or line, on a linear or logarithmic scale.

    A trajectory along the same directions is drawn over the plane. This needs plotly: `pip install 'resnetlib[landscape]'`.
    """
    try:
        import plotly  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("pages need plotly: pip install 'resnetlib[landscape]'") from error
    if surface.y is None and trajectory is not None:
        raise InputError("a trajectory is drawn over a plane: compute one (dimensions=2), or leave out the trajectory")
    figure = _line_figure(surface) if surface.y is None else _plane_figure(surface, surface.y, trajectory)
    title = f"{surface.images:,} images, batch norm: {surface.batch_norm}, {surface.precision}"
    title += f"; at the center: loss {surface.loss_at_center:.4g}, accuracy {surface.accuracy_at_center:.2f} %"
    figure.update_layout(title={"text": title, "font": {"size": 14}}, template="plotly_white")
    page: str = figure.to_html(full_html=True, include_plotlyjs=True, config={"displaylogo": False})
    write_atomically(path, page.encode())


def write_h5(path: str | Path, result: Landscape | Trajectory) -> None:
    """Write a surface or projection file of tomgoldstein/loss-landscape (plot_surface.py, projection.py).

    A surface has the datasets xcoordinates, ycoordinates, train_loss and train_acc; a trajectory has proj_xcoord and proj_ycoord.
    This needs h5py: `pip install 'resnetlib[landscape]'`.
    """
    if isinstance(result, Trajectory):
        x, y = result.coordinates.T
        _write_h5(path, {"proj_xcoord": x, "proj_ycoord": y}, {})
        return
    datasets = {"xcoordinates": result.x, "train_loss": result.loss, "train_acc": result.accuracy}
    if result.y is not None:
        datasets["ycoordinates"] = result.y
    about = ("images", "batch_norm", "precision", "loss_at_center", "accuracy_at_center")
    _write_h5(path, datasets, {name: getattr(result, name) for name in about} | {"made_of": json.dumps(result.made_of)})


def write_directions(path: str | Path, net: nn.Module, directions: Sequence[Direction], *, explained: Tensor | None = None) -> None:
    """Write a direction file of tomgoldstein/loss-landscape (net_plotter.py, h5_util.py).

    Its datasets are xdirection/0, 1, 2 and so on, in the order of the network's parameters, ydirection likewise, and
    `explained_variance_ratio_`, if `explained` is given. This needs h5py: `pip install 'resnetlib[landscape]'`.
    """
    groups = zip(("xdirection", "ydirection"), check_directions(net, directions), strict=False)
    if not (explained is None or isinstance(explained, Tensor)):
        raise InputError(f"explained must be a tensor or None, got {type(explained).__name__}")
    datasets = {f"{group}/{i}": d.cpu() for group, direction in groups for i, d in enumerate(direction.values())}
    _write_h5(path, datasets if explained is None else datasets | {"explained_variance_ratio_": explained}, {})


def _write_h5(path: str | Path, datasets: Mapping[str, Tensor], attributes: Mapping[str, Any]) -> None:
    try:
        import h5py
    except ImportError as error:
        raise MissingPackageError("h5 files need h5py: pip install 'resnetlib[landscape]'") from error

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, tensor in datasets.items():
            file[name] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()  # which h5 files do not have
        file.attrs.update(attributes)
    write_atomically(path, content.getvalue())


def log10_clipped(loss: Tensor, highest: float = np.inf) -> np.ndarray:
    """Return log10 of the loss, clipped above; NaN stays NaN."""
    smallest = torch.finfo(torch.float32).tiny  # so that zero has a logarithm
    return loss.double().clamp(smallest, highest).log10().numpy()


def _line_figure(surface: Landscape) -> Any:
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    figure = make_subplots(specs=[[{"secondary_y": True}]])
    x, loss, accuracy = _as_list(surface.x), _as_list(surface.known("loss")), _as_list(surface.known("accuracy"))
    figure.add_trace(Scatter(x=x, y=loss, name="loss"))
    figure.add_trace(Scatter(x=x, y=accuracy, name="accuracy, %"), secondary_y=True)
    figure.update_layout(updatemenus=[_scale_buttons("relayout", linear=[{"yaxis.type": "linear"}], log=[{"yaxis.type": "log"}])])
    figure.update_xaxes(title="x")
    return figure


def _plane_figure(surface: Landscape, y: Tensor, trajectory: Trajectory | None) -> Any:
    from plotly.graph_objects import Contour, Scatter, Surface
    from plotly.subplots import make_subplots

    figure = make_subplots(1, 2, specs=[[{"type": "surface"}, {"type": "xy"}]], column_widths=[0.6, 0.4])
    loss = surface.known("loss")
    linear, logarithm = _as_list(loss), _as_list(log10_clipped(loss))
    numbers = _as_list(torch.stack([loss, surface.known("accuracy")], -1))
    text = "x %{x:.3g}, y %{y:.3g}<br>loss %{customdata[0]:.4g}<br>accuracy %{customdata[1]:.2f} %<extra></extra>"
    common = {"x": _as_list(surface.x), "y": _as_list(y), "z": logarithm, "colorscale": "Viridis"}
    common |= {"customdata": numbers, "hovertemplate": text}
    figure.add_trace(Surface(showscale=False, **common), 1, 1)
    figure.add_trace(Contour(ncontours=25, colorbar={"title": "log10 loss"}, **common), 1, 2)
    figure.add_trace(Scatter(x=[0], y=[0], mode="markers", marker={"symbol": "cross", "color": "red"}, showlegend=False), 1, 2)
    if trajectory is not None:
        px, py = ([*axis, 0.0] for axis in trajectory.coordinates.T.tolist())
        figure.add_trace(Scatter(x=px, y=py, mode="lines+markers", line={"color": "red"}, showlegend=False), 1, 2)
    figure.update_scenes(xaxis_title="x", yaxis_title="y", zaxis_title="log10 loss", aspectmode="cube")
    figure.update_xaxes(title="x")
    figure.update_yaxes(title="y")
    log = [{"z": [logarithm, logarithm]}, {"scene.zaxis.title.text": "log10 loss"}, [0, 1]]
    plain = [{"z": [linear, linear]}, {"scene.zaxis.title.text": "loss"}, [0, 1]]
    figure.update_layout(updatemenus=[_scale_buttons("update", log=log, linear=plain)])
    return figure


def _scale_buttons(method: str, **scales: Any) -> dict[str, Any]:
    """Return a plotly menu of scales; the first one is active."""
    buttons = [{"label": label, "method": method, "args": args} for label, args in scales.items()]
    return {"type": "buttons", "direction": "right", "buttons": buttons, "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"}


def _as_list(values: Any) -> Any:
    """Return nested lists, with None for numbers that are not finite."""
    array = np.asarray(values)
    return np.where(np.isfinite(array), array, None).tolist()  # type: ignore[call-overload]
