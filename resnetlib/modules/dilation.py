"""Replace strides by dilation, for larger feature maps with the same weights (arXiv 1606.00915, sec. 3.1)."""

from torch import Tensor, nn
from torch.nn import functional

from resnetlib.config.integers import as_integer, check_count
from resnetlib.errors import InputError
from resnetlib.modules.backbone import Backbone, check_network
from resnetlib.modules.block import Block
from resnetlib.modules.dense import Transition
from resnetlib.modules.residual import PadShortcut


class DilatedAvgPool2d(nn.Module):
    """`AvgPool2d(2)` with stride 1 and dilation: the mean of four pixels, `dilation` apart.

    The last row and column are repeated beyond the edges.

    Shapes:
        `(N, C, H, W)` -> `(N, C, H, W)`.

    Args:
        dilation: distance in pixels.
    """

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = check_count("dilation", dilation, minimum=1)

    def forward(self, x: Tensor) -> Tensor:
        """Average four shifted copies of the map."""
        d = self.dilation
        x = functional.pad(x, (0, d, 0, d), mode="replicate")
        rows = (x[:, :, :-d] + x[:, :, d:]) / 2
        return (rows[..., :-d] + rows[..., d:]) / 2

    def extra_repr(self) -> str:
        """Show the dilation."""
        return f"dilation={self.dilation}"


def dilate(net: Backbone, output_stride: int) -> None:
    """Replace the strides of a network's last stages by dilation, so that the last map has the given stride.

    Parameters keep their names and values. In evaluation mode, the original map is a subsampling of the new one, if height and
    width of the image are multiples of the original stride and the network has no group norms, which depend on the whole map.

    Args:
        net: the network; changed in place, `feature_info` included.
        output_stride: image pixels per pixel of the last map, such as 8 or 16.

    Raises:
        ValueError: if no stage has this stride, or the network is dilated already.

    Source:
        arXiv 1606.00915, sec. 3.1.
    """
    if is_dilated(net):
        raise InputError(f"the network is dilated already, to a stride of {net.output_stride}: create it again with output_stride=")
    strides = [info["reduction"] for info in net.feature_info]
    choices = sorted(set(strides[1:]))
    stride = as_integer(output_stride)
    if stride not in choices:
        raise InputError(f"output_stride must be one of {', '.join(map(str, choices))}, got {output_stride!r}")
    for i, stage in enumerate(net.stages(), 1):
        rate = max(1, strides[i - 1] // stride)
        if strides[i] > stride:
            for module in (module for part in stage for module in part.modules()):
                if isinstance(module, Transition):
                    module.add_module("pool", DilatedAvgPool2d(rate))
                    rate *= 2
                elif isinstance(module, Block):
                    rate = _dilate_block(module, rate)
        net.feature_info[i]["reduction"] = min(strides[i], stride)


def is_dilated(net: Backbone) -> bool:
    """Return whether a network is dilated: only then do two stages have the same stride."""
    check_network(net)
    strides = [info["reduction"] for info in net.feature_info[1:]]
    return len(set(strides)) < len(strides)


def _dilate_block(block: Block, rate: int) -> int:
    """Replace the strides of a block by dilation; return the rate after it."""
    shortcut = () if block.downsample is None else block.downsample.modules()
    for module in shortcut:
        if isinstance(module, PadShortcut):
            module.stride = 1
        elif isinstance(module, nn.Conv2d):
            _dilate_conv(module, rate)
    for conv in block.convs:
        rate = _dilate_conv(conv, rate)
    block.stride = 1
    return rate


def _dilate_conv(conv: nn.Conv2d, rate: int) -> int:
    """Replace a convolution's stride by dilation; return the rate after it."""
    stride, kernel = conv.stride[0], conv.kernel_size[0]
    conv.stride = (1, 1)
    if kernel > 1:
        conv.dilation, conv.padding = (rate, rate), (kernel // 2 * rate, kernel // 2 * rate)
    return rate * stride
