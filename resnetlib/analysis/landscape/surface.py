"""The surface of the loss over a line or plane through a network's parameters."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from resnetlib.analysis.landscape.pictures import draw_contours, draw_line, draw_surface
from resnetlib.analysis.landscape.survey import UNKNOWN
from resnetlib.analysis.result import AnalysisResult, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d import Axes3D

    from resnetlib.analysis.landscape.trajectory import Trajectory


@dataclass(frozen=True, slots=True, eq=False)
class Landscape(AnalysisResult):
    """loss(theta + x dx + y dy), and the accuracy there.

    Args:
        x: the coordinates along dx.
        y: the coordinates along dy; None for a line.
        loss: the mean loss, `(len(y), len(x))`: `loss[i, j]` is at `x[j]`, `y[i]`; of a line, `(len(x),)`. It is infinite or NaN
            where the network's output is, and -1 where it is not computed yet.
        accuracy: in percent, of the same shape; -1 where it is not computed yet.
        loss_at_centre: the loss of the network itself.
        accuracy_at_centre: its accuracy.
        cosine: of the angle between dx and dy; None for a line.
        images: over how many.
        batch_norm: what batch norms normalised with.
        precision: what was computed with.
        seed: of the directions; None where they were given.
        made_of: fingerprints of what the surface depends on.
    """

    x: Tensor
    y: Tensor | None
    loss: Tensor
    accuracy: Tensor
    loss_at_centre: float
    accuracy_at_centre: float
    cosine: float | None
    images: int
    batch_norm: str
    precision: str
    seed: int | None
    made_of: dict[str, str]

    @property
    def computed(self) -> float:
        """The share of the points that are computed."""
        return float((self.accuracy != UNKNOWN).double().mean())

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw contours, at losses of 0.1, 0.6, 1.1 to 9.6 as published, and at powers of ten above; of a line, its profile.

        Args:
            ax: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        if self.y is None:
            return draw_line(new_axes(ax), self.x, self.known("loss"), self.known("accuracy"))
        return draw_contours(new_axes(ax, width=5.5, height=4.5), self.x, self.y, self.known("loss"))

    def plot_3d(self, *, highest: float = 10.0) -> "Axes3D":
        """Draw the surface in three dimensions, the loss in logarithmic scale, as in the paper's first figure.

        Args:
            highest: where the surface is cut off.

        Returns:
            The axes, new ones.

        Raises:
            ValueError: for a line.
        """
        return draw_surface(self.x, self.plane(), self.known("loss"), highest=highest)

    def to_html(self, path: str | Path, trajectory: "Trajectory | None" = None) -> None:
        """Write a page on which the surface can be turned, in linear and logarithmic scale; it holds all that it needs.

        Args:
            path: the file.
            trajectory: a path to draw too, along the same directions.
        """
        from resnetlib.analysis.landscape.page import write_page

        write_page(Path(path), self, trajectory)

    def to_h5(self, path: str | Path) -> None:
        """Write the published tool's surface file: xcoordinates, ycoordinates, train_loss, train_acc.

        Args:
            path: the file.
        """
        from resnetlib.analysis.landscape.files import write_surface

        write_surface(Path(path), self)

    def to_vtk(self, path: str | Path, *, highest: float | None = None, log: bool = False) -> None:
        """Write the surface for ParaView, as the published tool does: a vtp file of points and quadrilaterals.

        Args:
            path: the file.
            highest: where the surface is cut off; None for nowhere.
            log: write log(loss + 0.1) in place of the loss.

        Raises:
            ValueError: for a line.
        """
        from resnetlib.analysis.landscape.vtk import write_vtp

        write_vtp(Path(path), self.x, self.plane(), self.known("loss"), highest=highest, log=log)

    def known(self, name: str) -> Tensor:
        """Return loss or accuracy, with NaN for what is not computed yet.

        Args:
            name: which.

        Returns:
            It.
        """
        values: Tensor = getattr(self, name)
        return values.masked_fill(self.accuracy == UNKNOWN, torch.nan)

    def plane(self) -> Tensor:
        """Return y, which a line has not."""
        if self.y is None:
            raise ValueError("this is a line, and has no surface: compute a plane (dimensions=2)")
        return self.y
