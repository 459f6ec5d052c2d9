"""Freezing and parameter groups. `finetune` is not imported here: it needs `resnetlib.train`, which needs this package."""

from resnetlib.finetuning.freeze import Frozen, freeze, frozen_batchnorm, unfreeze
from resnetlib.finetuning.param_groups import layer_decay_for, parameter_groups, table_of

__all__ = ["Frozen", "freeze", "frozen_batchnorm", "layer_decay_for", "parameter_groups", "table_of", "unfreeze"]
