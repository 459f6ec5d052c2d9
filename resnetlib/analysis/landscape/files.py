"""The h5 files of the published tool: surfaces, directions, projected paths."""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from resnetlib.analysis.landscape.directions import check_directions
from resnetlib.disk import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resnetlib.analysis.landscape.directions import Direction
    from resnetlib.analysis.landscape.surface import Landscape
    from resnetlib.analysis.landscape.trajectory import Trajectory


def write_surface(path: Path, found: "Landscape") -> None:
    """Write xcoordinates, ycoordinates, train_loss and train_acc; and what they were made of, as attributes.

    Args:
        path: the file.
        found: the surface.
    """
    datasets = {"xcoordinates": found.x, "train_loss": found.loss, "train_acc": found.accuracy}
    if found.y is not None:
        datasets["ycoordinates"] = found.y
    about = ("images", "batch_norm", "precision", "loss_at_centre", "accuracy_at_centre")
    attributes = {name: getattr(found, name) for name in about} | {"made_of": json.dumps(found.made_of)}
    _write(path, {name: tensor.numpy() for name, tensor in datasets.items()}, attributes)


def write_directions(
    path: str | Path, net: nn.Module, directions: "Sequence[Direction]", *, explained: "Tensor | None" = None
) -> None:
    """Write directions as the published tool reads them: xdirection/0, 1, 2 and so on, in the order of the network's parameters.

    Args:
        path: the file.
        net: the network that they are directions of.
        directions: dx, or dx and dy.
        explained: the share of a path's variance along each, `explained_variance_ratio_`.

    Raises:
        ValueError: if they are not the network's.

    Source:
        tomgoldstein/loss-landscape, net_plotter.py and h5_util.py.

    Example:
        >>> import tempfile, h5py
        >>> from resnetlib.analysis import filter_normalized_direction
        >>> net = nn.Linear(4, 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_directions(f"{folder}/directions.h5", net, [filter_normalized_direction(net)])
        ...     with h5py.File(f"{folder}/directions.h5") as file:
        ...         file["xdirection"]["0"].shape
        (2, 4)
    """
    groups = zip(("xdirection", "ydirection"), check_directions(net, directions), strict=False)
    if not (explained is None or isinstance(explained, Tensor)):
        raise ValueError(f"explained must be a tensor or None, got {type(explained).__name__}")
    datasets = {f"{group}/{i}": d.cpu().numpy() for group, along in groups for i, d in enumerate(along.values())}
    if explained is not None:
        datasets["explained_variance_ratio_"] = explained.numpy()
    _write(Path(path), datasets, {})


def write_path(path: Path, found: "Trajectory") -> None:
    """Write proj_xcoord and proj_ycoord.

    Args:
        path: the file.
        found: the projected path.
    """
    x, y = found.coordinates.T.numpy()
    _write(path, {"proj_xcoord": x, "proj_ycoord": y}, {})


def _write(path: Path, datasets: "Mapping[str, Any]", attributes: "Mapping[str, Any]") -> None:
    try:
        import h5py
    except ImportError as error:
        raise ImportError("h5 files need h5py: pip install 'resnetlib[landscape]'") from error

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, value in datasets.items():
            file[name] = value
        file.attrs.update(attributes)
    write_atomically(path, content.getvalue())
