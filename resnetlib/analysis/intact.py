# ruff: noqa
"""Old names, until their users have moved."""

from resnetlib.analysis.network import preserve_state as intact, unwrapped
