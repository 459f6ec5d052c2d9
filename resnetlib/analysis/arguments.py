# ruff: noqa
"""Old names, until their users have moved."""

from resnetlib.analysis.inputs import as_tuple as listed, check_integers, check_numbers
from resnetlib.analysis.network import as_backbone
