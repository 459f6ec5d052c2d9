"""The backbone of every network: stem, stages, tail, head."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from operator import index
from typing import Any, ClassVar, Literal, TypedDict, TypeVar, get_args, overload

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from resnetlib.config import Preprocessing, PretrainedConfig, Spec
from resnetlib.config.integers import as_integer, check_count
from resnetlib.config.names import check_names
from resnetlib.config.spec import check_parameters
from resnetlib.errors import InputError, InputTypeError, printable
from resnetlib.modules.arguments import Indices, check_images, check_module, check_probability, select_indices
from resnetlib.modules.block import Block
from resnetlib.modules.stage import Checkpointing, Parts, run, set_checkpointing

Network = TypeVar("Network", bound=nn.Module)

torch.fx.wrap("check_images")  # symbolic tracing records the call, and does not look inside


Which = int | Sequence[int] | None
"""Indices of feature maps: one, several, or None for all."""

GlobalPool = Literal["avg", ""]
"""Pooling before the classifier: the average over the map, or none."""


class FeatureMapInfo(TypedDict):
    """Description of a feature map, with timm's keys: its channels, its stride, and the module that computes it."""

    num_chs: int
    reduction: int
    module: str


class FeatureInfo(list[FeatureMapInfo]):
    """Descriptions of feature maps, with the methods of timm's `FeatureInfo`.

    Example:
        >>> from resnetlib import create_model
        >>> info = create_model("resnet18", device="meta").feature_info
        >>> info.channels(), info.reduction(-1), info[0]["module"]
        ([64, 64, 128, 256, 512], 32, 'relu')
    """

    def get(self, key: str, idx: Which = None) -> Any:
        """Return the value of a key for the maps that `idx` selects; for an int, the value itself."""
        found = self.get_dicts([key], idx)
        return found[key] if isinstance(found, dict) else [info[key] for info in found]

    def get_dicts(self, keys: Sequence[str] | None = None, idx: Which = None) -> Any:
        """Return the descriptions that `idx` selects, reduced to `keys`; for an int, the description itself."""
        single = as_integer(idx) is not None
        try:
            several: Any = range(len(self)) if idx is None else [idx] if single else idx
            found: list[dict[str, Any]] = [{**self[index(i)]} for i in several]
        except (TypeError, IndexError) as error:
            raise InputError(f"idx must be an index or indices from {-len(self)} to {len(self) - 1}, got {idx!r:.200}") from error
        chosen = found if keys is None else [{key: info[key] for key in keys} for info in found]
        return chosen[0] if single else chosen

    def channels(self, idx: Which = None) -> Any:
        """Return the channels of maps."""
        return self.get("num_chs", idx)

    def reduction(self, idx: Which = None) -> Any:
        """Return the strides of maps: image pixels per pixel of the map."""
        return self.get("reduction", idx)

    def module_name(self, idx: Which = None) -> Any:
        """Return the names of the modules that compute maps."""
        return self.get("module", idx)


