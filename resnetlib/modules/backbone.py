"""The one skeleton of every network: stem, stages, tail, head."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain
from typing import ClassVar, Literal, TypedDict, overload

import torch
from torch import Tensor, nn

from resnetlib.config import Preprocessing, PretrainedConfig, Spec
from resnetlib.config.spec import check_parameters
from resnetlib.modules.arguments import Indices, check_count, check_images, check_probability, wanted_indices
from resnetlib.modules.block import Block
from resnetlib.modules.parts import Parts, run
from resnetlib.modules.stage import Stage

torch.fx.wrap("check_images")  # symbolic tracing records the call, and does not look inside


class FeatureInfo(TypedDict):
    """A feature map that a network offers, in timm's words: its channels, its stride, the module that makes it."""

    num_chs: int
    reduction: int
    module: str


class Backbone(nn.Module, ABC):
    """head(tail(stages(stem(x)))).

    The names of the registered children are torchvision's, and each family has its own. `stem`, `stages` and `tail` are views of
    those children in the one order that all families share; whatever works on networks works on these views. A stage starts with
    what shrinks the map (the max pooling, a transition; the strided block of the later residual stages), as in the papers' tables.

    Shapes:
        `(N, in_chans, H, W)` -> `(N, num_classes)`, or `(N, num_features)` where `num_classes` is 0.

    Args:
        in_chans: channels of the images.
        num_classes: logits; 0 for none, so that the network returns pooled features.

    Raises:
        ValueError: for no channels, or fewer than no classes.
    """

    classifier_name: ClassVar[str] = "fc"
    """The registered name of the classifier."""

    spec: Spec
    """The architecture, as a family describes it."""

    feature_info: list[FeatureInfo]
    """The maps that `forward_intermediates` can return: the stem's, then every stage's."""

    num_features: int
    """Channels of the last map."""

    smallest_input: int
    """The least height and width of which a map is left at the end."""

    preprocess: Preprocessing | None
    """Turns an image into an input, as the weights were evaluated; None where that is not known."""

    classes: tuple[str, ...] | None
    """What the logits stand for; None where that is not known."""

    pretrained_cfg: PretrainedConfig | None
    """What is known of the weights that the network began with; None for random ones."""

    def __init__(self, *, in_chans: int, num_classes: int) -> None:
        super().__init__()
        check_count("in_chans", in_chans, least=1)
        check_count("num_classes", num_classes, least=0)
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.preprocess = None
        self.classes = None
        self.pretrained_cfg = None

    @abstractmethod
    def stem(self) -> Parts:
        """What comes before the first stage."""

    @abstractmethod
    def stages(self) -> tuple[Parts, ...]:
        """The stages, each as its parts."""

    @abstractmethod
    def tail(self) -> Parts:
        """What follows the last stage, before pooling: the final norm and relu of pre-activated families, nothing in others."""

    def add_head(self, num_features: int, drop_rate: float) -> None:
        """Register pooling, dropout and classifier; the last step of a subclass's constructor.

        Args:
            num_features: channels of the last map.
            drop_rate: probability of the dropout.

        Raises:
            ValueError: for a probability out of range.
        """
        check_probability("drop_rate", drop_rate)
        self.num_features = num_features
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.head_drop = nn.Dropout(drop_rate)
        self.add_module(self.classifier_name, make_classifier(num_features, self.num_classes))

    def path(self) -> Iterator[nn.Module]:
        """Iterate over the registered children that make the features, in the order in which they run."""
        return chain(self.stem(), *self.stages(), self.tail())

    def blocks(self) -> Iterator[Block]:
        """Iterate over the blocks of all stages, in the order in which they run."""
        parts = (part for stage in self.stages() for part in stage)
        return (module for part in parts for module in part.modules() if isinstance(module, Block))

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits, or pooled features where `num_classes` is 0."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Compute the last feature map, `(N, num_features, H', W')`."""
        check_images(x, self.in_chans, self.smallest_input)
        for part in self.path():
            x = part(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Compute logits from the last feature map.

        Args:
            x: what `forward_features` returns.
            pre_logits: return the pooled features, `(N, num_features)`, instead.

        Returns:
            `(N, num_classes)`.
        """
        x = self.head_drop(torch.flatten(self.avgpool(x), 1))
        return x if pre_logits else self.get_classifier()(x)

    @overload
    def forward_intermediates(
        self,
        x: Tensor,
        indices: Indices = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: Literal["NCHW"] = "NCHW",
        intermediates_only: Literal[False] = False,
    ) -> tuple[Tensor, list[Tensor]]: ...

    @overload
    def forward_intermediates(
        self,
        x: Tensor,
        indices: Indices = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: Literal["NCHW"] = "NCHW",
        *,
        intermediates_only: Literal[True],
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
            indices: which of them: the last so many, or their numbers (negative ones count from the end), or None for all.
            norm: put the last stage's map through the tail.
            stop_early: run no further than the last of them.
            output_fmt: "NCHW", the one format of convolutional networks.
            intermediates_only: leave out the last feature map.

        Returns:
            What `forward_features` returns (or how far the network ran), and the list of maps, in the order of the network.

        Raises:
            ValueError: for a map that there is not, and for another format.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be 'NCHW', got {output_fmt!r}")
        check_images(x, self.in_chans, self.smallest_input)
        wanted = wanted_indices(indices, len(self.feature_info))
        sections = (self.stem(), *self.stages())
        last = len(sections) - 1
        maps = []
        for i, section in enumerate(sections):
            if stop_early and i > max(wanted):
                break
            x = run(section, x)
            final = run(self.tail(), x) if i == last else x
            if i in wanted:
                maps.append(final if norm else x)
            x = final
        return maps if intermediates_only else (x, maps)

    @property
    def output_stride(self) -> int:
        """Pixels of the image for a pixel of the last map."""
        return self.feature_info[-1]["reduction"]

    def get_classifier(self) -> nn.Module:
        """Return the last layer: a `Linear`, or an `Identity` where `num_classes` is 0."""
        return self.get_submodule(self.classifier_name)

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new classifier in the place of the old one, of its device and dtype; what the logits stand for is then unknown.

        Args:
            num_classes: logits; 0 for none.

        Raises:
            ValueError: for fewer than 0.
        """
        check_count("num_classes", num_classes, least=0)
        like = next(self.get_classifier().parameters(), next(self.parameters()))
        classifier = make_classifier(self.num_features, num_classes, device=like.device, dtype=like.dtype)
        setattr(self, self.classifier_name, classifier.train(self.training))
        self.num_classes = num_classes
        self.classes = None

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the blocks' inputs in training, and compute the rest twice: less memory for more time.

        Args:
            enable: False to switch it off again.
        """
        for module in self.modules():
            if isinstance(module, Stage):
                module.checkpointing = enable


def check_network(net: object, *, compiled: bool = True) -> None:
    """Raise TypeError unless this is a network of the library; by default it may be compiled."""
    if not isinstance(getattr(net, "_orig_mod", net) if compiled else net, Backbone):
        raise TypeError(f"expected a network of this library, got {type(net).__name__}; of a wrapper, give net.module")


def make_classifier(
    num_features: int, num_classes: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """Make a linear classifier, or the identity where there are no classes."""
    check_parameters("the classifier", num_features * num_classes)
    return nn.Linear(num_features, num_classes, device=device, dtype=dtype) if num_classes else nn.Identity()
