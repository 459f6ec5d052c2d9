"""The pre-activation blocks: norm and relu before each convolution, and a skip path that nothing touches."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from resnetlib.config import Shortcut, StrideIn
from resnetlib.modules.block import Block, zero_parameters_
from resnetlib.modules.join import Add, Join, make_join
from resnetlib.modules.layers import BATCH, Layers, check_layers
from resnetlib.modules.postact import bottleneck_width, check_stride_in
from resnetlib.modules.shortcut import make_shortcut


class PreActBasicBlock(Block):
    """norm-relu, then conv3-norm-relu-conv3, join.

    Where the shape changes, the skip starts from the pre-activated input (arXiv 1603.05027, sec. 4.1), and no norm follows its
    projection.

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
        arXiv 1603.05027, fig. 4e.

    Example:
        >>> import torch
        >>> block = PreActBasicBlock(16, 16)
        >>> block(torch.randn(1, 16, 8, 8)).shape
        torch.Size([1, 16, 8, 8])
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
        self.norm1 = layers.norm(c_in)
        self.relu1 = nn.ReLU()
        self.conv1 = layers.conv(c_in, width, 3, stride=stride)
        self.norm2 = layers.norm(width)
        self.relu2 = nn.ReLU()
        self.conv2 = layers.conv(width, width, 3)
        self.join = make_join(join)
        self.downsample = make_shortcut(shortcut, c_in, width, stride=stride, join=self.join, layers=layers, normed=False)

    def pre(self, x: Tensor) -> Tensor:
        """Compute norm-relu."""
        x = self.relu1(self.norm1(x))
        return x

    def branch(self, h: Tensor) -> Tensor:
        """Compute conv3-norm-relu-conv3."""
        h = self.relu2(self.norm2(self.conv1(h)))
        h = self.conv2(h)
        return h

    def zero_branch_(self) -> None:
        """Zero the last convolution; behind a zeroed last norm stands a relu, whose gradient at zero is zero."""
        zero_parameters_(self.conv2)


class PreActBottleneck(Block):
    """norm-relu, then conv1-norm-relu-conv3-norm-relu-conv1, join.

    Where the shape changes, the skip starts from the pre-activated input (arXiv 1603.05027, sec. 4.1), and no norm follows its
    projection.

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
        arXiv 1603.05027, fig. 4e with the bottleneck of arXiv 1512.03385.

    Example:
        >>> import torch
        >>> block = PreActBottleneck(64, 16)
        >>> block(torch.randn(1, 64, 8, 8)).shape
        torch.Size([1, 64, 8, 8])
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
        self.norm1 = layers.norm(c_in)
        self.relu1 = nn.ReLU()
        self.conv1 = layers.conv(c_in, c_mid, 1, stride=stride if stride_in == "1x1" else 1)
        self.norm2 = layers.norm(c_mid)
        self.relu2 = nn.ReLU()
        self.conv2 = layers.conv(c_mid, c_mid, 3, stride=stride if stride_in == "3x3" else 1, groups=groups)
        self.norm3 = layers.norm(c_mid)
        self.relu3 = nn.ReLU()
        self.conv3 = layers.conv(c_mid, c_out, 1)
        self.join = make_join(join)
        self.downsample = make_shortcut(shortcut, c_in, c_out, stride=stride, join=self.join, layers=layers, normed=False)

    def pre(self, x: Tensor) -> Tensor:
        """Compute norm-relu."""
        x = self.relu1(self.norm1(x))
        return x

    def branch(self, h: Tensor) -> Tensor:
        """Compute conv1-norm-relu-conv3-norm-relu-conv1."""
        h = self.relu2(self.norm2(self.conv1(h)))
        h = self.relu3(self.norm3(self.conv2(h)))
        h = self.conv3(h)
        return h

    def zero_branch_(self) -> None:
        """Zero the last convolution; behind a zeroed last norm stands a relu, whose gradient at zero is zero."""
        zero_parameters_(self.conv3)
