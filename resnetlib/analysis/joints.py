# ruff: noqa
"""Old names, until their users have moved."""

from torch import Tensor

from resnetlib.analysis.network import blocks_in, blocks_of, chains_of, running_blocks, spans_of  # noqa: F401
from resnetlib.modules import PadShortcut


def stand_in(skip: Tensor, branch: Tensor, *, stride: int) -> Tensor:
    if skip.shape == branch.shape:
        return skip
    image: Tensor = PadShortcut(skip.shape[1], branch.shape[1], stride=stride)(skip)
    return image
