"""Dense layers, dense blocks, and the transitions between them (arXiv 1608.06993)."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resnetlib.config.integers import check_count
from resnetlib.modules.arguments import check_probability
from resnetlib.modules.block import Block, PreActBlock
from resnetlib.modules.dense_memory import Step, is_supported, norm_relu_conv
from resnetlib.modules.inplace import chain, is_unwatched
from resnetlib.modules.join import Concat, Join, make_join
from resnetlib.modules.layers import BATCH_NORM, LayerFactory, check_layers
from resnetlib.modules.stage import Recomputing, Stage, recompute


class DenseLayer(PreActBlock):
    """A dense layer: norm-relu, [1x1 conv-norm-relu,] 3x3 conv, dropout, join.

    Shapes:
        `(N, C_in, H, W)` -> `(N, C_in + growth, H, W)`.

    Args:
        in_channels: input channels.
        growth: channels that the branch adds.
        join: class or factory of the join.
        layers: factory of convolutions and norms.
        bottleneck: channels of the 1x1 convolution, in multiples of `growth`; 0 for no such convolution.
        drop: probability of the dropout at the end of the branch, as in torchvision and timm. (The paper has one after every
            convolution but the first.)

    Source:
        arXiv 1608.06993, sec. 3: "composite function", "bottleneck layers".

    Example:
        >>> import torch
        >>> layer = DenseLayer(64, 32)
        >>> layer(torch.randn(1, 64, 8, 8)).shape
        torch.Size([1, 96, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        growth: int,
        *,
        join: Callable[[], Join] = Concat,
        layers: LayerFactory = BATCH_NORM,
        bottleneck: int = 4,
        drop: float = 0.0,
    ) -> None:
        check_count("in_channels", in_channels, minimum=1)
        check_count("growth", growth, minimum=1)
        check_count("bottleneck", bottleneck, minimum=0)
        check_probability("drop", drop)
        check_layers(layers)
        super().__init__(in_channels, in_channels + growth)
        self.norm1 = layers.norm(in_channels)
        self.relu1 = nn.ReLU()
        if bottleneck:
            self.conv1 = layers.conv(in_channels, bottleneck * growth, 1)
            self.norm2 = layers.norm(bottleneck * growth)
            self.relu2 = nn.ReLU()
            self.conv2 = layers.conv(bottleneck * growth, growth, 3)
        else:
            self.conv1 = layers.conv(in_channels, growth, 3)
        self.has_bottleneck = bool(bottleneck)
        self.drop = nn.Dropout(drop)
        self.join = make_join(join)
        self.downsample = None

    def branch(self, h: Tensor) -> Tensor:
        """Compute [1x1 conv-norm-relu,] 3x3 conv, dropout."""
        if self.has_bottleneck:
            return chain(h, self.conv1, self.norm2, self.relu2, self.conv2, self.drop)
        return chain(h, self.conv1, self.drop)

    def steps(self) -> list[Step]:
        """Return norm-relu-conv, once or twice; nothing for a subclass, another join, or a layer with hooks."""
        changed = {"pre", "skip", "branch", "out"} & vars(self).keys()
        if type(self) is not DenseLayer or type(self.join) is not Concat or changed:
            return []
        if not (is_unwatched(self) and is_unwatched(self.join)):
            return []
        first: list[Any] = [self.norm1, self.relu1, self.conv1]
        second: list[Any] = [self.norm2, self.relu2, self.conv2] if self.has_bottleneck else []
        return [Step(*modules) for modules in (first, second) if modules]


class DenseBlock(Stage):
    """A sequence of dense layers. Each reads the input and the outputs of all layers before it.

    With checkpointing, each layer's new channels are stored once and concatenated again in the backward pass, so that memory grows
    linearly with depth instead of quadratically (arXiv 1707.06990, sec. 3). The backward pass repeats concatenations, norms and
    relus; with `checkpointing="max"` the 1x1 convolutions too, whose outputs are not stored. A layer with hooks inside, or other
    modules than a DenseNet's, is recomputed as a whole.

    Shapes:
        `(N, C_in, H, W)` -> `(N, C_in + sum of growths, H, W)`.

    Args:
        layers: the layers, first to last. The first channels of a join's output must be its skip, as in `Concat`.
    """

    def __init__(self, layers: Iterable[Block]) -> None:
        super().__init__(OrderedDict((f"denselayer{i}", layer) for i, layer in enumerate(layers, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers."""
        if not self.recomputes:
            return super().forward(x)
        pieces = [x]
        for layer in self:
            pieces.append(self._new_channels(layer, pieces))
        return torch.cat(pieces, 1)

    def _new_channels(self, layer: nn.Module, pieces: list[Tensor]) -> Tensor:
        """Return the channels that a layer adds to the concatenation of `pieces`."""
        if not isinstance(layer, DenseLayer) or not is_supported(steps := layer.steps(), pieces):
            return recompute(partial(_run_layer, layer), *pieces, module=layer)
        for part in [steps] if self.checkpointing == "max" else [[step] for step in steps]:
            pieces = [norm_relu_conv(part, pieces)]
        new: Tensor = layer.drop(pieces[0])
        return new


def _run_layer(layer: nn.Module, *pieces: Tensor) -> Tensor:
    """Return the channels that a layer adds to the concatenation of `pieces`."""
    x = torch.cat(pieces, 1)
    y: Tensor = layer(x)
    return y[:, x.shape[1] :].clone()  # a view would keep the whole of y


class Transition(Recomputing):
    """A transition between two dense blocks: norm-relu, 1x1 conv, 2x2 average pooling.

    Shapes:
        `(N, C_in, H, W)` -> `(N, C_out, H // 2, W // 2)`.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        layers: factory of the convolution and the norm.

    Source:
        arXiv 1608.06993, sec. 3: "pooling layers", "compression".
    """

    def __init__(self, in_channels: int, out_channels: int, *, layers: LayerFactory = BATCH_NORM) -> None:
        super().__init__()
        check_count("in_channels", in_channels, minimum=1)
        check_count("out_channels", out_channels, minimum=1)
        check_layers(layers)
        self.norm = layers.norm(in_channels)
        self.relu = nn.ReLU()
        self.conv = layers.conv(in_channels, out_channels, 1)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Run the modules; with checkpointing, the output of the relu is recomputed in the backward pass."""
        if not self.recomputes or [*self._modules] != ["norm", "relu", "conv", "pool"]:
            return super().forward(x)
        norm, relu, conv, pool = self.children()
        steps = [Step(norm, relu, conv)]  # type: ignore[arg-type]  # is_supported checks the types
        x = pool(norm_relu_conv(steps, [x])) if is_supported(steps, [x]) else super().forward(x)
        return x
