"""Joins: how a block combines its skip and its branch.

The join is all that plain, residual and dense networks differ in. Every block calls its child `join` as `join(skip, branch)`, in
every family, so a hook on a join sees both tensors.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Literal, NoReturn

import torch
from torch import Tensor, nn

from resnetlib.errors import InputError, InputTypeError
from resnetlib.modules.arguments import check_number, check_probability


class Join(nn.Module, ABC):
    """Base class of joins: y = join(skip, branch).

    Shapes:
        skip `(N, C_skip, H, W)`, branch `(N, C_branch, H, W)` -> `(N, C_out, H, W)`. An unused skip may have any shape.
    """

    uses_skip: ClassVar[bool] = True
    """Whether the output depends on the skip. If not, a block that changes the shape builds no shortcut."""

    @abstractmethod
    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Combine skip and branch."""

    def __prepare_scriptable__(self) -> NoReturn:
        """Raise TypeError: `torch.jit.script`, which calls this first, cannot compile these networks."""
        raise InputTypeError(
            "torch.jit.script does not compile these networks: use torch.export.export(net.eval(), (images,)), torch.compile or "
            "torch.jit.trace"
        )


class Replace(Join):
    """y = branch: no skip connection. The join of plain networks."""

    uses_skip = False

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Return `branch`; hooks can still see `skip`."""
        return branch


class Add(Join):
    """y = skip + branch. The join of residual networks (arXiv 1512.03385, eq. 1)."""

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Add two tensors of the same shape."""
        return skip + branch


class Concat(Join):
    """y = [skip, branch] along the channels. The join of dense networks (arXiv 1608.06993, eq. 2)."""

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Concatenate two tensors that may differ in their channels only."""
        return torch.cat((skip, branch), 1)


class ScaledAdd(Join):
    """y = skip + alpha * branch, with one learned scalar alpha.

    With alpha = 0 this is SkipInit (arXiv 2002.10444, sec. 3) and ReZero (arXiv 2003.04887, eq. 1): every block starts as its skip
    path alone.

    Args:
        alpha: initial value.
    """

    def __init__(self, alpha: float = 0.0) -> None:
        check_number("alpha", alpha)
        super().__init__()
        self.initial_alpha = alpha
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))

    def reset_parameters(self) -> None:
        """Set alpha to its initial value."""
        nn.init.constant_(self.alpha, self.initial_alpha)

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Add the skip and the scaled branch."""
        return skip + self.alpha * branch


class _Stochastic(Join):
    """A join that drops the branch at random during training.

    A branch that is kept is divided by the probability of keeping it, so that its expectation is the same in training and in
    evaluation. (The paper multiplies at test time instead, which is equal up to a constant in the branch's last layer.)

    Args:
        p: probability of dropping the branch, in [0, 1).
        mode: "row" draws once per sample, "batch" once per batch, as in the paper.
    """

    def __init__(self, p: float, mode: Literal["row", "batch"] = "row") -> None:
        super().__init__()
        check_probability("p", p)
        if mode not in ("row", "batch"):
            raise InputError(f"mode must be 'row' or 'batch', got {mode!r}")
        self.p = p
        self.mode = mode

    def drop_path(self, branch: Tensor) -> Tensor:
        """Return the branch with dropped samples set to zero and the others scaled up."""
        if not self.training or self.p == 0:
            return branch
        draws = branch.shape[0] if self.mode == "row" else 1
        keep = branch.new_empty((draws, 1, 1, 1)).bernoulli_(1 - self.p)
        return branch * (keep / (1 - self.p))

    def extra_repr(self) -> str:
        """Show the arguments."""
        return f"p={self.p:g}, mode={self.mode}"


class StochasticAdd(_Stochastic):
    """y = skip + b * branch / (1 - p), b drawn from Bernoulli(1 - p) in training: stochastic depth (arXiv 1603.09382)."""

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Add the skip and, where it is kept, the branch."""
        return skip + self.drop_path(branch)


class StochasticConcat(_Stochastic):
    """y = [skip, b * branch / (1 - p)], b drawn from Bernoulli(1 - p) in training: stochastic depth for dense networks."""

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        """Concatenate the skip and the branch, which is zero where it is dropped."""
        return torch.cat((skip, self.drop_path(branch)), 1)


STOCHASTIC: Mapping[Callable[[], Join], Callable[[float], Join]] = {Add: StochasticAdd, Concat: StochasticConcat}


def stochastic_depth(join: Callable[[], Join], blocks: int, *, drop_path_rate: float) -> list[Callable[[], Join]]:
    """Return one join factory per block. Block l of L drops its branch with p = `drop_path_rate * l / L` (arXiv 1603.09382, eq. 4).

    >>> [make().p for make in stochastic_depth(Add, 4, drop_path_rate=0.5)]
    [0.125, 0.25, 0.375, 0.5]
    """
    check_probability("drop_path_rate", drop_path_rate)
    if drop_path_rate == 0:
        return [join] * blocks
    if join not in STOCHASTIC:
        name = getattr(join, "__name__", join)
        raise InputError(f"drop_path_rate works with the joins Add and Concat, got drop_path_rate={drop_path_rate} with {name}")
    return [partial(STOCHASTIC[join], drop_path_rate * i / blocks) for i in range(1, blocks + 1)]


def make_join(join: Callable[[], Join]) -> Join:
    """Call a join factory; raise TypeError if it does not return a join."""
    if isinstance(join, nn.Module) or not callable(join) or not isinstance(made := join(), Join):
        raise InputTypeError(f"join must be a class of joins, such as Add, or a function that returns a Join, got {join!r}")
    return made
