"""The equation of every block: y = out(join(skip, branch(pre(x))))."""

from abc import ABC, abstractmethod
from typing import ClassVar, final

from torch import Tensor, nn

from resnetlib.config.integers import check_count
from resnetlib.modules.inplace import branch_is_new, chain, join_and_activate
from resnetlib.modules.join import Join


class Block(nn.Module, ABC):
    """Base class of blocks: h = pre(x); y = out(join(skip, branch(h))).

    The skip is x, or downsample(h) if the shape changes. A subclass defines `pre`, `branch` and `out`, and registers the children
    `join` and `downsample` (None for the identity). In training nothing works in place, so that every module can have forward and
    full backward hooks. This needs no more memory: a norm saves its input and a ReLU its output, and the tensor between them is
    freed at once. Without gradients, see `resnetlib.modules.inplace`.

    Shapes:
        `(N, C_in, H, W)` -> `(N, C_out, ceil(H/s), ceil(W/s))`.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        stride: s.
    """

    expansion: ClassVar[int] = 1
    """Output channels per channel of width."""

    join: Join
    downsample: nn.Module | None

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.in_channels = check_count("in_channels", in_channels, minimum=1)
        self.out_channels = check_count("out_channels", out_channels, minimum=1)
        self.stride = check_count("stride", stride, minimum=1)

    @final  # type: ignore[misc]  # nn.Module declares a variable of this name
    def forward(self, x: Tensor) -> Tensor:
        """Compute out(join(skip, branch(pre(x))))."""
        new = branch_is_new(self)
        if self.downsample is None and type(self).skip is Block.skip:
            return join_and_activate(self, x, self.branch(self.pre(x)), new=new)  # with no name for h, the branch can free it
        h = self.pre(x)
        return join_and_activate(self, self.skip(x, h), self.branch(h), new=new)

    def pre(self, x: Tensor) -> Tensor:
        """Return the input of branch and projection: x, or in pre-activation blocks its activation."""
        return x

    def skip(self, x: Tensor, h: Tensor) -> Tensor:
        """Return x, or downsample(h) if the shape changes."""
        y: Tensor = x if self.downsample is None else self.downsample(h)
        return y

    @abstractmethod
    def branch(self, h: Tensor) -> Tensor:
        """Compute F(h)."""

    def out(self, y: Tensor) -> Tensor:
        """Return the output: y, or in post-activation blocks its activation."""
        return y

    @property
    def convs(self) -> tuple[nn.Conv2d, ...]:
        """The convolutions of the branch, first to last."""
        return tuple(child for child in self.children() if isinstance(child, nn.Conv2d) and child is not self.downsample)

    @abstractmethod
    def zero_branch_(self) -> None:
        """Make F(h) = 0 for every h.

        Behind the join Add, the layer that is zeroed still gets a gradient, so that F can be learned.
        """


class PreActBlock(Block):
    """A block whose branch and projection read relu(norm(x)). A subclass registers `norm1` and `relu1`."""

    norm1: nn.Module
    relu1: nn.Module

    def pre(self, x: Tensor) -> Tensor:
        """Compute norm-relu."""
        return chain(x, self.norm1, self.relu1)

    def zero_branch_(self) -> None:
        """Zero the last convolution, since a norm of zeros before a relu would block the gradient."""
        zero_parameters_(self.convs[-1])


def zero_parameters_(module: nn.Module) -> None:
    """Set every parameter of a module to zero."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
