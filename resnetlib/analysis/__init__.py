"""Why skip connections work, measured; and what networks cost. By way of what all networks share: blocks, and joins."""

from resnetlib.analysis.autocorrelation import GradientAutocorrelation, gradient_autocorrelation
from resnetlib.analysis.cost import Cost, PartCost, measure_cost
from resnetlib.analysis.decomposition import GradientDecomposition, gradient_decomposition
from resnetlib.analysis.deepen import deepen
from resnetlib.analysis.finding import Finding, draw
from resnetlib.analysis.flow import GradientFlow, gradient_flow
from resnetlib.analysis.joints import blocks_of, chains_of
from resnetlib.analysis.norms import recalibrated
from resnetlib.analysis.propagation import SignalPropagation, signal_propagation
from resnetlib.analysis.rank import EffectiveRank, effective_rank
from resnetlib.analysis.ratios import BranchRatio, branch_ratio
from resnetlib.analysis.responses import ResponseStd, response_std
from resnetlib.analysis.telescope import Telescope, telescope
from resnetlib.analysis.toy import ToyAutocorrelation, toy_autocorrelation

__all__ = [
    "BranchRatio",
    "Cost",
    "EffectiveRank",
    "Finding",
    "GradientAutocorrelation",
    "GradientDecomposition",
    "GradientFlow",
    "PartCost",
    "ResponseStd",
    "SignalPropagation",
    "Telescope",
    "ToyAutocorrelation",
    "blocks_of",
    "branch_ratio",
    "chains_of",
    "deepen",
    "draw",
    "effective_rank",
    "gradient_autocorrelation",
    "gradient_decomposition",
    "gradient_flow",
    "measure_cost",
    "recalibrated",
    "response_std",
    "signal_propagation",
    "telescope",
    "toy_autocorrelation",
]
