"""Create networks by name, with or without weights."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, cast, overload

import torch

from resnetlib.config import PretrainedConfig
from resnetlib.config.integers import check_count
from resnetlib.disk import local_path
from resnetlib.errors import InputError, InputTypeError
from resnetlib.features import Pyramid
from resnetlib.models import Spec, build
from resnetlib.models.catalog import SPECS, Filters, select
from resnetlib.models.foreign_options import check_keywords
from resnetlib.modules import Backbone
from resnetlib.modules.arguments import Indices, check_device, check_dtype, select_indices
from resnetlib.modules.backbone import GlobalPool
from resnetlib.modules.stage import Checkpointing
from resnetlib.weights.catalog import describe, list_pretrained, tags_of
from resnetlib.weights.dialects.compare import name_of
from resnetlib.weights.find import Found, WeightsLike, find, recognize, resolve
from resnetlib.weights.load import InputRule, adapt_channels, assign_state, check_rule
from resnetlib.weights.save import push_to_hub, save_model

__all__ = [
    "create_model",
    "get_model",
    "get_model_weights",
    "is_model",
    "list_models",
    "list_pretrained",
    "load_file",
    "push_to_hub",
    "save_model",
]


class ModelOptions(TypedDict, total=False):
    """The keyword arguments of `create_model`, and of each network's function."""

    weights: WeightsLike | None
    checkpoint_path: str | os.PathLike[str] | None
    dialect: str | None
    prefix: str | None
    num_classes: int | None
    in_chans: int | None
    input_rule: InputRule | None
    drop_path_rate: float | None
    drop_rate: float | None
    proj_drop_rate: float | None
    global_pool: GlobalPool | None
    memory_efficient: Checkpointing
    output_stride: int | None
    device: torch.device | str | int | None
    dtype: torch.dtype | None
    channels_last: bool
    mmap: bool | None


KEYWORDS = ("pretrained", *ModelOptions.__annotations__, "features_only", "out_indices")


