"""Which statistics the norms of a network use while it is looked at."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from resnetlib.analysis.intact import intact


@contextmanager
def norms_in(net: nn.Module, *, training: bool) -> Iterator[None]:
    """Let norms use the statistics of each batch, as while training, or their running ones; afterwards all is as it was.

    Everything else is in evaluation: dropout and stochastic depth would make a measurement a matter of chance. Frozen norms keep
    to their running statistics.

    Args:
        net: the network.
        training: whether norms use each batch's own statistics.

    Yields:
        Nothing.
    """
    with intact(net):
        for module in net.modules():
            if isinstance(module, _NormBase):
                module.train(training)
        yield
