"""How a block's output meets its input.

A join is the one thing in which plain, residual and dense networks differ. Every block owns its join as a child module and calls it
as `join(skip, branch)`, in every family, so that a hook on a join sees the two tensors that meet there.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from resnetlib.modules.arguments import check_probability

DropMode = Literal["row", "batch"]


class Join(nn.Module, ABC):
    """y = join(skip, branch).

    Shapes:
        skip `(N, C_skip, H, W)`, branch `(N, C_branch, H, W)` -> `(N, C_out, H, W)`; a skip that is ignored has any shape.
    """

    uses_skip: ClassVar[bool] = True
    """Whether the skip's values reach the output. Where they do not, a block builds no shortcut for changes of shape."""

    @abstractmethod
    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Let `branch` meet `skip`."""


def make_join(join: Callable[[], Join]) -> Join:
    """Call what makes a join; raise TypeError if it makes none."""
    if isinstance(join, nn.Module) or not callable(join) or not isinstance(made := join(), Join):
        raise TypeError(f"join must be a class of joins, such as Add, or another function that makes a Join, got {join!r}")
    return made


class Replace(Join):
    """y = branch: no skip connection. The join of plain networks."""

    uses_skip = False

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Return `branch`; `skip` is there to be looked at by hooks."""
        return branch


class Add(Join):
    """y = skip + branch. The join of residual networks (arXiv 1512.03385, eq. 1)."""

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Add two tensors of one shape."""
        return skip + branch


class ScaledAdd(Join):
    """y = skip + alpha * branch, with one learned scalar alpha.

    With alpha = 0 at the start this is SkipInit (arXiv 2002.10444, sec. 3) and ReZero (arXiv 2003.04887, eq. 1): every block
    begins as the identity on its skip path.

    Args:
        alpha: the value from which alpha is learned.
    """

    def __init__(self, alpha: float = 0.0) -> None:
        super().__init__()
        self.initial_alpha = alpha
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))

    def reset_parameters(self) -> None:
        """Begin anew."""
        nn.init.constant_(self.alpha, self.initial_alpha)

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Add two tensors of one shape, the second one scaled."""
        return skip + self.alpha * branch


class Concat(Join):
    """y = [skip, branch] along the channels. The join of dense networks (arXiv 1608.06993, eq. 2).

    The first channels of the output are the skip, untouched.
    """

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Concatenate two tensors that differ in their channels at most."""
        return torch.cat((skip, branch), 1)


class _Stochastic(Join):
    """A join that leaves the branch out at random while training, and is its deterministic self in evaluation.

    The branch of a kept sample is divided by the probability to keep it, so that its expectation is that of evaluation; the paper
    multiplies at test time instead, which is the same network up to a constant in the branch's last layer.

    Args:
        p: the probability to leave the branch out, in [0, 1).
        mode: "row" draws for every sample, "batch" once for the whole batch, as the paper does.

    Raises:
        ValueError: if `p` or `mode` is none of these.
    """

    def __init__(self, p: float, mode: DropMode = "row") -> None:
        super().__init__()
        check_probability("p", p)
        if mode not in ("row", "batch"):
            raise ValueError(f"mode must be 'row' or 'batch', got {mode!r}")
        self.p = p
        self.mode = mode

    def kept(self, branch: Tensor) -> Tensor:
        """Return the branch with the samples of this draw set to zero, and the others scaled up."""
        if not self.training or self.p == 0:
            return branch
        draws = branch.shape[0] if self.mode == "row" else 1
        keep = branch.new_empty((draws, 1, 1, 1)).bernoulli_(1 - self.p)
        return branch * (keep / (1 - self.p))

    def extra_repr(self) -> str:
        """Print the arguments."""
        return f"p={self.p:g}, mode={self.mode}"


class StochasticAdd(_Stochastic):
    """y = skip + b * branch / (1 - p), b drawn from Bernoulli(1 - p) while training: stochastic depth (arXiv 1603.09382)."""

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Add two tensors of one shape, the second one if it is kept."""
        return skip + self.kept(branch)


class StochasticConcat(_Stochastic):
    """y = [skip, b * branch / (1 - p)], b drawn from Bernoulli(1 - p) while training: stochastic depth for dense networks."""

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Concatenate two tensors, the second one as zeros where it is left out."""
        return torch.cat((skip, self.kept(branch)), 1)
