# ruff: noqa
"""Old names, until their users have moved."""

from resnetlib.analysis.network import norm_mode as norms_in, recalibrated
