# ruff: noqa
"""Old names, until their users have moved."""

from resnetlib.analysis.inputs import check_seed, generators as streams, normal_like, seeded_generator as seeded
