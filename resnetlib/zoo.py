"""Create networks by name, with or without weights."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from resnetlib.config import PretrainedConfig
from resnetlib.errors import InputError
from resnetlib.models import Spec, build
from resnetlib.modules import Backbone
from resnetlib.modules.arguments import check_device
from resnetlib.weights.dialects.compare import name_of
from resnetlib.weights.find import Found, find, names_weights, recognize
from resnetlib.weights.load import InputRule, adapt_channels, assign_state, check_rule
from resnetlib.weights.save import push_to_hub, save_model

__all__ = ["create_model", "load_file", "push_to_hub", "save_model"]


def create_model(
    name: str | Path,
    *,
    weights: str | Path | None = None,
    dialect: str | None = None,
    prefix: str | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    input_rule: InputRule | None = None,
    drop_path_rate: float = 0.0,
    drop_rate: float = 0.0,
    proj_drop_rate: float = 0.0,
    memory_efficient: bool = False,
    output_stride: int | None = None,
    device: torch.device | str | int | None = None,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
    mmap: bool | None = None,
) -> Backbone:
    """Create a network by its name, with or without weights.

    Args:
        name: of a network (`resnet50`; see `list_models`), randomly initialized unless `weights` is given; of a network and its
            weights (`resnet50.tv2_in1k`; see `resnetlib.weights.list_pretrained`); `hf-hub:org/name@revision`; or the path of a
            folder with config.json, or of a file (with a separator, as in `./folder`).
        weights: for the name of a network: a tag, or the path of a file (safetensors or `torch.save`, in any dialect).
        dialect: of the tensors' names in a file; None to detect it.
        prefix: of the network's names in a file that holds several networks, such as "encoder_q".
        num_classes: number of logits; 0 for pooled features; None for that of the weights, or without weights 1000 for ImageNet
            names and 10 for `cifar_` names. If it differs from the weights', the network gets a new classifier.
        in_chans: number of input channels; None for that of the weights, or 3. If it differs from the weights', the first
            convolution is adapted, and so are the mean and std of `preprocess`.
        input_rule: how to adapt the first convolution: "sum", "repeat", "zeros" or a function (`resnetlib.weights.adapt_input`);
            None is "sum" for one channel, else "repeat".
        drop_path_rate: probability to drop the last block's branch in training; it grows linearly over the blocks.
        drop_rate: probability of the dropout before the classifier.
        proj_drop_rate: probability of the dropout that ends each branch of a DenseNet.
        memory_efficient: keep only the blocks' inputs in training, and recompute the rest (gradient checkpointing).
        output_stride: 8 or 16 for dilated convolutions with the same weights, as for segmentation; None for the papers' 32
            (ImageNet) or 4 (CIFAR). `save_model` does not store it.
        device: device of the parameters; "meta" for shapes only.
        dtype: dtype of the parameters, whatever that in the file; None for torch's default dtype.
        channels_last: use the channels-last memory format.
        mmap: map safetensors into memory, which is faster than reading them. A process is killed if another one truncates a file
            that it has mapped; therefore None maps only downloaded files, which nobody changes in place.

    Returns:
        The network, in training mode. With weights, its `preprocess` turns an image into its input, its `classes` are the names of
        the logits, and its `pretrained_cfg` holds the rest, as far as these are known.

    Raises:
        ValueError: for an unknown name or tag; for weights that do not fit, are damaged or ambiguous; for numbers out of range.
        OSError: if weights cannot be downloaded or read; a FileNotFoundError if they do not exist.

    Example:
        >>> net = create_model("cifar_resnet20.resnetlib_c10").eval()
        >>> net.classes[:3]
        ('airplane', 'automobile', 'bird')
        >>> create_model("cifar_resnet20.resnetlib_c10", num_classes=5, in_chans=1).fc
        Linear(in_features=64, out_features=5, bias=True)
    """
    if weights is not None or names_weights(name):
        _check_not_meta(device)
    check_rule(input_rule)
    found = replace(find(name, weights, dialect=dialect, mmap=mmap), prefix=prefix)
    make = partial(
        build,
        drop_path_rate=drop_path_rate,
        drop_rate=drop_rate,
        proj_drop_rate=proj_drop_rate,
        memory_efficient=memory_efficient,
        output_stride=output_stride,
    )
    if found.file is not None:
        new_head = num_classes is not None
        net = _load(found, make, new_head=new_head, in_chans=in_chans, input_rule=input_rule, dtype=dtype)
        return _dress(net, num_classes, device, channels_last)
    assert found.spec is not None  # noqa: S101 - a name without weights has a spec
    if prefix is not None:
        raise InputError(f"prefix={prefix!r} is for files of weights, and {name} has none")
    if input_rule is not None:
        raise InputError(f"input_rule={input_rule!r} adapts weights, and {name} has none")
    net = make(found.spec, num_classes=num_classes, in_chans=3 if in_chans is None else in_chans, device=device, dtype=dtype)
    return _dress(net, None, None, channels_last)


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
        path: the file, or a folder with config.json.
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
    found = replace(find(Path(path), None, dialect=dialect, mmap=mmap), prefix=prefix)
    net = _load(found, build, spec=spec, new_head=num_classes is not None, in_chans=in_chans, dtype=dtype)
    return _dress(net, num_classes, device, channels_last)


def _check_not_meta(device: torch.device | str | int | None) -> None:
    if device is not None:
        check_device(device)
    if torch.device("cpu" if device is None else device).type == "meta":
        raise InputError("weights cannot be loaded on device='meta', which holds shapes alone")


def _load(
    found: Found,
    make: Callable[..., Backbone],
    *,
    spec: Spec | None = None,
    new_head: bool,
    in_chans: int | None,
    input_rule: InputRule | None = None,
    dtype: torch.dtype | None,
) -> Backbone:
    """Build the network of some weights on the meta device, assign them, and set its pretrained config."""
    assert found.file is not None  # noqa: S101 - for mypy
    weights, spec = recognize(found, spec)
    if new_head:
        weights = replace(weights, head=())
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
        net.pretrained_cfg, net.classes = cfg, cfg.classes if weights.num_classes else None
        net.preprocess = cfg.preprocess and cfg.preprocess.for_channels(channels, average=input_rule in (None, "sum"))
        if net.classes is not None and len(net.classes) != weights.num_classes:
            raise InputError(f"{found.label} names {len(net.classes)} classes, and has {weights.num_classes} logits")
    return net


def _dress(net: Backbone, num_classes: int | None, device: torch.device | str | int | None, channels_last: bool) -> Backbone:
    """Replace the classifier, move the network, and change its memory format, as requested."""
    if num_classes is not None and num_classes != net.num_classes:
        net.reset_classifier(num_classes)
    if device is not None:
        net.to(device)
    return net.to(memory_format=torch.channels_last) if channels_last else net
