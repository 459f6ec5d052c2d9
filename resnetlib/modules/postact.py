"""The post-activation blocks of ResNet and, with the join `Replace`, of plain networks."""

from collections.abc import Callable
from typing import ClassVar, get_args

from torch import Tensor, nn

from resnetlib.config import Shortcut, StrideIn
from resnetlib.modules.arguments import check_count
from resnetlib.modules.block import Block, zero_parameters_
from resnetlib.modules.join import Add, Join, make_join
from resnetlib.modules.layers import BATCH, Layers, Shift, check_layers
from resnetlib.modules.shortcut import make_shortcut


def bottleneck_width(width: int, *, groups: int, base_width: int) -> int:
    """Return the channels of a bottleneck's 3x3 convolution.

    Args:
        width: a quarter of the block's channels out.
        groups: of the 3x3 convolution.
        base_width: channels in a group where the width is 64.

    Returns:
        The channels of all groups together.

    Raises:
        ValueError: for anything but positive integers, or if no channels are left.

    Example:
        >>> bottleneck_width(128, groups=32, base_width=4)       # the second stage of ResNeXt 32x4d
        256
    """
    for name, value in (("width", width), ("groups", groups), ("base_width", base_width)):
        check_count(name, value, least=1)
    if width * base_width < 64:
        raise ValueError(f"base_width={base_width} leaves no channels at a width of {width}")
    return width * base_width // 64 * groups


def check_stride_in(stride_in: str) -> None:
    """Raise ValueError unless this names a convolution of the block."""
    if stride_in not in get_args(StrideIn):
        raise ValueError(f"stride_in must be '3x3' or '1x1', got {stride_in!r}")


class BasicBlock(Block):
    """conv3-norm-relu-conv3-norm, join, relu.

    Shapes:
        `(N, C_in, H, W)` -> `(N, width, ceil(H/s), ceil(W/s))`.

    Args:
        c_in: channels in.
        width: channels of both convolutions, and channels out.
        stride: of the first convolution and of the shortcut.
        join: makes the join.
        shortcut: what the skip does where the shape changes.
        layers: makes convolutions and norms.

    Source:
        arXiv 1512.03385, fig. 5 left.

    Example:
        >>> import torch
        >>> block = BasicBlock(16, 32, stride=2, shortcut="A")
        >>> block(torch.randn(1, 16, 8, 8)).shape
        torch.Size([1, 32, 4, 4])
    """

    def __init__(
        self,
        c_in: int,
        width: int,
        *,
        stride: int = 1,
        join: Callable[[], Join] = Add,
        shortcut: Shortcut = "B",
        layers: Layers = BATCH,
    ) -> None:
        super().__init__(c_in, width, stride=stride)
        check_layers(layers)
        self.conv1 = layers.conv(c_in, width, 3, stride=stride)
        self.bn1 = layers.norm(width)
        self.relu1 = nn.ReLU()
        self.conv2 = layers.conv(width, width, 3)
        self.bn2 = layers.last_norm(width)
        self.join = make_join(join)
        self.downsample = make_shortcut(shortcut, c_in, width, stride=stride, join=self.join, layers=layers, normed=True)
        self.relu2 = nn.ReLU()

    def branch(self, h: Tensor) -> Tensor:
        """Compute conv3-norm-relu-conv3-norm."""
        h = self.relu1(self.bn1(self.conv1(h)))
        h = self.bn2(self.conv2(h))
        return h

    def out(self, y: Tensor) -> Tensor:
        """Compute relu."""
        y = self.relu2(y)
        return y

    def zero_branch_(self) -> None:
        """Zero the last norm, or without norms the last convolution (arXiv 1706.02677, sec. 5.1)."""
        zero_last_(self.conv2, self.bn2)


class Bottleneck(Block):
    """conv1-norm-relu-conv3-norm-relu-conv1-norm, join, relu.

    Shapes:
        `(N, C_in, H, W)` -> `(N, 4 width, ceil(H/s), ceil(W/s))`.

    Args:
        c_in: channels in.
        width: a quarter of the channels out; the 3x3 convolution has `width * base_width // 64 * groups`.
        stride: of the convolution that `stride_in` names, and of the shortcut.
        join: makes the join.
        shortcut: what the skip does where the shape changes.
        layers: makes convolutions and norms.
        groups: of the 3x3 convolution.
        base_width: channels in a group where the width is 64.
        stride_in: the convolution that takes the stride.

    Source:
        arXiv 1512.03385, fig. 5 right; arXiv 1611.05431, fig. 3c for groups; arXiv 1605.07146 for widths.

    Example:
        >>> import torch
        >>> block = Bottleneck(64, 32, stride=2, groups=32, base_width=4)
        >>> block(torch.randn(1, 64, 8, 8)).shape
        torch.Size([1, 128, 4, 4])
    """

    expansion: ClassVar[int] = 4

    def __init__(
        self,
        c_in: int,
        width: int,
        *,
        stride: int = 1,
        join: Callable[[], Join] = Add,
        shortcut: Shortcut = "B",
        layers: Layers = BATCH,
        groups: int = 1,
        base_width: int = 64,
        stride_in: StrideIn = "3x3",
    ) -> None:
        c_mid = bottleneck_width(width, groups=groups, base_width=base_width)
        c_out = width * self.expansion
        super().__init__(c_in, c_out, stride=stride)
        check_layers(layers)
        check_stride_in(stride_in)
        self.conv1 = layers.conv(c_in, c_mid, 1, stride=stride if stride_in == "1x1" else 1)
        self.bn1 = layers.norm(c_mid)
        self.relu1 = nn.ReLU()
        self.conv2 = layers.conv(c_mid, c_mid, 3, stride=stride if stride_in == "3x3" else 1, groups=groups)
        self.bn2 = layers.norm(c_mid)
        self.relu2 = nn.ReLU()
        self.conv3 = layers.conv(c_mid, c_out, 1)
        self.bn3 = layers.last_norm(c_out)
        self.join = make_join(join)
        self.downsample = make_shortcut(shortcut, c_in, c_out, stride=stride, join=self.join, layers=layers, normed=True)
        self.relu3 = nn.ReLU()

    def branch(self, h: Tensor) -> Tensor:
        """Compute conv1-norm-relu-conv3-norm-relu-conv1-norm."""
        h = self.relu1(self.bn1(self.conv1(h)))
        h = self.relu2(self.bn2(self.conv2(h)))
        h = self.bn3(self.conv3(h))
        return h

    def out(self, y: Tensor) -> Tensor:
        """Compute relu."""
        y = self.relu3(y)
        return y

    def zero_branch_(self) -> None:
        """Zero the last norm, or without norms the last convolution (arXiv 1706.02677, sec. 5.1)."""
        zero_last_(self.conv3, self.bn3)


def zero_last_(conv: nn.Conv2d, norm: nn.Module) -> None:
    """Zero the norm that ends a branch, or where it has no weights of its own, the convolution before it and what shifts that."""
    if isinstance(getattr(norm, "weight", None), nn.Parameter):
        zero_parameters_(norm)
        return
    zero_parameters_(conv)
    if isinstance(norm, Shift):
        nn.init.zeros_(norm.shift)
