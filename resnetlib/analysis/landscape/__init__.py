"""The loss around a network: surfaces along filter-normalised directions, training paths, and where the loss is not convex."""

from resnetlib.analysis.landscape.directions import filter_normalized_direction
from resnetlib.analysis.landscape.export import plot_3d, write_directions, write_h5, write_html
from resnetlib.analysis.landscape.hessian import HessianMap, hessian_map
from resnetlib.analysis.landscape.surface import Landscape, landscape
from resnetlib.analysis.landscape.trajectory import Trajectory, project, trajectory

__all__ = [
    "HessianMap",
    "Landscape",
    "Trajectory",
    "filter_normalized_direction",
    "hessian_map",
    "landscape",
    "plot_3d",
    "project",
    "trajectory",
    "write_directions",
    "write_h5",
    "write_html",
]
