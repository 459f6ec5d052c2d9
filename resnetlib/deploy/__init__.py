"""Make trained networks faster, and export them."""

from resnetlib.deploy.fold import NormPairs, copy_sharing_parameters, find_conv_norm_pairs, fold_norms, fold_state, remove_norms

__all__ = ["NormPairs", "copy_sharing_parameters", "find_conv_norm_pairs", "fold_norms", "fold_state", "remove_norms"]
