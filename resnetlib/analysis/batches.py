# ruff: noqa
"""Old names, until their users have moved."""

from resnetlib.analysis.inputs import Batch, Batches, check_classifier, gather, gather_inputs, like_of, noise_images
from resnetlib.analysis.inputs import count_images as images_in
from resnetlib.analysis.network import run, run_finite
