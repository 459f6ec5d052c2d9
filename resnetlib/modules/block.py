"""The one equation, of which every block is a case: y = out(join(skip, branch(pre(x))))."""

from abc import ABC, abstractmethod
from typing import ClassVar, final

from torch import Tensor, nn

from resnetlib.modules.arguments import check_count
from resnetlib.modules.join import Join


class Block(nn.Module, ABC):
    """h = pre(x); y = out(join(skip, branch(h))), where skip is x, or downsample(h) where the shape must change.

    A subclass says what `pre`, `branch` and `out` are, and registers the children `join` and `downsample` (None for the identity).
    Nothing works in place, so that forward and full backward hooks can sit on every module. That costs training no memory: for its
    backward pass a norm keeps its input and a ReLU its output, and what lies between them is freed at once.

    Shapes:
        `(N, C_in, H, W)` -> `(N, C_out, ceil(H/s), ceil(W/s))`.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        stride: s.

    Raises:
        ValueError: for anything but positive integers.
    """

    expansion: ClassVar[int] = 1
    """Channels out for each channel of width."""

    join: Join
    downsample: nn.Module | None

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.in_channels = check_count("in_channels", in_channels, least=1)
        self.out_channels = check_count("out_channels", out_channels, least=1)
        self.stride = check_count("stride", stride, least=1)

    @final  # type: ignore[misc]  # nn.Module declares a variable of this name
    def forward(self, x: Tensor) -> Tensor:
        """Compute the equation."""
        h = self.pre(x)
        return self.out(self.join(self.skip(x, h), self.branch(h)))

    def pre(self, x: Tensor) -> Tensor:
        """Return what branch and projection read: x itself, unless the block is pre-activated."""
        return x

    def skip(self, x: Tensor, h: Tensor) -> Tensor:
        """Return what skips the branch."""
        if self.downsample is None:
            return x
        skip: Tensor = self.downsample(h)
        return skip

    @abstractmethod
    def branch(self, h: Tensor) -> Tensor:
        """Compute F, the block's own transformation."""

    def out(self, y: Tensor) -> Tensor:
        """Return what leaves the block: y itself, unless the block is post-activated."""
        return y

    @property
    def convs(self) -> tuple[nn.Conv2d, ...]:
        """The branch's convolutions, first to last: the block's own children that are some."""
        return tuple(child for child in self.children() if isinstance(child, nn.Conv2d))

    @abstractmethod
    def zero_branch_(self) -> None:
        """Make F(x) = 0 for every x, by a layer of which the gradient is not zero, so that F can still be learned."""


def zero_parameters_(module: nn.Module) -> None:
    """Set every parameter of `module` to zero."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
