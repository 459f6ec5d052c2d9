"""Measure why skip connections work, and what networks cost.

Functions take a network `net`, in any mode and on any device, and leave it unchanged. It runs in evaluation mode, with batch
statistics where `training` says so. `batches` are preprocessed images `(N, C, H, W)`, or pairs of images and labels `(N,)`, or an
iterable of such batches; labels are needed only where a loss or error is measured.

Functions raise ValueError if images or labels are missing, an output is not finite, or an argument is out of range; those that need
a fixed order of blocks, also if no block runs, a block runs several times, or the order changes between batches. They raise
TypeError if `net` is not a module, and RuntimeError while another thread uses the network.
"""

from pathlib import Path

from resnetlib.analysis.cost import Cost, PartCost, measure_cost
from resnetlib.analysis.deepen import deepen
from resnetlib.analysis.forward import (
    BranchRatio,
    ResidualDecomposition,
    ResponseStd,
    SignalPropagation,
    branch_ratio,
    residual_decomposition,
    response_std,
    signal_propagation,
)
from resnetlib.analysis.gradients import GradientDecomposition, GradientFlow, gradient_decomposition, gradient_flow
from resnetlib.analysis.landscape.directions import filter_normalized_direction
from resnetlib.analysis.landscape.export import plot_3d, write_directions, write_h5, write_html
from resnetlib.analysis.landscape.hessian import HessianMap, hessian_map
from resnetlib.analysis.landscape.surface import Landscape, landscape
from resnetlib.analysis.landscape.trajectory import Trajectory, project, trajectory
from resnetlib.analysis.network import blocks_of, chains_of, recalibrated
from resnetlib.analysis.paths import PathGradients, path_gradient, path_gradients, share_of_paths
from resnetlib.analysis.perturb import (
    Perturbation,
    block_survival,
    branch_noise,
    input_noise,
    kendall_tau,
    lesion,
    lesion_many,
    reorder,
    weight_noise,
)
from resnetlib.analysis.result import AnalysisResult, bootstrap_interval, draw, read_result
from resnetlib.analysis.shattered import (
    EffectiveRank,
    GradientAutocorrelation,
    ToyAutocorrelation,
    effective_rank,
    gradient_autocorrelation,
    toy_autocorrelation,
)

# fmt: off
__all__ = [
    "AnalysisResult", "BranchRatio", "Cost", "EffectiveRank", "GradientAutocorrelation", "GradientDecomposition",
    "GradientFlow", "HessianMap", "Landscape", "PartCost", "PathGradients", "Perturbation", "ResidualDecomposition",
    "ResponseStd", "SignalPropagation", "ToyAutocorrelation", "Trajectory", "block_survival", "blocks_of", "bootstrap_interval",
    "branch_noise", "branch_ratio", "chains_of", "deepen", "draw", "effective_rank", "filter_normalized_direction",
    "gradient_autocorrelation", "gradient_decomposition", "gradient_flow", "hessian_map", "input_noise", "kendall_tau",
    "landscape", "lesion", "lesion_many", "load_result", "measure_cost", "path_gradient", "path_gradients", "plot_3d",
    "project", "recalibrated", "reorder", "residual_decomposition", "response_std", "share_of_paths", "signal_propagation",
    "toy_autocorrelation", "trajectory", "weight_noise", "write_directions", "write_h5", "write_html",
]
# fmt: on


def load_result(path: str | Path) -> AnalysisResult:
    """Load a result of any class of `resnetlib.analysis` from a file that `AnalysisResult.save` wrote.

    See `AnalysisResult.load` for errors. Load a `Degradation` with `Degradation.load`.
    """
    classes: dict[str, type] = {name: globals()[name] for name in __all__ if isinstance(globals()[name], type)}
    return read_result(path, {name: kind for name, kind in classes.items() if issubclass(kind, AnalysisResult)})
