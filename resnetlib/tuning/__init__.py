"""What of a trained network learns on, and how fast: freezing, and groups of parameters."""

from resnetlib.tuning.batchnorm import FrozenNorms, frozen_batchnorm
from resnetlib.tuning.freeze import freeze, unfreeze
from resnetlib.tuning.groups import parameter_groups, table_of

__all__ = ["FrozenNorms", "freeze", "frozen_batchnorm", "parameter_groups", "table_of", "unfreeze"]
