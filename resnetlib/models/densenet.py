"""Build a DenseNet from its spec. `entrypoints.py` has the named ones."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from torch import nn

from resnetlib.config import DenseNetSpec
from resnetlib.modules import Backbone, Concat, DenseBlock, DenseLayer, FeatureInfo, Transition, init_he_
from resnetlib.modules.arguments import check_probability
from resnetlib.modules.backbone import GlobalPool
from resnetlib.modules.join import stochastic_depth
from resnetlib.modules.layers import LAYERS
from resnetlib.modules.stage import Checkpointing, Parts, Sequential


class DenseNet(Backbone):
    """A DenseNet: conv[-norm-relu], stages of [transition,] dense layers, norm-relu, pool, linear.

    The children are `features.(conv0 [norm0 relu0 pool0] denseblock1 transition1 denseblock2 ... norm5 relu5) classifier`; those in
    brackets belong to the ImageNet stem. As in timm, `features` ends with the relu that torchvision applies to its output. The
    arguments are those of `resnetlib.build`.

    Shapes:
        `(N, in_chans, H, W)` -> `(N, num_classes)`.

    Source:
        arXiv 1608.06993; memory: arXiv 1707.06990.
    """

    spec: DenseNetSpec
    classifier_name = "classifier"

    def __init__(
        self,
        spec: DenseNetSpec,
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_path_rate: float = 0.0,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        memory_efficient: Checkpointing = False,
        global_pool: GlobalPool = "avg",
    ) -> None:
        super().__init__(spec, in_chans=in_chans, num_classes=num_classes)
        check_probability("proj_drop_rate", proj_drop_rate)
        large = spec.stem == "imagenet"
        layers = LAYERS[spec.norm]
        joins = iter(stochastic_depth(Concat, sum(spec.depths), drop_path_rate=drop_path_rate))

        channels, reduction = spec.stem_width, 2 if large else 1
        features: OrderedDict[str, nn.Module] = OrderedDict()
        features["conv0"] = layers.conv(self._in_chans, channels, 7 if large else 3, stride=reduction)
        if large:
            features["norm0"] = layers.norm(channels)
            features["relu0"] = nn.ReLU()
        self.feature_info = FeatureInfo(
            [{"num_chs": channels, "reduction": reduction, "module": f"features.{next(reversed(features))}"}]
        )
        if large:
            features["pool0"] = nn.MaxPool2d(3, stride=2, padding=1)
            reduction *= 2

        options: dict[str, Any] = {"layers": layers, "bottleneck": spec.bottleneck, "drop": proj_drop_rate}
        for i, (depth, width) in enumerate(zip(spec.depths, spec.stage_widths(), strict=True), 1):
            if i > 1:
                features[f"transition{i - 1}"] = Transition(channels, width, layers=layers)
                channels, reduction = width, reduction * 2
            block = DenseBlock(
                DenseLayer(channels + j * spec.growth, spec.growth, join=next(joins), **options) for j in range(depth)
            )
            channels += depth * spec.growth
            features[f"denseblock{i}"] = block
            self.feature_info.append({"num_chs": channels, "reduction": reduction, "module": f"features.denseblock{i}"})

        features["norm5"] = layers.norm(channels)
        features["relu5"] = nn.ReLU()
        self.features = Sequential(features)
        self.add_head(channels, drop_rate, global_pool)
        self.set_grad_checkpointing(memory_efficient)
        self.init_weights()

    def init_weights(self) -> None:
        """Initialize all weights as torchvision does: He initialization by fan-in, and a zero bias in the classifier."""
        init_he_(self, mode="fan_in")
        if isinstance(bias := getattr(self.get_classifier(), "bias", None), nn.Parameter):
            nn.init.zeros_(bias)

    def stem(self) -> Parts:
        """Return conv0, followed by norm and relu in the ImageNet stem."""
        names = ("conv0", "norm0", "relu0") if self.spec.stem == "imagenet" else ("conv0",)
        return tuple(self.features.get_submodule(name) for name in names)

    def stages(self) -> tuple[Parts, ...]:
        """Return the dense blocks, each after the pooling or the transition before it."""
        before = ["pool0"] if self.spec.stem == "imagenet" else []
        stages = []
        for i in range(1, len(self.spec.depths) + 1):
            stages.append(tuple(self.features.get_submodule(name) for name in (*before, f"denseblock{i}")))
            before = [f"transition{i}"]
        return tuple(stages)

    def tail(self) -> Parts:
        """Return norm and relu."""
        return self.features.get_submodule("norm5"), self.features.get_submodule("relu5")

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return timm's patterns: the stem, layers or dense blocks, each with the transition after it; the rest is the head."""
        stem = r"^features\.(?:conv0|norm0)\."
        if coarse:
            return {"stem": stem, "blocks": r"^features\.(?:denseblock|transition)(\d+)\."}
        layers = (r"^features\.denseblock(\d+)\.denselayer(\d+)\.", None)
        return {"stem": stem, "blocks": [layers, (r"^features\.transition(\d+)\.", (99999,))]}

    def path(self) -> Iterator[nn.Module]:
        """Iterate over `features` alone, which is called as a whole, so that its hooks fire."""
        return iter((self.features,))
