"""The backbone of every network: stem, stages, tail, head."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain
from typing import Any, ClassVar, Literal, TypedDict, overload

import torch
from torch import Tensor, nn

from resnetlib.config import Preprocessing, PretrainedConfig, Spec
from resnetlib.config.spec import check_parameters
from resnetlib.errors import InputError, InputTypeError
from resnetlib.modules.arguments import Indices, check_count, check_images, check_probability, select_indices
from resnetlib.modules.block import Block
from resnetlib.modules.stage import Parts, Stage, run

torch.fx.wrap("check_images")  # symbolic tracing records the call, and does not look inside


class FeatureInfo(TypedDict):
    """A feature map of a network, as in timm: its channels, its stride, and the module that computes it."""

    num_chs: int
    reduction: int
    module: str


class Backbone(nn.Module, ABC):
    """head(tail(stages(stem(x)))).

    Each family registers its children under torchvision's names. `stem`, `stages` and `tail` return them in the order that all
    families share, so that code for any network can use them. A stage starts with the module that reduces the resolution (max
    pooling, a transition or a strided block), as in the papers' tables.

    Shapes:
        `(N, in_chans, H, W)` -> `(N, num_classes)`, or `(N, num_features)` where `num_classes` is 0.

    Args:
        in_chans: channels of the images.
        num_classes: number of logits; 0 to return pooled features.
    """

    classifier_name: ClassVar[str] = "fc"
    """Name of the classifier module. `net.fc = nn.Linear(net.fc.in_features, k)` replaces it, as `reset_classifier` does."""

    spec: Spec
    """The architecture."""

    feature_info: list[FeatureInfo]
    """The maps that `forward_intermediates` can return: the stem's, then each stage's."""

    num_features: int
    """Channels of the last map."""

    smallest_input: int
    """Minimum height and width of the input."""

    preprocess: Preprocessing | None
    """Turns images into inputs as the weights expect; None if unknown."""

    classes: tuple[str, ...] | None
    """Names of the classes; None if unknown."""

    pretrained_cfg: PretrainedConfig | None
    """Description of the pretrained weights; None for random weights."""

    def __init__(self, *, in_chans: int, num_classes: int) -> None:
        super().__init__()
        self.in_chans = check_count("in_chans", in_chans, least=1)
        self.num_classes = check_count("num_classes", num_classes, least=0)
        self.preprocess = self.classes = self.pretrained_cfg = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute. A new classifier sets `num_classes`, and `classes` to None; one that wraps the old one keeps them."""
        old = self.__dict__.get("_modules", {}).get(name) if name == self.classifier_name else None
        super().__setattr__(name, value)
        if old is not None and isinstance(value, nn.Module):
            logits = count_logits(value)
            wraps = any(module is old for module in value.modules()) or any(module is value for module in old.modules())
            if not (wraps and logits == self.num_classes):
                self.num_classes, self.classes = logits, None

    @abstractmethod
    def stem(self) -> Parts:
        """Return the modules before the first stage."""

    @abstractmethod
    def stages(self) -> tuple[Parts, ...]:
        """Return the stages, each as a tuple of modules."""

    @abstractmethod
    def tail(self) -> Parts:
        """Return the modules between the last stage and pooling: norm and relu in pre-activation families, none in others."""

    def add_head(self, num_features: int, drop_rate: float) -> None:
        """Register pooling, dropout and classifier, at the end of a subclass's constructor."""
        check_probability("drop_rate", drop_rate)
        self.num_features = num_features
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.head_drop = nn.Dropout(drop_rate)
        self.add_module(self.classifier_name, make_classifier(num_features, self.num_classes))

    def path(self) -> Iterator[nn.Module]:
        """Iterate over the registered children that compute the features, in order of execution."""
        return chain(self.stem(), *self.stages(), self.tail())

    def blocks(self) -> Iterator[Block]:
        """Iterate over the blocks of all stages, in order of execution."""
        parts = (part for stage in self.stages() for part in stage)
        return (module for part in parts for module in part.modules() if isinstance(module, Block))

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits, or pooled features if `num_classes` is 0."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Compute the last feature map, `(N, num_features, H', W')`."""
        check_images(x, self.in_chans, self.smallest_input)
        return run(self.path(), x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Compute logits from the last feature map.

        Args:
            x: output of `forward_features`, `(N, num_features, H', W')`.
            pre_logits: return the pooled features, `(N, num_features)`, instead.

        Returns:
            `(N, num_classes)`.
        """
        x = self.head_drop(torch.flatten(self.avgpool(x), 1))
        return x if pre_logits else self.get_classifier()(x)

    @overload
    def forward_intermediates(
        self, x: Tensor, indices: Indices = ..., norm: bool = ..., stop_early: bool = ..., output_fmt: Literal["NCHW"] = ...
    ) -> tuple[Tensor, list[Tensor]]: ...
    @overload
    def forward_intermediates(
        self, x: Tensor, indices: Indices = ..., norm: bool = ..., stop_early: bool = ..., *, intermediates_only: Literal[True]
    ) -> list[Tensor]: ...
    def forward_intermediates(
        self,
        x: Tensor,
        indices: Indices = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: Literal["NCHW"] = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Compute the maps that `feature_info` lists.

        Args:
            x: images, `(N, in_chans, H, W)`.
            indices: the maps to return: an int n for the last n, a sequence of indices, or None for all.
            norm: apply the tail to the last stage's map.
            stop_early: stop after the last requested map.
            output_fmt: "NCHW", the only format.
            intermediates_only: return the list of maps only.

        Returns:
            The output of `forward_features` (or of the stage where the network stopped), and the maps in order of execution.

        Raises:
            ValueError: if an index is out of range, or the format is not "NCHW".
        """
        if output_fmt != "NCHW":
            raise InputError(f"output_fmt must be 'NCHW', got {output_fmt!r}")
        check_images(x, self.in_chans, self.smallest_input)
        selected = select_indices(indices, len(self.feature_info))
        sections = (self.stem(), *self.stages())
        maps = []
        for i, section in enumerate(sections[: max(selected) + 1] if stop_early else sections):
            x = before_tail = run(section, x)
            if i == len(sections) - 1:
                x = run(self.tail(), x)
            if i in selected:
                maps.append(x if norm else before_tail)
        return maps if intermediates_only else (x, maps)

    @property
    def output_stride(self) -> int:
        """Stride of the last map: image pixels per pixel of the map."""
        return self.feature_info[-1]["reduction"]

    def get_classifier(self) -> nn.Module:
        """Return the classifier: a `Linear`, or an `Identity` if `num_classes` is 0."""
        return self.get_submodule(self.classifier_name)

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a new one on the same device, with the same dtype. `classes` becomes None.

        Args:
            num_classes: number of logits; 0 to return pooled features.
        """
        check_count("num_classes", num_classes, least=0)
        like = next(self.get_classifier().parameters(), next(self.parameters()))
        classifier = make_classifier(self.num_features, num_classes, device=like.device, dtype=like.dtype)
        setattr(self, self.classifier_name, classifier.train(self.training))
        self.num_classes = num_classes
        self.classes = None

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """In training, keep only the blocks' inputs and recompute the rest in the backward pass: less memory, more time."""
        for module in self.modules():
            if isinstance(module, Stage):
                module.checkpointing = enable


def count_logits(classifier: nn.Module) -> int:
    """Return the number of outputs of a classifier: of its last linear layer, or 0 if it has no weights."""
    features = (getattr(module, "out_features", None) for module in classifier.modules())
    sizes = [size for size in features if isinstance(size, int)]
    sizes = sizes or [len(parameter) for parameter in classifier.parameters() if parameter.ndim > 1]
    return sizes[-1] if sizes else 0


def check_network(net: object, *, compiled: bool = True) -> None:
    """Raise TypeError unless `net` is a Backbone; `compiled` accepts a compiled one too."""
    if not isinstance(getattr(net, "_orig_mod", net) if compiled else net, Backbone):
        raise InputTypeError(f"expected a network of this library, got {type(net).__name__}; for a wrapper, pass net.module")


def make_classifier(
    num_features: int, num_classes: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """Create a linear classifier, or an identity if there are no classes."""
    check_parameters("the classifier", num_features * num_classes)
    return nn.Linear(num_features, num_classes, device=device, dtype=dtype) if num_classes else nn.Identity()
