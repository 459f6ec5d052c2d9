"""PlainNet, ResNet and PreActResNet: one wiring for the networks whose stages keep their width."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar

from torch import nn

from resnetlib.config import BlockKind, JoinKind, Order, ResNetSpec
from resnetlib.errors import InputError
from resnetlib.modules import (
    Add,
    Backbone,
    BasicBlock,
    Block,
    Bottleneck,
    Join,
    PreActBasicBlock,
    PreActBottleneck,
    Replace,
    ScaledAdd,
    Stage,
    init_fixup_,
    init_he_,
    init_zero_residual_,
)
from resnetlib.modules.join import stochastic_depth
from resnetlib.modules.layers import FIXUP, LAYERS, LayerFactory
from resnetlib.modules.stage import Parts

JOINS: Mapping[JoinKind, type[Join]] = {"add": Add, "scaled_add": ScaledAdd, "replace": Replace}


class BlockNet(Backbone):
    """conv-norm-relu, stages, pool, linear; or where blocks are pre-activated: conv[-norm-relu], stages, norm-relu, pool, linear.

    The children are `conv1 [bn1 relu] [maxpool] layer1 layer2 ... [norm relu] avgpool head_drop fc`; where there are two relus, the
    stem's is `relu1`. To put a block of your own on this skeleton, subclass one of the networks and give it other `block_types`.

    Shapes:
        `(N, in_chans, H, W)` -> `(N, num_classes)`.

    Args:
        spec: the architecture.
        num_classes: logits; 0 for none, and then the pooled features are the output.
        in_chans: channels of the images.
        drop_path_rate: probability to leave out the last block's branch while training, and in proportion the earlier ones'.
        drop_rate: probability of the dropout before the classifier.
        memory_efficient: keep only the blocks' inputs in training, and compute the rest twice.

    Raises:
        ValueError: for a spec that is not this class's, and for numbers out of range.
    """

    spec: ResNetSpec

    joins: ClassVar[tuple[JoinKind, ...]]
    """The joins of which this class is the network."""

    orders: ClassVar[tuple[Order, ...]]
    """The orders of which this class is the network."""

    block_types: ClassVar[Mapping[tuple[Order, BlockKind], type[Block]]] = {
        ("post", "basic"): BasicBlock,
        ("post", "bottleneck"): Bottleneck,
        ("pre", "basic"): PreActBasicBlock,
        ("pre", "bottleneck"): PreActBottleneck,
    }
    """What is built for a spec's order and block."""

    smallest_input = 1

    def __init__(
        self,
        spec: ResNetSpec,
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_path_rate: float = 0.0,
        drop_rate: float = 0.0,
        memory_efficient: bool = False,
    ) -> None:
        if spec.join not in self.joins or spec.order not in self.orders:
            raise InputError(
                f"{type(self).__name__} is the network of join in {self.joins} and order in {self.orders}, "
                f"got join={spec.join!r} and order={spec.order!r}; build(spec) finds the class"
            )
        super().__init__(in_chans=in_chans, num_classes=num_classes)
        self.spec = spec
        layers = FIXUP if spec.init == "fixup" else LAYERS[spec.norm]
        joins = iter(stochastic_depth(JOINS[spec.join], sum(spec.depths), drop_path_rate=drop_path_rate))
        large, post = spec.stem == "imagenet", spec.order == "post"

        channels, reduction = spec.widths[0], 2 if large else 1
        self.conv1 = layers.conv(in_chans, channels, 7 if large else 3, stride=reduction)
        if post:
            self.bn1 = layers.norm(channels)
            self.relu = nn.ReLU()
        elif spec.stem_norm:
            self.bn1 = layers.norm(channels)
            self.relu1 = nn.ReLU()
        last = "relu" if post else "relu1" if spec.stem_norm else "conv1"
        self.feature_info = [{"num_chs": channels, "reduction": reduction, "module": last}]
        if large:
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
            reduction *= 2

        make_block = self._block_maker(layers)
        for i, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True), 1):
            stage = Stage()
            for j in range(depth):
                block = make_block(channels, width, stride=2 if i > 1 and j == 0 else 1, join=next(joins))
                channels, reduction = block.out_channels, reduction * block.stride
                stage.append(block)
            self.add_module(f"layer{i}", stage)
            self.feature_info.append({"num_chs": channels, "reduction": reduction, "module": f"layer{i}"})

        if not post:
            self.norm = layers.norm(channels)
            self.relu = nn.ReLU()
        self.add_head(channels, drop_rate)
        self.set_grad_checkpointing(memory_efficient)
        self.init_weights()

    def _block_maker(self, layers: LayerFactory) -> Callable[..., Block]:
        spec = self.spec
        block_type: Callable[..., Block] = self.block_types[spec.order, spec.block]
        make = partial(block_type, shortcut=spec.shortcut, layers=layers)
        if spec.block == "basic":
            return make
        return partial(make, groups=spec.groups, base_width=spec.base_width, stride_in=spec.stride_in)

    def init_weights(self) -> None:
        """Draw the weights anew, in the way that the spec names."""
        init_he_(self)
        if self.spec.init == "zero_init_residual":
            init_zero_residual_(self)
        elif self.spec.init == "fixup":
            init_fixup_(self)

    def stem(self) -> Parts:
        """Return conv1, with norm and relu where blocks are post-activated or the spec asks for them."""
        if self.spec.order == "post":
            return self.conv1, self.bn1, self.relu
        return (self.conv1, self.bn1, self.relu1) if self.spec.stem_norm else (self.conv1,)

    def stages(self) -> tuple[Parts, ...]:
        """Return the layers; the max pooling belongs to the first stage (arXiv 1512.03385, table 1, "conv2_x")."""
        first, *others = (self.get_submodule(f"layer{i}") for i in range(1, len(self.spec.depths) + 1))
        pool = (self.maxpool,) if self.spec.stem == "imagenet" else ()
        return ((*pool, first), *((layer,) for layer in others))

    def tail(self) -> Parts:
        """Return norm and relu where blocks are pre-activated."""
        return (self.norm, self.relu) if self.spec.order == "pre" else ()


