"""Make trained networks faster."""

from resnetlib.deploy.fold import NormPairs, copy_sharing_parameters, find_conv_norm_pairs, fold_norms, fold_state, remove_norms
from resnetlib.deploy.fuse import OptimizedNetwork, optimize

__all__ = [
    "NormPairs",
    "OptimizedNetwork",
    "copy_sharing_parameters",
    "find_conv_norm_pairs",
    "fold_norms",
    "fold_state",
    "optimize",
    "remove_norms",
]
