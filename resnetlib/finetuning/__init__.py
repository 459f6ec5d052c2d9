"""Fine-tuning: freezing and parameter groups here, and `finetune` in its own module, above `resnetlib.train`."""

from resnetlib.finetuning.freeze import Frozen, freeze, frozen_batchnorm, unfreeze
from resnetlib.finetuning.groups import parameter_groups, table_of

__all__ = ["Frozen", "freeze", "frozen_batchnorm", "parameter_groups", "table_of", "unfreeze"]
