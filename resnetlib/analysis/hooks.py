# ruff: noqa
"""Old names, until their users have moved."""

from resnetlib.analysis.network import hook_inputs as incomes, hook_joins as meeting, hook_outputs as outcomes