@overload
def create_model(
    name: str | os.PathLike[str],
    pretrained: bool = ...,
    *,
    features_only: Literal[True],
    out_indices: Indices = ...,
    **options: Unpack[ModelOptions],
) -> Pyramid: ...
@overload
def create_model(
    name: str | os.PathLike[str], pretrained: bool = ..., *, features_only: Literal[False] = ..., **options: Unpack[ModelOptions]
) -> Backbone: ...
def create_model(
    name: str | os.PathLike[str] | None = None,
    pretrained: bool = False,
    *,
    weights: WeightsLike | None = None,
    checkpoint_path: str | os.PathLike[str] | None = None,
    dialect: str | None = None,
    prefix: str | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    input_rule: InputRule | None = None,
    features_only: bool = False,
    out_indices: Indices = None,
    drop_path_rate: float | None = 0.0,
    drop_rate: float | None = 0.0,
    proj_drop_rate: float | None = 0.0,
    global_pool: GlobalPool | None = "avg",
    memory_efficient: Checkpointing = False,
    output_stride: int | None = None,
    device: torch.device | str | int | None = None,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
    mmap: bool | None = None,
    **foreign: object,
) -> Backbone | Pyramid:
    """Create a network by its name, with or without weights.

    Args:
        name: of a network (`resnet50`; see `list_models`), randomly initialized without `pretrained` and `weights`; of a network
            and its weights (`resnet50.tv2_in1k`; see `list_pretrained`); `hf-hub:org/name@revision`; a URL; or the path of a
            folder with config.json, or of a file. A path object or `./` before a path tells it from a network of that name.
        pretrained: load the default weights of the named network, the first of `resnetlib.weights.tags_of(name)`. Which these are
            is logged at level INFO, by the logger "resnetlib".
        weights: for the name of a network: a tag; torchvision's name ("DEFAULT", "IMAGENET1K_V2") or enum member for one; the path
            of a file (safetensors or `torch.save`, in any dialect); or a URL whose file name ends with a hash, as torch.hub has
            it, or that ends with `#sha256=<hash>`.
        checkpoint_path: the path of a file, as in timm; never taken for a tag.
        dialect: of the tensors' names in a file; None to detect it.
        prefix: of the network's names in a file that holds several networks, such as "encoder_q".
        num_classes: number of logits; 0 for pooled features; None for that of the weights, or without weights 1000 for ImageNet
            names and 10 for `cifar_` names. If it differs from the weights', the network gets a new classifier.
        in_chans: number of input channels; None for that of the weights, or 3. If it differs from the weights', the first
            convolution is adapted, and so are the mean and std of `preprocess`.
        input_rule: how to adapt the first convolution: "sum", "repeat", "zeros" or a function (`resnetlib.weights.adapt_input`);
            None is "sum" for one channel, else "repeat".
        features_only: return a module that computes the maps of several stages, as a list, and has timm's `feature_info`. As in
            timm, the last map of a DenseNet comes after its last norm and relu.
        out_indices: for `features_only`: the maps, from 0 for the stem's; or a number of last maps; None for all.
        drop_path_rate: probability to drop the last block's branch in training; it grows linearly over the blocks.
        drop_rate: probability of the dropout before the classifier.
        proj_drop_rate: probability of the dropout that ends each branch of a DenseNet.
        global_pool: "avg" for the average over the last map, or "" to return the map itself, for `num_classes=0` only.
        memory_efficient: keep only the blocks' inputs in training, and recompute the rest (gradient checkpointing); in a DenseNet
            keep the convolutions' outputs too, or with "max" only those of the 3x3 convolutions.
        output_stride: 4, 8 or 16 (1 or 2 for CIFAR) for dilated convolutions with the same weights, as for segmentation; None for
            the papers' 32 (ImageNet) or 4 (CIFAR). `save_model` does not store it.
        device: device of the parameters; "meta" for shapes only.
        dtype: dtype of the parameters, regardless of the file's; None for torch's default dtype.
        channels_last: use the channels-last memory format.
        mmap: map safetensors into memory, which is faster than reading them. A process is killed if another one truncates a file
            that it has mapped; therefore None maps only downloaded files, which nobody changes in place.
        **foreign: keywords of other libraries; the error says what to write instead.

    Returns:
        The network, in training mode. With weights, its `preprocess` turns an image into its input, its `classes` are the names of
        the logits, and its `pretrained_cfg` holds the rest, as far as these are known. With `features_only`, a
        `resnetlib.features.Pyramid`, which shares its modules with the network.

    Raises:
        TypeError: for an unknown keyword, or a value of another type.
        ValueError: for an unknown name or tag; for weights that do not fit, are damaged or ambiguous; for numbers out of range.
        OSError: if weights cannot be downloaded or read; a FileNotFoundError if they do not exist.

    Example:
        >>> net = create_model("cifar_resnet20.resnetlib_c10").eval()
        >>> net.classes[:3]
        ('airplane', 'automobile', 'bird')
        >>> create_model("cifar_resnet20.resnetlib_c10", num_classes=5, in_chans=1).fc
        Linear(in_features=64, out_features=5, bias=True)
        >>> create_model("resnet50", features_only=True, out_indices=(1, 4)).feature_info.channels()
        [256, 2048]
    """
    check_keywords("create_model", str(name), foreign, KEYWORDS)
    if name is None:
        raise InputTypeError("create_model needs a name, such as 'resnet50'; load_file(path) creates a network from its weights")
    if not isinstance(pretrained, bool):
        raise InputTypeError(f"pretrained must be True or False, got {pretrained!r:.200}: name weights with weights=")
    if checkpoint_path:
        if weights is not None:
            raise InputError("pass either weights or checkpoint_path, not both")
        weights = local_path(checkpoint_path)
    if out_indices is not None and not features_only:
        raise InputError(f"out_indices={out_indices!r} requires features_only=True")
    if weights is not None or pretrained or resolve(name)[0] != "network":
        _check_not_meta(device)
    check_rule(input_rule)
    check_dtype(dtype)
    in_chans = None if in_chans is None else check_count("in_chans", in_chans, minimum=1)
    found = replace(find(name, weights, pretrained=pretrained, dialect=dialect, mmap=mmap), prefix=prefix)
    options: dict[str, Any] = {
        "drop_path_rate": drop_path_rate,
        "drop_rate": drop_rate,
        "proj_drop_rate": proj_drop_rate,
        "memory_efficient": memory_efficient,
        "output_stride": output_stride,
    }
    options = {key: value for key, value in options.items() if value is not None}  # None is the default, as in timm
    if found.file is not None:
        make = partial(build, **options)
        net = _load(found, make, num_classes=num_classes, in_chans=in_chans, input_rule=input_rule, dtype=dtype)
    else:
        assert found.spec is not None  # noqa: S101 - a name without weights has a spec
        if prefix is not None:
            raise InputError(f"prefix={prefix!r} requires a weights file, but {name} has none")
        if input_rule is not None:
            raise InputError(f"input_rule={input_rule!r} adapts weights, but {name} has none")
        if mmap:
            raise InputError(f"mmap=True maps a weights file, but {name} has none")
        in_chans = 3 if in_chans is None else in_chans
        net = build(found.spec, num_classes=num_classes, in_chans=in_chans, device=device, dtype=dtype, **options)
    net = _finish(net, num_classes, device, channels_last, global_pool)
    if features_only:
        selected = sorted(select_indices(out_indices, len(net.feature_info)))
        return Pyramid(net, selected, norm=net.spec.family == "densenet", output="list")  # the norm as in timm
    return net


