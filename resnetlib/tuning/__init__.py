"""What of a trained network learns on, and how fast: freezing, and groups of parameters."""

from resnetlib.tuning.freeze import Frozen, freeze, frozen_batchnorm, unfreeze
from resnetlib.tuning.groups import parameter_groups, table_of

__all__ = ["Frozen", "freeze", "frozen_batchnorm", "parameter_groups", "table_of", "unfreeze"]
