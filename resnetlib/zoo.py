"""A network by its name, with weights."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from resnetlib.config import PretrainedConfig
from resnetlib.models import Spec, build
from resnetlib.modules import Backbone
from resnetlib.modules.arguments import check_device
from resnetlib.weights.adapt import InputRule, adapt_channels, check_rule
from resnetlib.weights.collection import no_collection
from resnetlib.weights.configs import name_of
from resnetlib.weights.dialects import check_size, check_spec, infer_spec, recognise, simplest
from resnetlib.weights.find import Found, find, names_weights
from resnetlib.weights.load import adopt_state, channels_in, classes_in
from resnetlib.weights.save import push_to_hub, save_model

__all__ = ["create_model", "load_file", "push_to_hub", "save_model"]


def create_model(
    name: str | Path,
    *,
    weights: str | Path | None = None,
    dialect: str | None = None,
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
        name: of a network (`resnet50`, one that `list_models` lists), which has random weights unless `weights` says otherwise; of
            a network and its weights (`resnet50.tv2_in1k`, one that `resnetlib.weights.list` lists); `hf-hub:org/name@revision`; or
            the path of a folder with config.json, or of a file (with a separator in it, as in `./folder`).
        weights: for the name of a network: a tag, or the path of a file (safetensors or `torch.save`, in any known dialect).
        dialect: whose names the tensors of a file have; None to find it out.
        num_classes: logits; 0 for none, and then the pooled features are the output; None for the weights' own, or without
            weights 1000 for ImageNet names and 10 for `cifar_` names. A number that is not the weights' own gets a new classifier.
        in_chans: channels of the images; None for the weights' own, or 3. Another number than the weights' adapts the first
            convolution, and the mean and deviation of `preprocess`.
        input_rule: how: "sum", "repeat", "zeros", or a function (`resnetlib.weights.adapt_input`); None for the sum for one
            channel, otherwise to repeat.
        drop_path_rate: probability to leave out the last block's branch while training, and in proportion the earlier ones'.
        drop_rate: probability of the dropout before the classifier.
        proj_drop_rate: probability of the dropout that ends each branch of a DenseNet.
        memory_efficient: keep only the blocks' inputs in training, and compute the rest twice.
        output_stride: pixels of the image for a pixel of the last map, by dilation, with the same weights: 8 or 16 for
            segmentation; None for the papers' 32 (ImageNet) or 4 (CIFAR). It is no part of what `save_model` writes.
        device: where the parameters are made; "meta" for shapes alone.
        dtype: of the parameters, whatever the file's is; torch's default dtype, float32, unless it is given.
        channels_last: lay the parameters out for channels-last images.
        mmap: map safetensors into memory, which is the fastest, instead of reading them. A process whose mapped file is shortened
            by another one dies; therefore None maps only downloaded files, which nobody changes in place, and reads yours.

    Returns:
        The network, in training mode, as every new `torch.nn.Module` is. With weights that say so, its `preprocess` turns an image
        into its input, its `classes` name the logits, and its `cfg` says the rest.

    Raises:
        ValueError: for an unknown name or tag, for weights that do not fit, that are damaged or ambiguous, and for numbers out of
            range.
        OSError: if weights are not to be had: FileNotFoundError where they are not there, PermissionError where they are refused,
            ConnectionError where nobody answers.

    Example:
        >>> net = create_model("cifar_resnet20.resnetlib_c10").eval()
        >>> net.classes[:3]
        ('airplane', 'automobile', 'bird')
        >>> create_model("cifar_resnet20.resnetlib_c10", num_classes=5, in_chans=1).fc
        Linear(in_features=64, out_features=5, bias=True)
    """
    if weights is not None or names_weights(name):
        _refuse_meta(device)
    check_rule(input_rule)
    found = find(name, weights, dialect=dialect, mmap=mmap)
    make = partial(
        build,
        drop_path_rate=drop_path_rate,
        drop_rate=drop_rate,
        proj_drop_rate=proj_drop_rate,
        memory_efficient=memory_efficient,
        output_stride=output_stride,
    )
    if found.file is not None:
        return _with_weights(found, make, num_classes, in_chans, input_rule, device, dtype, channels_last)
    assert found.spec is not None  # noqa: S101 - what has no file has a name
    if input_rule is not None:
        raise ValueError(f"input_rule={input_rule!r} adapts weights, and {name} has none")
    channels = 3 if in_chans is None else in_chans
    net = make(found.spec, num_classes=num_classes, in_chans=channels, device=device, dtype=dtype)
    return net.to(memory_format=torch.channels_last) if channels_last else net


