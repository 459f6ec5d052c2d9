# ruff: noqa
"""Old names, until their users have moved."""

from resnetlib.analysis.inputs import gather as gather_labelled
from resnetlib.analysis.network import summed_loss