class Backbone(nn.Module, ABC):
    """Base class of all networks.

    It computes head(tail(stages(stem(x)))). Each family registers its children under torchvision's names. `stem`, `stages` and
    `tail` return them in the order that all families share, so that code for any network can use them. A stage starts with the
    module that reduces the resolution (max pooling, a transition or a strided block), as in the papers' tables.

    Shapes:
        `(N, in_chans, H, W)` -> `(N, num_classes)`, or `(N, num_features)` if `num_classes` is 0, or
        `(N, num_features, H', W')` if `global_pool` is "" too.

    Args:
        spec: the architecture.
        in_chans: channels of the images.
        num_classes: number of logits; 0 to return pooled features.
    """

    classifier_name: ClassVar[str] = "fc"
    """Name of the classifier module. `net.fc = nn.Linear(net.fc.in_features, k)` replaces it, as `reset_classifier` does."""

    spec: Spec
    """The architecture."""

    feature_info: FeatureInfo
    """The maps that `forward_intermediates` can return: the stem's, then each stage's."""

    num_features: int
    """Channels of the last map."""

    preprocess: Preprocessing | None
    """Turns images into inputs as the weights expect; None if unknown."""

    def __init__(self, spec: Spec, *, in_chans: int, num_classes: int) -> None:
        super().__init__()
        self.spec = spec
        self._in_chans = check_count("in_chans", in_chans, minimum=1)
        self._num_classes = check_count("num_classes", num_classes, minimum=0)
        self._names: tuple[tuple[str, ...] | None, nn.Module | None] = None, None
        self.preprocess = None
        self.pretrained_cfg = PretrainedConfig(name="", tag="", spec=spec)

    @property
    def in_chans(self) -> int:
        """Channels of the images: those of the first convolution."""
        first = next(iter(self.stem()), None)
        return getattr(first, "in_channels", self._in_chans)

    @property
    def smallest_input(self) -> int:
        """The smallest height and width of images, in pixels."""
        return self.spec.smallest_input

    @property
    def num_classes(self) -> int:
        """Number of logits: those of the classifier, which may be replaced; 0 without one."""
        classifier = self._modules.get(self.classifier_name)
        return self._num_classes if classifier is None else count_logits(classifier)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes; None if unknown, or if the layer that computes the logits was replaced."""
        names, layer = self._names
        if layer is None:
            return names
        kept = any(layer is module for module in self.get_classifier().modules())
        return names if kept and count_logits(layer) == self.num_classes else None

    @classes.setter
    def classes(self, names: Sequence[str] | None) -> None:
        names = None if names is None else check_names("classes", names)
        if names is not None and len(names) != self.num_classes:
            raise InputError(f"classes must be {self.num_classes} names, one for each logit, got {names!r:.200}")
        classifier = self._modules.get(self.classifier_name)
        self._names = names, None if classifier is None else last_layer(classifier)

    @property
    def pretrained_cfg(self) -> PretrainedConfig:
        """Description of the pretrained weights, with the network's preprocessing. For random weights, all else is unknown."""
        same = self.preprocess == self._pretrained_cfg.preprocess or not isinstance(self.preprocess, Preprocessing)
        return self._pretrained_cfg if same else replace(self._pretrained_cfg, preprocess=self.preprocess)

    @pretrained_cfg.setter
    def pretrained_cfg(self, cfg: PretrainedConfig) -> None:
        self._pretrained_cfg = cfg

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Reset `pretrained_cfg` and `classes` if another classifier is loaded, also into a module around the network."""
        own = self.get_classifier().state_dict(prefix=f"{prefix}{self.classifier_name}.")
        known = self.classes is not None and self.classes == self.pretrained_cfg.classes
        if known and not all(_same_values(tensor, state_dict.get(key, tensor)) for key, tensor in own.items()):
            self.forget_weights()
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forget_weights(self) -> None:
        """Reset `pretrained_cfg` and `classes` after the weights were replaced."""
        self.pretrained_cfg, self.classes = PretrainedConfig(name="", tag="", spec=self.spec), None

    @abstractmethod
    def stem(self) -> Parts:
        """Return the modules before the first stage."""

    @abstractmethod
    def stages(self) -> tuple[Parts, ...]:
        """Return the stages, each as a tuple of modules."""

    @abstractmethod
    def tail(self) -> Parts:
        """Return the modules between the last stage and pooling: norm and relu in pre-activation families, none in others."""

    def add_head(self, num_features: int, drop_rate: float, global_pool: GlobalPool) -> None:
        """Register the classifier at the end of a subclass's constructor, and set the options of the head."""
        check_probability("drop_rate", drop_rate)
        self.num_features = num_features
        self.drop_rate = float(drop_rate)
        self.global_pool = check_global_pool(global_pool, self.num_classes)
        self.add_module(self.classifier_name, make_classifier(num_features, self._num_classes))

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
            pre_logits: return the input of the classifier, `(N, num_features)`, instead.

        Returns:
            `(N, num_classes)`; the map itself, after dropout, if `global_pool` is "".
        """
        if self.global_pool:
            x = torch.flatten(self.pool(x), 1)
        if self.drop_rate:  # a function, as a module would be one more of the children that users count from the end
            x = functional.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.get_classifier()(x)

    def pool(self, x: Tensor) -> Tensor:
        """Average the last feature map: `(N, num_features, H', W')` -> `(N, num_features, 1, 1)`."""
        return functional.adaptive_avg_pool2d(x, (1, 1))

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

    @property
    def default_cfg(self) -> PretrainedConfig:
        """`pretrained_cfg`, by its old name in timm."""
        return self.pretrained_cfg

    @property
    def head_hidden_size(self) -> int:
        """Channels of the classifier's input, as timm calls them: `num_features`."""
        return self.num_features

    @abstractmethod
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return timm's patterns that sort parameters into layers, for learning rates that decay with depth.

        Args:
            coarse: a layer is a stage, instead of a block.

        Returns:
            Regular expressions by the name of a section, for `timm.models.group_parameters`.
        """

    def no_weight_decay(self) -> set[str]:
        """Return an empty set, for timm's optimizers: only biases and norms go without weight decay."""
        return set()

    def prune_intermediate_layers(self, indices: Indices = 1, prune_norm: bool = False, prune_head: bool = True) -> list[int]:
        """Replace the stages after the last requested map by identities.

        `num_features` becomes the channels of that map. As in timm, a head that does not fit them is replaced too.

        Args:
            indices: the maps to keep: an int n for the last n, a sequence of indices, or None for all.
            prune_norm: replace the tail too, if the last stage is kept; else it is replaced in any case, as it does not fit.
            prune_head: replace the head too, so that the network returns a map.

        Returns:
            The indices of the maps, in ascending order.
        """
        selected = select_indices(indices, len(self.feature_info))
        last, stages = max(selected), self.stages()
        names = {module: name for name, module in self.named_modules()}
        for part in chain(*stages[last:], self.tail() if prune_norm or last < len(stages) else ()):
            self.set_submodule(names[part], nn.Identity())
        self.num_features = self.feature_info[last]["num_chs"]
        if prune_head or getattr(self.get_classifier(), "in_features", self.num_features) != self.num_features:
            self.reset_classifier(0, "")
        return sorted(selected)

    @overload
    def get_classifier(self, name_only: Literal[False] = False) -> nn.Module: ...
    @overload
    def get_classifier(self, name_only: bool) -> nn.Module | str: ...
    def get_classifier(self, name_only: bool = False) -> nn.Module | str:
        """Return the classifier (an `Identity` if `num_classes` is 0), or its name."""
        return self.classifier_name if name_only else self.get_submodule(self.classifier_name)

    def reset_classifier(self, num_classes: int, global_pool: GlobalPool | None = None) -> None:
        """Replace the classifier by a new one on the same device, with the same dtype. `classes` becomes None.

        Args:
            num_classes: number of logits; 0 to return pooled features.
            global_pool: "avg", or "" to return the last feature map, for `num_classes=0` only; None to keep the present one.

        Raises:
            ValueError: if `num_classes` is negative or not an integer, or does not fit `global_pool`.
        """
        check_count("num_classes", num_classes, minimum=0)
        self.global_pool = check_global_pool(self.global_pool if global_pool is None else global_pool, num_classes)
        like = next(self.get_classifier().parameters(), next(self.parameters()))
        classifier = make_classifier(self.num_features, num_classes, device=like.device, dtype=like.dtype)
        setattr(self, self.classifier_name, classifier.train(self.training))
        self.classes = None

    def extra_repr(self) -> str:
        """Show the options of the head that no module shows."""
        return ", ".join(
            f"{name}={getattr(self, name)!r}"
            for name, default in (("drop_rate", 0.0), ("global_pool", "avg"))
            if getattr(self, name, default) != default
        )

    def set_grad_checkpointing(self, enable: Checkpointing = True) -> None:
        """Set what training recomputes in the backward pass, to need less memory.

        Args:
            enable: True to keep only the blocks' inputs, and in a DenseNet the outputs of its convolutions; "max" to recompute the
                1x1 convolutions of a DenseNet too (elsewhere the same as True); False to keep everything.

        Raises:
            ValueError: for another value.
        """
        set_checkpointing(self, enable)


