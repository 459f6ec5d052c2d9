"""The loss around a network: surfaces along filter-normalised directions, paths of trainings, and where they are not convex."""

from resnetlib.analysis.landscape.compute import landscape
from resnetlib.analysis.landscape.directions import filter_normalized_direction
from resnetlib.analysis.landscape.files import write_directions
from resnetlib.analysis.landscape.hessian import HessianMap, hessian_map
from resnetlib.analysis.landscape.surface import Landscape
from resnetlib.analysis.landscape.trajectory import Trajectory, project, trajectory

__all__ = [
    "HessianMap",
    "Landscape",
    "Trajectory",
    "filter_normalized_direction",
    "hessian_map",
    "landscape",
    "project",
    "trajectory",
    "write_directions",
]
