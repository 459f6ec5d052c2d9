"""Build a PlainNet, ResNet or PreActResNet from its spec. `entrypoints.py` has the named ones."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from resnetlib.config import BlockKind, JoinKind, Order, ResNetSpec
from resnetlib.errors import InputError, InputTypeError
from resnetlib.modules import (
    Add,
    Backbone,
    BasicBlock,
    Block,
    Bottleneck,
    FeatureInfo,
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
from resnetlib.modules.backbone import GlobalPool
from resnetlib.modules.join import stochastic_depth
from resnetlib.modules.layers import FIXUP, LAYERS
from resnetlib.modules.stage import Checkpointing, Parts

JOINS: Mapping[JoinKind, type[Join]] = {"add": Add, "scaled_add": ScaledAdd, "replace": Replace}


class BlockNet(Backbone):
    """Base class of PlainNet, ResNet and PreActResNet: conv-norm-relu, stages, pool, linear.

    With pre-activation blocks it is conv[-norm-relu], stages, norm-relu, pool, linear. The children are `conv1 [bn1 relu]
    [maxpool] layer1 layer2 ... [norm relu] avgpool fc`. A pre-activation network calls the relu of its stem `relu1`. The arguments
    are those of `resnetlib.build`. To use a block of your own, subclass one of the networks and change `block_types`.

    Shapes:
        `(N, in_chans, H, W)` -> `(N, num_classes)`.
    """

    spec: ResNetSpec

    block_types: ClassVar[Mapping[tuple[Order, BlockKind], type[Block]]] = {
        ("post", "basic"): BasicBlock,
        ("post", "bottleneck"): Bottleneck,
        ("pre", "basic"): PreActBasicBlock,
        ("pre", "bottleneck"): PreActBottleneck,
    }
    """The block for each order and kind of the spec."""

    def __init__(
        self,
        spec: ResNetSpec,
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_path_rate: float = 0.0,
        drop_rate: float = 0.0,
        memory_efficient: Checkpointing = False,
        global_pool: GlobalPool = "avg",
    ) -> None:
        if not isinstance(self, expected := class_of(spec)):
            got = f"join={spec.join!r} and order={spec.order!r}"
            raise InputError(f"{got} make a {expected.__name__}, not a {type(self).__name__}: build(spec) finds the class")
        super().__init__(spec, in_chans=in_chans, num_classes=num_classes)
        large, post = spec.stem == "imagenet", spec.order == "post"
        layers = FIXUP if spec.init == "fixup" else LAYERS[spec.norm]
        joins = iter(stochastic_depth(JOINS[spec.join], sum(spec.depths), drop_path_rate=drop_path_rate))

        channels, reduction = spec.widths[0], 2 if large else 1
        self.conv1 = layers.conv(self._in_chans, channels, 7 if large else 3, stride=reduction)
        if post:
            self.bn1, self.relu = layers.norm(channels), nn.ReLU()
        elif spec.stem_norm:
            self.bn1, self.relu1 = layers.norm(channels), nn.ReLU()
        last = "relu" if post else "relu1" if spec.stem_norm else "conv1"
        self.feature_info = FeatureInfo([{"num_chs": channels, "reduction": reduction, "module": last}])
        if large:
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
            reduction *= 2

        make_block: Callable[..., Block] = self.block_types[spec.order, spec.block]
        options: dict[str, Any] = {"shortcut": spec.shortcut, "layers": layers}
        if spec.block == "bottleneck":
            options |= {"groups": spec.groups, "base_width": spec.base_width, "stride_in": spec.stride_in}
        for i, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True), 1):
            stage = Stage()
            for j in range(depth):
                block = make_block(channels, width, stride=2 if i > 1 and j == 0 else 1, join=next(joins), **options)
                channels, reduction = block.out_channels, reduction * block.stride
                stage.append(block)
            self.add_module(f"layer{i}", stage)
            self.feature_info.append({"num_chs": channels, "reduction": reduction, "module": f"layer{i}"})

        if not post:
            self.norm, self.relu = layers.norm(channels), nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.add_head(channels, drop_rate, global_pool)
        self.set_grad_checkpointing(memory_efficient)
        self.init_weights()

    def init_weights(self) -> None:
        """Initialize all weights as the spec says."""
        init_he_(self)
        if self.spec.init == "zero_init_residual":
            init_zero_residual_(self)
        elif self.spec.init == "fixup":
            init_fixup_(self)

    def stem(self) -> Parts:
        """Return conv1, followed by norm and relu in post-activation networks or if the spec says so."""
        if self.spec.order == "post":
            return self.conv1, self.bn1, self.relu
        return (self.conv1, self.bn1, self.relu1) if self.spec.stem_norm else (self.conv1,)

    def stages(self) -> tuple[Parts, ...]:
        """Return layer1, layer2 ...; max pooling belongs to the first stage (arXiv 1512.03385, table 1, "conv2_x")."""
        first, *others = (self.get_submodule(f"layer{i}") for i in range(1, len(self.spec.depths) + 1))
        pool = (self.maxpool,) if self.spec.stem == "imagenet" else ()
        return ((*pool, first), *((layer,) for layer in others))

    def tail(self) -> Parts:
        """Return norm and relu in pre-activation networks."""
        return (self.norm, self.relu) if self.spec.order == "pre" else ()

    @property
    def inplanes(self) -> int:
        """Channels of the last stage, as torchvision's detectors ask for them."""
        return self.num_features

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return timm's patterns: the stem, blocks or stages; the last norm belongs to the last block, or to the head."""
        if coarse:
            return {"stem": r"^(?:conv1|bn1)\.", "blocks": r"^layer(\d+)\."}
        return {"stem": r"^(?:conv1|bn1)\.", "blocks": [(r"^layer(\d+)\.(\d+)\.", None), (r"^norm\.", (99999,))]}

    def pool(self, x: Tensor) -> Tensor:
        """Run `avgpool`."""
        y: Tensor = self.avgpool(x)
        return y


class PlainNet(BlockNet):
    """A network without skip connections: y = relu(branch(x)).

    Source:
        arXiv 1512.03385, sec. 3.3, "plain network".

    Example:
        >>> import torch
        >>> from resnetlib.models import ResNetSpec
        >>> spec = ResNetSpec(block="basic", depths=(1, 1), widths=(8, 16), stem="cifar", join="replace")
        >>> PlainNet(spec, num_classes=10)(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """


class ResNet(BlockNet):
    """A residual network: y = relu(skip + branch(x)).

    Source:
        arXiv 1512.03385; ResNeXt: arXiv 1611.05431; wide ResNet: arXiv 1605.07146.
    """


class PreActResNet(BlockNet):
    """A pre-activation residual network: y = skip + branch(relu(norm(x))).

    Source:
        arXiv 1603.05027.
    """


def class_of(spec: ResNetSpec) -> type[BlockNet]:
    """Return the class of a spec's network."""
    if not isinstance(spec, ResNetSpec):
        raise InputTypeError(f"spec must be a ResNetSpec, got {type(spec).__name__}")
    if spec.join == "replace":
        return PlainNet
    return PreActResNet if spec.order == "pre" else ResNet