def _same_values(old: Tensor, new: object) -> bool:
    """Return whether two tensors are equal; two on the meta device count as equal."""
    return isinstance(new, Tensor) and old.is_meta == new.is_meta and (old.is_meta or torch.equal(old, new.to(old)))


def last_layer(classifier: nn.Module) -> nn.Module:
    """Return the last linear layer of a classifier, or the classifier itself if it has none."""
    layers = [module for module in classifier.modules() if isinstance(getattr(module, "out_features", None), int)]
    return layers[-1] if layers else classifier


def count_logits(classifier: nn.Module) -> int:
    """Return the number of outputs of a classifier: of its last linear layer, or 0 if it has no weights."""
    size = getattr(last_layer(classifier), "out_features", None)
    sizes = [size] if isinstance(size, int) else [len(weight) for weight in classifier.parameters() if weight.ndim > 1]
    return sizes[-1] if sizes else 0


def unwrapped(net: nn.Module) -> nn.Module:
    """Unwrap torch.compile, DataParallel, DistributedDataParallel and AveragedModel, also nested."""
    check_module(net)
    parallel = isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel | AveragedModel)
    inner = net._modules.get("module" if parallel else "_orig_mod")
    return net if inner is None else unwrapped(inner)


def check_network(net: object, *, compiled: bool = True) -> Backbone:
    """Return a network of this library, out of `torch.compile` too. Raise TypeError for anything else."""
    inner = getattr(net, "_orig_mod", None)
    if isinstance(found := inner if compiled and inner is not None else net, Backbone):
        return found
    kind, advice = type(net).__name__, ""
    if inner is not None:
        advice = ": pass net._orig_mod, the network that was compiled"
    elif kind == "OptimizedNetwork":
        advice = ": pass the original network"
    elif isinstance(net, nn.Module) and isinstance(getattr(net, "module", None), Backbone):
        advice = ": unwrap it with net.module"
    raise InputTypeError(f"expected a network of this library, got {kind}{advice}")


