"""Batch norms that keep to their running statistics while the network around them trains."""

from types import TracebackType
from typing import Self

from torch import nn

from resnetlib.modules import freeze_norm_, thaw_norm_


class FrozenNorms:
    """The batch norms that one call froze; as a context manager, until the block ends.

    Args:
        net: the network that holds them.
        norms: the batch norms.
    """

    def __init__(self, net: nn.Module, norms: list[nn.Module]) -> None:
        self._net, self._norms = net, norms

    def __len__(self) -> int:
        """Count them."""
        return len(self._norms)

    def remove(self) -> None:
        """Give them back as they were: class, momentum, statistics, what is learned; in the network's mode."""
        for norm in self._norms:
            thaw_norm_(norm, training=self._net.training)
        self._norms = []

    def __enter__(self) -> Self:
        """Begin the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Thaw."""
        self.remove()


def frozen_batchnorm(net: nn.Module) -> FrozenNorms:
    """Freeze all batch norms of a network: they use their running statistics, and neither these nor scale and shift change.

    They stay frozen through `net.train()`, `copy.deepcopy` and pickling, keep their momentum, and their tensors keep their names.
    `nn.SyncBatchNorm.convert_sync_batchnorm` makes new modules of them, which are not frozen: convert first.

    Args:
        net: any module; changed in place.

    Returns:
        A handle: `remove()` undoes it, to the bit, and so does the end of a `with` block. `unfreeze(net)` does too.

    Source:
        Batches of detectors are too small for statistics of their own: arXiv 1506.01497's successors freeze them, as in
        torchvision's `FrozenBatchNorm2d`, which has no way back.

    Example:
        >>> from resnetlib import create_model
        >>> net = create_model("resnet18")
        >>> frozen = frozen_batchnorm(net)
        >>> net.train().bn1.training
        False
        >>> frozen.remove()
        >>> net.bn1.training
        True
    """
    return FrozenNorms(net, [module for module in net.modules() if freeze_norm_(module)])
