"""Why skip connections work, measured; and what networks cost. By way of what all networks share: blocks, and joins."""

from resnetlib.analysis.branch_noise import BranchNoise, branch_noise
from resnetlib.analysis.cost import Cost, PartCost, measure_cost
from resnetlib.analysis.finding import Finding, draw
from resnetlib.analysis.forks import path_gradient, share_of_paths
from resnetlib.analysis.joints import blocks_of, chains_of
from resnetlib.analysis.lesion import Lesion, LesionMany, lesion, lesion_many
from resnetlib.analysis.noise import NoiseSweep, input_noise, weight_noise
from resnetlib.analysis.paths import PathGradients, path_gradients
from resnetlib.analysis.reorder import Reordering, kendall_tau, reorder
from resnetlib.analysis.survival import BlockSurvival, block_survival
from resnetlib.analysis.telescope import Telescope, telescope

__all__ = [
    "BlockSurvival",
    "BranchNoise",
    "Cost",
    "Finding",
    "Lesion",
    "LesionMany",
    "NoiseSweep",
    "PartCost",
    "PathGradients",
    "Reordering",
    "Telescope",
    "block_survival",
    "blocks_of",
    "branch_noise",
    "chains_of",
    "draw",
    "input_noise",
    "kendall_tau",
    "lesion",
    "lesion_many",
    "measure_cost",
    "path_gradient",
    "path_gradients",
    "reorder",
    "share_of_paths",
    "telescope",
    "weight_noise",
]