def create_as(name: str, pretrained: bool = False, *, called: str = "", **options: Any) -> Backbone:
    """Call `create_model`; errors about keywords name the function `called`, by default the network's own."""
    check_keywords(called or name, name, options, KEYWORDS)
    return cast("Backbone", create_model(name, pretrained, **options))


def get_model(name: str, **options: Unpack[ModelOptions]) -> Backbone:
    """Create a network as torchvision's `get_model` does: `create_model` with the options by keyword.

    Args:
        name: as in `create_model`.
        **options: as in `create_model`, among them `weights`.

    Returns:
        The network.

    Example:
        >>> get_model("cifar_resnet20", weights="DEFAULT").pretrained_cfg.tag
        'resnetlib_c10'
    """
    return create_as(name, called="get_model", **options)


def get_model_weights(name: str | Callable[..., Backbone]) -> Mapping[str, PretrainedConfig]:
    """Return the pretrained configs of a network's weights by tag, the default one first.

    Args:
        name: the network's name, or its function.

    Returns:
        The configs; none for a network without weights.

    Raises:
        ValueError: if there is no such network.

    Example:
        >>> {tag: cfg.top1 for tag, cfg in get_model_weights("cifar_resnet20").items()}
        {'resnetlib_c10': 91.01, 'akamaster_c10': 91.73}
    """
    kind, network = resolve(name if isinstance(name, str) else getattr(name, "__name__", ""))
    if kind != "network":
        raise InputError(f"{name!r} is not the name of a network; list_models() lists them")
    return {tag: describe(f"{network}.{tag}") for tag in tags_of(network)}


def is_model(name: str) -> bool:
    """Return whether the catalog has a network, or weights, of this name.

    Args:
        name: the name; timm's names of the networks here are known too.

    Returns:
        Whether `create_model` finds it without a file.

    Example:
        >>> is_model("resnet50"), is_model("resnet50.tv2_in1k"), is_model("resnet50.tv9_in1k"), is_model("resnetv2_50")
        (True, True, False, True)
    """
    try:
        return resolve(name)[0] != "place"
    except ValueError:
        return False


def list_models(filter: Filters = "", *, pretrained: bool = False, exclude_filters: Filters = "") -> list[str]:  # noqa: A002
    """List the names of networks, in natural order.

    Args:
        filter: a name with the wildcards `*`, `?` and `[...]`, or a list of them.
        pretrained: list the weights instead, by full name (`network.tag`), as in timm.
        exclude_filters: wildcards for names to leave out.

    Returns:
        The names that match one of the filters.

    Raises:
        TypeError: if a filter is not a str or a list of strs.

    Example:
        >>> list_models("cifar_plain*")
        ['cifar_plain20', 'cifar_plain32', 'cifar_plain44', 'cifar_plain56', 'cifar_plain110']
        >>> list_models(["densenet*", "plain*"], exclude_filters="*1")
        ['densenet169', 'densenet264', 'plain18', 'plain34']
        >>> list_models("densenet121", pretrained=True)
        ['densenet121.ra_in1k', 'densenet121.tv_in1k']
    """
    return list_pretrained(filter, exclude_filters) if pretrained else select(SPECS, filter, exclude_filters)


