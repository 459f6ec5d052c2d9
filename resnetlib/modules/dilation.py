"""Replace strides by dilations, for larger feature maps from the same weights (arXiv 1606.00915, sec. 3.1)."""

from torch import Tensor, nn
from torch.nn import functional

from resnetlib.errors import InputError
from resnetlib.modules.arguments import check_count
from resnetlib.modules.backbone import Backbone, check_network
from resnetlib.modules.block import Block
from resnetlib.modules.dense import Transition
from resnetlib.modules.residual import PadShortcut


class DilatedAvgPool2d(nn.Module):
    """`AvgPool2d(2)` without the stride, and dilated: the mean of each pixel and of those `dilation` to the right and below.

    Beyond the edges the last row and column are repeated.

    Shapes:
        `(N, C, H, W)` -> `(N, C, H, W)`.

    Args:
        dilation: distance in pixels.

    Raises:
        ValueError: for anything but a positive integer.
    """

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = check_count("dilation", dilation, least=1)

    def forward(self, x: Tensor) -> Tensor:
        """Average."""
        d = self.dilation
        x = functional.pad(x, (0, d, 0, d), mode="replicate")
        rows = (x[:, :, :-d] + x[:, :, d:]) / 2
        return (rows[..., :-d] + rows[..., d:]) / 2

    def extra_repr(self) -> str:
        """Print the distance."""
        return f"dilation={self.dilation}"


def dilate(net: Backbone, output_stride: int) -> None:
    """Dilate a network's later stages instead of striding, so that the last map has the given stride.

    Parameters and their names stay the same. In evaluation mode, the original map is a subsampling of the new one, if the sides of
    the image are multiples of the original stride and the norms do not depend on the map, as group norms do.

    Args:
        net: the network, changed in place, `feature_info` included.
        output_stride: image pixels per pixel of the last map.

    Raises:
        ValueError: for a stride that no stage's map has, and for a network that is dilated already.
        TypeError: for something that is no network.

    Source:
        arXiv 1606.00915, sec. 3.1.
    """
    check_network(net)
    strides = [info["reduction"] for info in net.feature_info]
    choices = sorted(set(strides[1:]))
    if is_dilated(net):
        raise InputError(f"the network is dilated already, to a stride of {net.output_stride}: build it anew")
    if output_stride not in choices:
        raise InputError(f"output_stride must be one of {', '.join(map(str, choices))}, got {output_stride!r}")
    for i, stage in enumerate(net.stages(), 1):
        rate = max(1, strides[i - 1] // output_stride)
        if strides[i] > output_stride:
            for part in stage:
                rate = _dilate_part(part, rate)
        net.feature_info[i]["reduction"] = min(strides[i], output_stride)


def is_dilated(net: Backbone) -> bool:
    """Return whether `dilate` changed a network: only then do two stages have the same stride."""
    check_network(net)
    strides = [info["reduction"] for info in net.feature_info[1:]]
    return len(set(strides)) < len(strides)


def _dilate_part(part: nn.Module, rate: int) -> int:
    """Dilate a part of a stage by `rate`, doubled after each stride; return the rate after it."""
    if isinstance(part, Transition):
        part.add_module("pool", DilatedAvgPool2d(rate))
        return 2 * rate
    for block in part.modules():
        if isinstance(block, Block):
            rate = _dilate_block(block, rate)
    return rate


def _dilate_block(block: Block, rate: int) -> int:
    before = rate
    for conv in block.convs:
        rate = _dilate_conv(conv, rate)
    if isinstance(block.downsample, PadShortcut):
        block.downsample.stride = 1
    elif block.downsample is not None:
        for module in block.downsample.modules():
            if isinstance(module, nn.Conv2d):
                _dilate_conv(module, before)
    block.stride = 1
    return rate


def _dilate_conv(conv: nn.Conv2d, rate: int) -> int:
    """Replace a convolution's stride by dilation; return the rate after it."""
    stride, kernel = conv.stride[0], conv.kernel_size[0]
    conv.stride = (1, 1)
    if kernel > 1:
        conv.dilation, conv.padding = (rate, rate), (kernel // 2 * rate, kernel // 2 * rate)
    return rate * stride
