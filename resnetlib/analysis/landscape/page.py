"""Surfaces as pages that need nothing else: no network, no other file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnetlib.analysis.landscape.pictures import heights
from resnetlib.disk import write_atomically

if TYPE_CHECKING:
    from resnetlib.analysis.landscape.surface import Landscape
    from resnetlib.analysis.landscape.trajectory import Trajectory


def write_page(path: Path, found: "Landscape", trajectory: "Trajectory | None") -> None:
    """Write a surface as a page: in three dimensions to be turned, and as a map with its contours.

    Args:
        path: the file.
        found: the surface.
        trajectory: a path to draw into the map.
    """
    try:
        import plotly  # noqa: F401
    except ImportError as error:
        raise ImportError("pages need plotly: pip install 'resnetlib[landscape]'") from error
    figure = _line(found) if found.y is None else _plane(found, trajectory)
    about = f"{found.images:,} images, batch norm: {found.batch_norm}, {found.precision}"
    about += f"; at the centre: loss {found.loss_at_centre:.4g}, accuracy {found.accuracy_at_centre:.2f} %"
    figure.update_layout(title={"text": about, "font": {"size": 14}}, template="plotly_white")
    page: str = figure.to_html(full_html=True, include_plotlyjs=True, config={"displaylogo": False})
    write_atomically(path, page.encode())


def _line(found: "Landscape") -> Any:
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    figure = make_subplots(specs=[[{"secondary_y": True}]])
    x, loss, accuracy = _listed(found.x), _listed(found.known("loss")), _listed(found.known("accuracy"))
    figure.add_trace(Scatter(x=x, y=loss, name="loss"))
    figure.add_trace(Scatter(x=x, y=accuracy, name="accuracy, %"), secondary_y=True)
    figure.update_layout(updatemenus=[_scales("relayout", linear=[{"yaxis.type": "linear"}], log=[{"yaxis.type": "log"}])])
    figure.update_xaxes(title="x")
    return figure


def _plane(found: "Landscape", trajectory: "Trajectory | None") -> Any:
    from plotly.graph_objects import Contour, Scatter, Surface
    from plotly.subplots import make_subplots

    figure = make_subplots(1, 2, specs=[[{"type": "surface"}, {"type": "xy"}]], column_widths=[0.6, 0.4])
    x, y = _listed(found.x), _listed(found.plane())
    loss = found.known("loss")
    logarithm, linear = (_listed(values) for values in (heights(loss, highest=np.inf), loss))
    says = "x %{x:.3g}, y %{y:.3g}<br>loss %{customdata[0]:.4g}<br>accuracy %{customdata[1]:.2f} %<extra></extra>"
    data = np.dstack([np.array(linear, dtype=object), np.array(_listed(found.known("accuracy")), dtype=object)]).tolist()
    told = {"customdata": data, "hovertemplate": says}
    figure.add_trace(Surface(x=x, y=y, z=logarithm, colorscale="Viridis", showscale=False, **told), 1, 1)
    figure.add_trace(
        Contour(x=x, y=y, z=logarithm, colorscale="Viridis", ncontours=25, colorbar={"title": "log10 loss"}, **told), 1, 2
    )
    figure.add_trace(Scatter(x=[0], y=[0], mode="markers", marker={"symbol": "cross", "color": "red"}, showlegend=False), 1, 2)
    if trajectory is not None:
        px, py = ([*axis, 0.0] for axis in trajectory.coordinates.T.tolist())
        figure.add_trace(Scatter(x=px, y=py, mode="lines+markers", line={"color": "red"}, showlegend=False), 1, 2)
    figure.update_scenes(xaxis_title="x", yaxis_title="y", zaxis_title="log10 loss", aspectmode="cube")
    figure.update_xaxes(title="x")
    figure.update_yaxes(title="y")
    log = [{"z": [logarithm, logarithm]}, {"scene.zaxis.title.text": "log10 loss"}, [0, 1]]
    plain = [{"z": [linear, linear]}, {"scene.zaxis.title.text": "loss"}, [0, 1]]
    figure.update_layout(updatemenus=[_scales("update", log=log, linear=plain)])
    return figure


def _scales(method: str, **scales: Any) -> dict[str, Any]:
    """Make the buttons that choose a scale, the first one pressed."""
    buttons = [{"label": label, "method": method, "args": arguments} for label, arguments in scales.items()]
    return {"type": "buttons", "direction": "right", "buttons": buttons, "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"}


def _listed(values: Any) -> Any:
    """Return numbers as lists, with None for what is not finite."""
    array = np.asarray(values).astype(object)
    array[~np.isfinite(np.asarray(values))] = None
    return array.tolist()
