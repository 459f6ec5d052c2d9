"""Residual blocks: basic and bottleneck, post-activation (arXiv 1512.03385) and pre-activation (arXiv 1603.05027)."""

from collections.abc import Callable
from typing import get_args

from torch import Tensor, nn
from torch.nn import functional

from resnetlib.config import Shortcut, StrideIn
from resnetlib.config.integers import check_count
from resnetlib.errors import InputError
from resnetlib.modules.block import Block, PreActBlock, zero_parameters_
from resnetlib.modules.inplace import chain, ends_with
from resnetlib.modules.join import Add, Join, make_join
from resnetlib.modules.layers import BATCH_NORM, LayerFactory, Shift, check_layers


class BasicBlock(Block):
    """A basic block: 3x3 conv-norm-relu, 3x3 conv-norm, join, relu.

    Shapes:
        `(N, C_in, H, W)` -> `(N, width, ceil(H/s), ceil(W/s))`.

    Args:
        in_channels: input channels.
        width: output channels, of both convolutions.
        stride: stride of the first convolution and of the shortcut.
        join: class or factory of the join.
        shortcut: "A", "A_end", "B" or "C"; see `ResNetSpec`.
        layers: factory of convolutions and norms.

    Source:
        arXiv 1512.03385, fig. 5 left.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        join: Callable[[], Join] = Add,
        shortcut: Shortcut = "B",
        layers: LayerFactory = BATCH_NORM,
    ) -> None:
        super().__init__(in_channels, width, stride=stride)
        check_layers(layers)
        self.conv1 = layers.conv(in_channels, width, 3, stride=stride)
        self.bn1 = layers.norm(width)
        self.relu1 = nn.ReLU()
        self.conv2 = layers.conv(width, width, 3)
        self.bn2 = layers.last_norm(width)
        self.join = make_join(join)
        self.downsample = make_shortcut(shortcut, self, layers, norm=True)
        self.relu2 = nn.ReLU()

    @ends_with("bn2")
    def branch(self, h: Tensor) -> Tensor:
        """Compute 3x3 conv-norm-relu, 3x3 conv-norm."""
        return chain(h, self.conv1, self.bn1, self.relu1, self.conv2, self.bn2)

    @ends_with("relu2")
    def out(self, y: Tensor) -> Tensor:
        """Compute the relu after the join."""
        y = self.relu2(y)
        return y

    def zero_branch_(self) -> None:
        """Zero the last norm, or without norms the last convolution (arXiv 1706.02677, sec. 5.1)."""
        zero_last_(self.conv2, self.bn2)


class Bottleneck(Block):
    """A bottleneck block: 1x1 conv-norm-relu, 3x3 conv-norm-relu, 1x1 conv-norm, join, relu.

    Shapes:
        `(N, C_in, H, W)` -> `(N, 4 width, ceil(H/s), ceil(W/s))`.

    Args:
        in_channels: input channels.
        width: a quarter of the output channels. The 3x3 convolution has `width * base_width // 64 * groups` channels.
        stride: stride of the convolution named by `stride_in`, and of the shortcut.
        join: class or factory of the join.
        shortcut: "A", "A_end", "B" or "C"; see `ResNetSpec`.
        layers: factory of convolutions and norms.
        groups: groups of the 3x3 convolution (ResNeXt's cardinality).
        base_width: channels per group at width 64.
        stride_in: the strided convolution, "3x3" or "1x1".

    Source:
        arXiv 1512.03385, fig. 5 right; groups: arXiv 1611.05431, fig. 3c; base width: arXiv 1605.07146.

    Example:
        >>> import torch
        >>> block = Bottleneck(64, 32, stride=2, groups=32, base_width=4)
        >>> block(torch.randn(1, 64, 8, 8)).shape
        torch.Size([1, 128, 4, 4])
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        join: Callable[[], Join] = Add,
        shortcut: Shortcut = "B",
        layers: LayerFactory = BATCH_NORM,
        groups: int = 1,
        base_width: int = 64,
        stride_in: StrideIn = "3x3",
    ) -> None:
        mid_channels = bottleneck_width(width, groups=groups, base_width=base_width)
        out_channels = width * self.expansion
        stride1, stride2 = split_stride(stride, stride_in)
        super().__init__(in_channels, out_channels, stride=stride)
        check_layers(layers)
        self.conv1 = layers.conv(in_channels, mid_channels, 1, stride=stride1)
        self.bn1 = layers.norm(mid_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = layers.conv(mid_channels, mid_channels, 3, stride=stride2, groups=groups)
        self.bn2 = layers.norm(mid_channels)
        self.relu2 = nn.ReLU()
        self.conv3 = layers.conv(mid_channels, out_channels, 1)
        self.bn3 = layers.last_norm(out_channels)
        self.join = make_join(join)
        self.downsample = make_shortcut(shortcut, self, layers, norm=True)
        self.relu3 = nn.ReLU()

    @ends_with("bn3")
    def branch(self, h: Tensor) -> Tensor:
        """Compute 1x1 conv-norm-relu, 3x3 conv-norm-relu, 1x1 conv-norm."""
        return chain(h, self.conv1, self.bn1, self.relu1, self.conv2, self.bn2, self.relu2, self.conv3, self.bn3)

    @ends_with("relu3")
    def out(self, y: Tensor) -> Tensor:
        """Compute the relu after the join."""
        y = self.relu3(y)
        return y

    def zero_branch_(self) -> None:
        """Zero the last norm, or without norms the last convolution (arXiv 1706.02677, sec. 5.1)."""
        zero_last_(self.conv3, self.bn3)


class PreActBasicBlock(PreActBlock):
    """A pre-activation basic block: norm-relu, 3x3 conv-norm-relu, 3x3 conv, join.

    The arguments are those of `BasicBlock`. Where the shape changes, the shortcut reads the pre-activated input (arXiv 1603.05027,
    sec. 4.1), and has no norm.

    Shapes:
        `(N, C_in, H, W)` -> `(N, width, ceil(H/s), ceil(W/s))`.

    Source:
        arXiv 1603.05027, fig. 4e.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        join: Callable[[], Join] = Add,
        shortcut: Shortcut = "B",
        layers: LayerFactory = BATCH_NORM,
    ) -> None:
        super().__init__(in_channels, width, stride=stride)
        check_layers(layers)
        self.norm1 = layers.norm(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = layers.conv(in_channels, width, 3, stride=stride)
        self.norm2 = layers.norm(width)
        self.relu2 = nn.ReLU()
        self.conv2 = layers.conv(width, width, 3)
        self.join = make_join(join)
        self.downsample = make_shortcut(shortcut, self, layers, norm=False)

    @ends_with("conv2")
    def branch(self, h: Tensor) -> Tensor:
        """Compute 3x3 conv-norm-relu, 3x3 conv."""
        return chain(h, self.conv1, self.norm2, self.relu2, self.conv2)


class PreActBottleneck(PreActBlock):
    """A pre-activation bottleneck block: norm-relu, 1x1 conv-norm-relu, 3x3 conv-norm-relu, 1x1 conv, join.

    The arguments are those of `Bottleneck`. Where the shape changes, the shortcut reads the pre-activated input (arXiv 1603.05027,
    sec. 4.1), and has no norm.

    Shapes:
        `(N, C_in, H, W)` -> `(N, 4 width, ceil(H/s), ceil(W/s))`.

    Source:
        arXiv 1603.05027, fig. 4e, with the bottleneck of arXiv 1512.03385.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        join: Callable[[], Join] = Add,
        shortcut: Shortcut = "B",
        layers: LayerFactory = BATCH_NORM,
        groups: int = 1,
        base_width: int = 64,
        stride_in: StrideIn = "3x3",
    ) -> None:
        mid_channels = bottleneck_width(width, groups=groups, base_width=base_width)
        out_channels = width * self.expansion
        stride1, stride2 = split_stride(stride, stride_in)
        super().__init__(in_channels, out_channels, stride=stride)
        check_layers(layers)
        self.norm1 = layers.norm(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = layers.conv(in_channels, mid_channels, 1, stride=stride1)
        self.norm2 = layers.norm(mid_channels)
        self.relu2 = nn.ReLU()
        self.conv2 = layers.conv(mid_channels, mid_channels, 3, stride=stride2, groups=groups)
        self.norm3 = layers.norm(mid_channels)
        self.relu3 = nn.ReLU()
        self.conv3 = layers.conv(mid_channels, out_channels, 1)
        self.join = make_join(join)
        self.downsample = make_shortcut(shortcut, self, layers, norm=False)

    @ends_with("conv3")
    def branch(self, h: Tensor) -> Tensor:
        """Compute 1x1 conv-norm-relu, 3x3 conv-norm-relu, 1x1 conv."""
        return chain(h, self.conv1, self.norm2, self.relu2, self.conv2, self.norm3, self.relu3, self.conv3)


class PadShortcut(nn.Module):
    """Shortcut A: subsample, and pad with zero channels. No parameters.

    Shapes:
        `(N, C_in, H, W)` -> `(N, C_out, ceil(H/s), ceil(W/s))`.

    Args:
        in_channels: input channels.
        out_channels: output channels, at least `in_channels`.
        stride: stride of the subsampling.
        at_end: put all zero channels last, instead of half of them first.

    Source:
        arXiv 1512.03385, sec. 3.3, option A.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, at_end: bool = False) -> None:
        super().__init__()
        check_count("in_channels", in_channels, minimum=1)
        check_count("out_channels", out_channels, minimum=1)
        self.stride = check_count("stride", stride, minimum=1)
        if out_channels < in_channels:
            sizes = f"in_channels={in_channels} and out_channels={out_channels}"
            raise InputError(f"shortcut A can only add channels, got {sizes}: use shortcut B")
        self.before = 0 if at_end else (out_channels - in_channels) // 2
        self.after = out_channels - in_channels - self.before

    def forward(self, x: Tensor) -> Tensor:
        """Subsample and pad."""
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        """Show the stride and the number of zero channels."""
        return f"stride={self.stride}, before={self.before}, after={self.after}"


def make_shortcut(kind: Shortcut, block: Block, layers: LayerFactory, *, norm: bool) -> nn.Module | None:
    """Create the shortcut of a block; None for the identity."""
    if kind not in get_args(Shortcut):
        raise InputError(f"shortcut must be one of {', '.join(map(repr, get_args(Shortcut)))}, got {kind!r}")
    in_channels, out_channels, stride = block.in_channels, block.out_channels, block.stride
    same_shape = stride == 1 and in_channels == out_channels
    if not block.join.uses_skip or (same_shape and kind != "C"):
        return None
    if kind in ("A", "A_end"):
        return PadShortcut(in_channels, out_channels, stride=stride, at_end=kind == "A_end")
    projection = layers.conv(in_channels, out_channels, 1, stride=stride)
    return nn.Sequential(projection, layers.skip_norm(out_channels)) if norm else nn.Sequential(projection)


def bottleneck_width(width: int, *, groups: int, base_width: int) -> int:
    """Return the channels of a bottleneck's 3x3 convolution."""
    for name, value in (("width", width), ("groups", groups), ("base_width", base_width)):
        check_count(name, value, minimum=1)
    if width * base_width < 64:
        raise InputError(f"base_width={base_width} leaves no channels at a width of {width}")
    return width * base_width // 64 * groups


def split_stride(stride: int, stride_in: StrideIn) -> tuple[int, int]:
    """Return the strides of a bottleneck's first 1x1 convolution and of its 3x3 convolution."""
    if stride_in not in get_args(StrideIn):
        raise InputError(f"stride_in must be '3x3' or '1x1', got {stride_in!r}")
    return (stride, 1) if stride_in == "1x1" else (1, stride)


def zero_last_(conv: nn.Conv2d, norm: nn.Module) -> None:
    """Zero the norm at the end of a branch; if it has no weight, zero the convolution before it, and Fixup's shift."""
    if isinstance(getattr(norm, "weight", None), nn.Parameter):
        zero_parameters_(norm)
    else:
        zero_parameters_(conv)
        if isinstance(norm, Shift):
            nn.init.zeros_(norm.shift)