def load_file(
    path: str | Path,
    *,
    spec: Spec | None = None,
    dialect: str | None = None,
    prefix: str | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    device: torch.device | str | int | None = None,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
    mmap: bool | None = None,
) -> Backbone:
    """Create the network that a file of weights belongs to.

    Files that this library wrote contain the spec. For others it is inferred from names and shapes; if several networks have these,
    the error lists the choices.

    Args:
        path: the file, or a folder with config.json; never a name of the hub, which `create_model` takes.
        spec: of the network; None to take it from the file, or to infer it.
        dialect: of the tensors' names; None to detect it.
        prefix: of the network's names, if the file holds several networks.
        num_classes: number of logits; None for that of the weights.
        in_chans: number of input channels; None for that of the weights.
        device: device of the parameters.
        dtype: dtype of the parameters; None for torch's default dtype.
        channels_last: use the channels-last memory format.
        mmap: map safetensors into memory; see `create_model`.

    Returns:
        The network, as `create_model` returns it.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is damaged, or fits no network, or several.

    Example:
        >>> import tempfile
        >>> from resnetlib import save_model
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(create_model("cifar_plain20", num_classes=3), folder)
        ...     load_file(f"{folder}/model.safetensors").fc
        Linear(in_features=64, out_features=3, bias=True)
    """
    _check_not_meta(device)
    check_dtype(dtype)
    in_chans = None if in_chans is None else check_count("in_chans", in_chans, minimum=1)
    found = replace(find(local_path(path), dialect=dialect, mmap=mmap), prefix=prefix)
    net = _load(found, build, spec=spec, num_classes=num_classes, in_chans=in_chans, dtype=dtype)
    return _finish(net, num_classes, device, channels_last)


def _check_not_meta(device: torch.device | str | int | None) -> None:
    if device is not None:
        check_device(device)
        if torch.device(device).type == "meta":
            raise InputError("weights cannot be loaded on device='meta', which holds only shapes")


def _load(
    found: Found,
    make: Callable[..., Backbone],
    *,
    spec: Spec | None = None,
    num_classes: int | None,
    in_chans: int | None,
    input_rule: InputRule | None = None,
    dtype: torch.dtype | None,
) -> Backbone:
    """Build the network on the meta device, assign the weights, and set its pretrained config."""
    assert found.file is not None  # noqa: S101 - for mypy
    weights, spec = recognize(found, spec)
    if num_classes is not None and not weights.has_classifier(num_classes):  # `_finish` gives the network a new one
        weights = weights.without_classifier()
    channels = weights.in_chans if in_chans is None else in_chans
    try:
        net = make(spec, num_classes=weights.num_classes, in_chans=channels, device="meta")
    except (RuntimeError, TypeError, OverflowError) as error:
        raise InputError(f"{found.label}: no such network can be built, {spec}: {error}") from error
    adapted, done = adapt_channels(weights, channels, input_rule)
    assign_state(net, adapted, dtype=dtype, source=found.label, trusted=found.pinned)
    cfg = found.file.pretrained_cfg
    if done:
        cfg = cfg or PretrainedConfig(name=name_of(spec), tag="", spec=spec)
        cfg = replace(cfg, origin="; ".join(filter(None, (cfg.origin, done))))
    if cfg is not None:
        net.preprocess = cfg.preprocess and cfg.preprocess.for_channels(channels, average=input_rule not in ("repeat", "zeros"))
        net.pretrained_cfg = replace(cfg, preprocess=net.preprocess) if done else cfg
        names = cfg.classes if weights.num_classes else None
        if names is not None and len(names) != weights.num_classes:
            raise InputError(f"{found.label} names {len(names)} classes, but has {weights.num_classes} logits")
        net.classes = names
    return net


def _finish(
    net: Backbone,
    num_classes: int | None,
    device: torch.device | str | int | None,
    channels_last: bool,
    global_pool: GlobalPool | None = None,
) -> Backbone:
    """Replace the classifier and the pooling, move the network to a device, and set its memory format."""
    num_classes = net.num_classes if num_classes is None else num_classes
    if num_classes != net.num_classes or global_pool not in (None, net.global_pool):
        net.reset_classifier(num_classes, global_pool)
    if device is not None:
        net.to(device)
    return net.to(memory_format=torch.channels_last) if channels_last else net
