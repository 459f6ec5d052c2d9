"""Freezing and parameter groups. `finetune` is in a module of its own, since it needs `resnetlib.train`, which needs these."""

from resnetlib.finetuning.freeze import Frozen, freeze, frozen_batchnorm, unfreeze
from resnetlib.finetuning.groups import layer_decay_for, parameter_groups, table_of

__all__ = ["Frozen", "freeze", "frozen_batchnorm", "layer_decay_for", "parameter_groups", "table_of", "unfreeze"]
