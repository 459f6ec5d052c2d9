"""What the skip path does where a block changes the shape (arXiv 1512.03385, sec. 3.3 and 4.1, options A, B and C)."""

from typing import get_args

from torch import Tensor, nn
from torch.nn import functional

from resnetlib.config import Shortcut
from resnetlib.modules.arguments import check_count
from resnetlib.modules.join import Join
from resnetlib.modules.layers import Layers


class PadShortcut(nn.Module):
    """Option A: every stride-th pixel, and channels of zeros. No parameters.

    Shapes:
        `(N, C_in, H, W)` -> `(N, C_out, ceil(H/s), ceil(W/s))`.

    Args:
        c_in: channels in.
        c_out: channels out, at least `c_in`.
        stride: take every so many-th row and column.
        at_end: add all zeros after the last channel, rather than half of them before the first.

    Raises:
        ValueError: if there are fewer channels out than in, which zeros cannot do; for anything but positive integers.
    """

    def __init__(self, c_in: int, c_out: int, *, stride: int = 1, at_end: bool = False) -> None:
        super().__init__()
        for name, value in (("c_in", c_in), ("c_out", c_out), ("stride", stride)):
            check_count(name, value, least=1)
        if c_out < c_in:
            raise ValueError(f"shortcut A can only add channels, got c_in={c_in} and c_out={c_out}: use shortcut B")
        self.stride = stride
        self.before = 0 if at_end else (c_out - c_in) // 2
        self.after = c_out - c_in - self.before

    def forward(self, x: Tensor) -> Tensor:
        """Subsample and pad."""
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        """Print the stride and the channels added."""
        return f"stride={self.stride}, before={self.before}, after={self.after}"


def make_shortcut(
    kind: Shortcut, c_in: int, c_out: int, *, stride: int, join: Join, layers: Layers, normed: bool
) -> nn.Module | None:
    """Make the `downsample` child of a block.

    Args:
        kind: one of the four options.
        c_in: channels in.
        c_out: channels out.
        stride: of the block.
        join: of the block; one that ignores the skip gets no shortcut.
        layers: makes the projection.
        normed: whether a norm follows the projection, as it does in post-activation blocks.

    Returns:
        The module, or None for the identity.

    Raises:
        ValueError: for another option.
    """
    if kind not in get_args(Shortcut):
        raise ValueError(f"shortcut must be one of {', '.join(map(repr, get_args(Shortcut)))}, got {kind!r}")
    same_shape = stride == 1 and c_in == c_out
    if not join.uses_skip or (same_shape and kind != "C"):
        return None
    if kind in ("A", "A_end"):
        return PadShortcut(c_in, c_out, stride=stride, at_end=kind == "A_end")
    projection = layers.conv(c_in, c_out, 1, stride=stride)
    return nn.Sequential(projection, layers.skip_norm(c_out)) if normed else nn.Sequential(projection)
