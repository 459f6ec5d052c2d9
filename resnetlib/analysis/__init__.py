"""Why skip connections work, measured; and what networks cost. By way of what all networks share: blocks, and joins."""

from resnetlib.analysis.cost import Cost, PartCost, measure_cost
from resnetlib.analysis.deepen import deepen
from resnetlib.analysis.finding import Finding, draw
from resnetlib.analysis.joints import blocks_of, chains_of
from resnetlib.analysis.landscape import (
    HessianMap,
    Landscape,
    Trajectory,
    filter_normalized_direction,
    hessian_map,
    landscape,
    project,
    trajectory,
    write_directions,
)
from resnetlib.analysis.telescope import Telescope, telescope

__all__ = [
    "Cost",
    "Finding",
    "HessianMap",
    "Landscape",
    "PartCost",
    "Telescope",
    "Trajectory",
    "blocks_of",
    "chains_of",
    "deepen",
    "draw",
    "filter_normalized_direction",
    "hessian_map",
    "landscape",
    "measure_cost",
    "project",
    "telescope",
    "trajectory",
    "write_directions",
]
