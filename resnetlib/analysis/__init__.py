"""Why skip connections work, measured; and what networks cost. By way of what all networks share: blocks, and joins."""

from resnetlib.analysis.autocorrelation import GradientAutocorrelation, gradient_autocorrelation
from resnetlib.analysis.branch_noise import BranchNoise, branch_noise
from resnetlib.analysis.cost import Cost, PartCost, measure_cost
from resnetlib.analysis.decomposition import GradientDecomposition, gradient_decomposition
from resnetlib.analysis.deepen import deepen
from resnetlib.analysis.flow import GradientFlow, gradient_flow
from resnetlib.analysis.forks import path_gradient, share_of_paths
from resnetlib.analysis.joints import blocks_of, chains_of
from resnetlib.analysis.landscape import (
    HessianMap,
    Landscape,
    Trajectory,
    filter_normalized_direction,
    hessian_map,
    landscape,
    plot_3d,
    project,
    trajectory,
    write_directions,
    write_h5,
    write_html,
)
from resnetlib.analysis.lesion import Lesion, LesionMany, lesion, lesion_many
from resnetlib.analysis.noise import NoiseSweep, input_noise, weight_noise
from resnetlib.analysis.norms import recalibrated
from resnetlib.analysis.paths import PathGradients, path_gradients
from resnetlib.analysis.propagation import SignalPropagation, signal_propagation
from resnetlib.analysis.rank import EffectiveRank, effective_rank
from resnetlib.analysis.ratios import BranchRatio, branch_ratio
from resnetlib.analysis.reorder import Reordering, kendall_tau, reorder
from resnetlib.analysis.residual_decomposition import ResidualDecomposition, residual_decomposition
from resnetlib.analysis.responses import ResponseStd, response_std
from resnetlib.analysis.result import AnalysisResult, draw
from resnetlib.analysis.survival import BlockSurvival, block_survival
from resnetlib.analysis.toy import ToyAutocorrelation, toy_autocorrelation

__all__ = [
    "AnalysisResult",
    "BlockSurvival",
    "BranchNoise",
    "BranchRatio",
    "Cost",
    "EffectiveRank",
    "GradientAutocorrelation",
    "GradientDecomposition",
    "GradientFlow",
    "HessianMap",
    "Landscape",
    "Lesion",
    "LesionMany",
    "NoiseSweep",
    "PartCost",
    "PathGradients",
    "Reordering",
    "ResidualDecomposition",
    "ResponseStd",
    "SignalPropagation",
    "ToyAutocorrelation",
    "Trajectory",
    "block_survival",
    "blocks_of",
    "branch_noise",
    "branch_ratio",
    "chains_of",
    "deepen",
    "draw",
    "effective_rank",
    "filter_normalized_direction",
    "gradient_autocorrelation",
    "gradient_decomposition",
    "gradient_flow",
    "hessian_map",
    "input_noise",
    "kendall_tau",
    "landscape",
    "lesion",
    "lesion_many",
    "measure_cost",
    "path_gradient",
    "path_gradients",
    "plot_3d",
    "project",
    "recalibrated",
    "reorder",
    "residual_decomposition",
    "response_std",
    "share_of_paths",
    "signal_propagation",
    "toy_autocorrelation",
    "trajectory",
    "weight_noise",
    "write_directions",
    "write_h5",
    "write_html",
]
