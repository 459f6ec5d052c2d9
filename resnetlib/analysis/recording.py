# ruff: noqa
"""Old names, until their users have moved."""

from resnetlib.analysis.network import check_no_inference_tensors as check_ordinary, enable_gradients as recording