class PlainNet(BlockNet):
    """A network without skip connections: y = relu(branch(x)).

    With the depths and widths of a ResNet it has that ResNet's parameters, less those of the projections.

    Source:
        arXiv 1512.03385, sec. 3.3, "plain network".

    Example:
        >>> import torch
        >>> from resnetlib.models import ResNetSpec
        >>> spec = ResNetSpec(block="basic", depths=(1, 1), widths=(8, 16), stem="cifar", join="replace")
        >>> PlainNet(spec, num_classes=10)(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    joins = ("replace",)
    orders = ("post", "pre")


class ResNet(BlockNet):
    """A residual network: y = relu(skip + branch(x)).

    Source:
        arXiv 1512.03385; ResNeXt is arXiv 1611.05431, wide ResNet arXiv 1605.07146.

    Example:
        >>> import torch
        >>> from resnetlib.models import ResNetSpec
        >>> spec = ResNetSpec(block="bottleneck", depths=(1, 1), widths=(8, 16), stem="cifar")
        >>> ResNet(spec, num_classes=0)(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 64])
    """

    joins = ("add", "scaled_add")
    orders = ("post",)


class PreActResNet(BlockNet):
    """A residual network with a clean skip path: y = x + branch(relu(norm(x))).

    Source:
        arXiv 1603.05027.

    Example:
        >>> import torch
        >>> from resnetlib.models import ResNetSpec
        >>> spec = ResNetSpec(block="basic", depths=(1, 1), widths=(8, 16), stem="cifar", order="pre")
        >>> [info["module"] for info in PreActResNet(spec).feature_info]
        ['conv1', 'layer1', 'layer2']
    """

    joins = ("add", "scaled_add")
    orders = ("pre",)