def copy_network(net: Network, memo: dict[int, Any] | None = None, *, hooks: bool = True) -> Network:
    """Return a deep copy of a network, with or without its hooks; raise ValueError if hooks compute its weights, as in pruning."""
    try:
        copied = copy.deepcopy(net, memo)
    except RuntimeError as error:  # such weights are no leaves
        raise InputError(
            "the network cannot be copied, as its weights are computed by hooks: make the pruning or the normalization permanent "
            f"first (torch.nn.utils.prune.remove, torch.nn.utils.remove_weight_norm). {printable(error)}"
        ) from error
    if not hooks:
        for module in copied.modules():
            for kind in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks):
                kind.clear()
    return copied


def check_global_pool(global_pool: GlobalPool, num_classes: int) -> GlobalPool:
    """Return the pooling; raise ValueError if it is unknown, or gives the classifier a feature map."""
    if global_pool not in get_args(GlobalPool):
        raise InputError(f"global_pool must be 'avg', or '' for no pooling, got {global_pool!r}")
    if not global_pool and num_classes:
        raise InputError(
            f"global_pool='' returns the last feature map, and has no classifier: set num_classes=0, got {num_classes} "
            "(for a classifier, set global_pool='avg')"
        )
    return global_pool


def make_classifier(
    num_features: int, num_classes: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """Create a linear classifier, or an identity if there are no classes."""
    check_parameters("the classifier", num_features * num_classes)
    return nn.Linear(num_features, num_classes, device=device, dtype=dtype) if num_classes else nn.Identity()
