"""DenseNet: layers that read everything before them, and transitions between the stages."""

from collections import OrderedDict
from collections.abc import Iterator

from torch import nn

from resnetlib.config import DenseNetSpec
from resnetlib.modules import Backbone, Concat, DenseBlock, DenseLayer, Transition, init_he_
from resnetlib.modules.arguments import check_probability
from resnetlib.modules.join import stochastic_depth
from resnetlib.modules.layers import LAYERS
from resnetlib.modules.stage import Parts


class DenseNet(Backbone):
    """conv[-norm-relu], stages, norm-relu, pool, linear; a stage is [transition,] dense layers.

    The children are `features.(conv0 [norm0 relu0 pool0] denseblock1 transition1 denseblock2 ... norm5) relu avgpool head_drop
    classifier`; the bracketed ones belong to the large stem.

    Shapes:
        `(N, in_chans, H, W)` -> `(N, num_classes)`.

    Args:
        spec: the architecture.
        num_classes: logits; 0 for none, and then the pooled features are the output.
        in_chans: channels of the images.
        drop_path_rate: probability to leave out the last layer's branch while training, and in proportion the earlier ones'.
        drop_rate: probability of the dropout before the classifier.
        proj_drop_rate: probability of the dropout that ends each layer's branch (torchvision's `drop_rate`, timm's name).
        memory_efficient: keep only what the layers add in training, and compute the rest twice.

    Raises:
        ValueError: for numbers out of range.

    Source:
        arXiv 1608.06993; memory: arXiv 1707.06990.

    Example:
        >>> import torch
        >>> from resnetlib.models import DenseNetSpec
        >>> spec = DenseNetSpec(growth=4, depths=(2, 2), stem_width=8, stem="cifar")
        >>> DenseNet(spec, num_classes=10)(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 10])
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
        memory_efficient: bool = False,
    ) -> None:
        super().__init__(in_chans=in_chans, num_classes=num_classes)
        check_probability("proj_drop_rate", proj_drop_rate)
        self.spec = spec
        layers = LAYERS[spec.norm]
        joins = iter(stochastic_depth(Concat, sum(spec.depths), drop_path_rate=drop_path_rate))
        large = spec.stem == "imagenet"

        widths = spec.stage_widths()
        channels, reduction = spec.stem_width, 2 if large else 1
        features: OrderedDict[str, nn.Module] = OrderedDict()
        features["conv0"] = layers.conv(in_chans, channels, 7 if large else 3, stride=reduction)
        if large:
            features["norm0"] = layers.norm(channels)
            features["relu0"] = nn.ReLU()
        self.feature_info = [{"num_chs": channels, "reduction": reduction, "module": f"features.{next(reversed(features))}"}]
        if large:
            features["pool0"] = nn.MaxPool2d(3, stride=2, padding=1)
            reduction *= 2

        for i, depth in enumerate(spec.depths, 1):
            if i > 1:
                features[f"transition{i - 1}"] = Transition(channels, widths[i - 1], layers=layers)
                channels, reduction = widths[i - 1], reduction * 2
            dense = [
                DenseLayer(
                    channels + j * spec.growth,
                    spec.growth,
                    join=next(joins),
                    layers=layers,
                    bottleneck=spec.bottleneck,
                    drop=proj_drop_rate,
                )
                for j in range(depth)
            ]
            channels = dense[-1].out_channels
            features[f"denseblock{i}"] = DenseBlock(dense)
            self.feature_info.append({"num_chs": channels, "reduction": reduction, "module": f"features.denseblock{i}"})

        features["norm5"] = layers.norm(channels)
        self.features = nn.Sequential(features)
        self.relu = nn.ReLU()
        self.add_head(channels, drop_rate)
        self.smallest_input = smallest_input(spec)
        self.set_grad_checkpointing(memory_efficient)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw the weights anew."""
        init_he_(self)

    def stem(self) -> Parts:
        """Return conv0, in the large stem with norm and relu."""
        names = ("conv0", "norm0", "relu0") if self.spec.stem == "imagenet" else ("conv0",)
        return tuple(self.features.get_submodule(name) for name in names)

    def stages(self) -> tuple[Parts, ...]:
        """Return the dense blocks, each behind the pooling or the transition that shrinks its input."""
        before = ["pool0"] if self.spec.stem == "imagenet" else []
        stages = []
        for i in range(1, len(self.spec.depths) + 1):
            stages.append(tuple(self.features.get_submodule(name) for name in (*before, f"denseblock{i}")))
            before = [f"transition{i}"]
        return tuple(stages)

    def tail(self) -> Parts:
        """Return norm and relu."""
        return self.features.get_submodule("norm5"), self.relu

    def path(self) -> Iterator[nn.Module]:
        """Iterate over `features`, whole, and relu: so that a hook on `features` fires."""
        return iter((self.features, self.relu))


def smallest_input(spec: DenseNetSpec) -> int:
    """Return the least height and width that every pooling can still halve.

    Args:
        spec: the architecture.

    Returns:
        Pixels.

    Example:
        >>> smallest_input(DenseNetSpec(growth=32, depths=(6, 12, 24, 16), stem_width=64))
        29
    """
    size: int = 2 ** (len(spec.depths) - 1)
    if spec.stem == "imagenet":
        size = 2 * (2 * size - 1) - 1
    return size