def load_file(
    path: str | Path,
    *,
    spec: Spec | None = None,
    dialect: str | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    device: torch.device | str | int | None = None,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
    mmap: bool | None = None,
) -> Backbone:
    """Create the network that a file of weights is for, without being told which.

    Files that the library wrote say it themselves. For others the spec is worked out from names and shapes, where these leave no
    choice; where they do, the error names the choices.

    Args:
        path: the file, or a folder with config.json.
        spec: the architecture, where nothing else tells it.
        dialect: whose names the tensors have; None to find it out.
        num_classes: logits; None for the weights' own.
        in_chans: channels of the images; None for the weights' own.
        device: where the parameters shall be.
        dtype: of the parameters; float32 unless torch's default is another.
        channels_last: lay the parameters out for channels-last images.
        mmap: map safetensors into memory; see `create_model`.

    Returns:
        The network, as `create_model` returns it.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is damaged, or fits no network, or more than one.

    Example:
        >>> import tempfile
        >>> from resnetlib import save_model
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(create_model("cifar_plain20", num_classes=3), folder)
        ...     load_file(f"{folder}/model.safetensors").fc
        Linear(in_features=64, out_features=3, bias=True)
    """
    _refuse_meta(device)
    found = find(Path(path), None, dialect=dialect, mmap=mmap)
    if spec is not None:
        if found.spec is not None and simplest(found.spec) != simplest(spec):
            raise ValueError(f"{path} says that it is of another network:\n  {found.spec}\n  {spec}")
        found = replace(found, spec=spec)
    return _with_weights(found, build, num_classes, in_chans, None, device, dtype, channels_last)


def _refuse_meta(device: torch.device | str | int | None) -> None:
    if device is not None:
        check_device(device)
    if torch.device("cpu" if device is None else device).type == "meta":
        raise ValueError("weights cannot be loaded on device='meta', which holds shapes alone")


@no_collection()
def _with_weights(
    found: Found,
    make: Callable[..., Backbone],
    num_classes: int | None,
    in_chans: int | None,
    input_rule: InputRule | None,
    device: torch.device | str | int | None,
    dtype: torch.dtype | None,
    channels_last: bool,
) -> Backbone:
    """Build a network around weights."""
    assert found.file is not None  # noqa: S101 - it is not called without
    cfg = found.file.pretrained_cfg
    weights = recognise(found.file.state, dialect=found.dialect)
    spec = infer_spec(weights, dialect=found.dialect).spec if found.spec is None else found.spec
    check_size(weights, spec, source=found.label)
    check_spec(weights, spec, source=found.label, by_name=found.by_name)
    own_classes, own_channels = classes_in(weights), channels_in(weights)
    channels = own_channels if in_chans is None else in_chans
    try:
        net = make(spec, num_classes=own_classes, in_chans=channels, device="meta")
    except (RuntimeError, TypeError, OverflowError) as error:
        raise ValueError(f"{found.label}: no such network can be built, {spec}: {error}") from error
    adapted, done = adapt_channels(weights, channels, input_rule)
    adopt_state(net, adapted, dtype=dtype, source=found.label, trusted=found.pinned)
    if cfg is None and done:
        cfg = PretrainedConfig(name=name_of(spec), tag="", spec=spec)
    if cfg is not None:
        net.pretrained_cfg = cfg if not done else replace(cfg, origin="; ".join(filter(None, (cfg.origin, done))))
        average = input_rule in (None, "sum")
        net.preprocess = cfg.preprocess and cfg.preprocess.for_channels(channels, average=average)
        net.classes = cfg.classes
        if net.classes is not None and len(net.classes) != own_classes:
            raise ValueError(f"{found.label} names {len(net.classes)} classes, and has {own_classes} logits")
    if num_classes is not None and num_classes != own_classes:
        net.reset_classifier(num_classes)
    if device is not None:
        net.to(device)
    return net.to(memory_format=torch.channels_last) if channels_last else net
