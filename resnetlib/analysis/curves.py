# ruff: noqa
"""Old names, until their users have moved."""

from resnetlib.analysis.result import plot_curve as draw_curve
