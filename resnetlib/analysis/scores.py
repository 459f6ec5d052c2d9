# ruff: noqa
"""Old names, until their users have moved."""

from resnetlib.analysis.network import as_float32 as as_precise, predictions as decided, score_clean as score_intact
from resnetlib.analysis.network import (  # noqa: F401
    Score,
    chance_error,
    check_logits,
    loss_of,
)


def evaluated(net, batches, tensors=None):  # type: ignore[no-untyped-def]
    import torch

    score = Score()
    for x, y in batches:
        score.add(torch.func.functional_call(net, tensors, (x,)) if tensors else net(x), y)
    return score
