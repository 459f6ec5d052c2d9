"""Build networks from specs."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch

from resnetlib.config import DenseNetSpec, Spec
from resnetlib.config.spec import NUM_CLASSES, check_spec
from resnetlib.errors import InputError
from resnetlib.models.catalog import SPECS
from resnetlib.models.densenet import DenseNet
from resnetlib.models.resnet import class_of
from resnetlib.modules import Backbone, dilate
from resnetlib.modules.arguments import check_device, check_dtype
from resnetlib.modules.backbone import GlobalPool
from resnetlib.modules.stage import Checkpointing


def build(
    spec: Spec,
    *,
    num_classes: int | None = None,
    in_chans: int = 3,
    drop_path_rate: float = 0.0,
    drop_rate: float = 0.0,
    proj_drop_rate: float = 0.0,
    memory_efficient: Checkpointing = False,
    output_stride: int | None = None,
    global_pool: GlobalPool = "avg",
    device: torch.device | str | int | None = None,
    dtype: torch.dtype | None = None,
) -> Backbone:
    """Build the network that a spec describes, with random weights.

    Args:
        spec: the architecture: from `spec_of`, a changed one (`dataclasses.replace`), or your own.
        num_classes: number of logits; 0 to return pooled features; None for 1000 or 10, by the spec's stem.
        in_chans: channels of the images.
        drop_path_rate: probability to drop the last block's branch in training; it grows linearly from the first block.
        drop_rate: probability of the dropout before the classifier.
        proj_drop_rate: probability of the dropout at the end of each branch of a DenseNet.
        memory_efficient: keep only the blocks' inputs in training, and recompute the rest (gradient checkpointing); in a DenseNet
            keep the convolutions' outputs too, or with "max" only those of the 3x3 convolutions.
        output_stride: image pixels per pixel of the last map, by dilation (see `resnetlib.dilate`); None for the papers' 32
            (ImageNet) or 4 (CIFAR).
        global_pool: "avg" for the average over the last map, or "" to return the map itself, for `num_classes=0` only.
        device: device of the parameters; "meta" for shapes only.
        dtype: dtype of the parameters; None for torch's default dtype.

    Returns:
        A PlainNet, ResNet, PreActResNet or DenseNet, in training mode.

    Raises:
        ValueError: if a number is out of range, an option is not for this network, or the device is not available.
        TypeError: if the spec is not a spec, or the dtype not a floating-point dtype.

    Example:
        >>> from dataclasses import replace
        >>> from resnetlib import build, spec_of
        >>> type(build(replace(spec_of("resnet50"), join="replace"), device="meta")).__name__
        'PlainNet'
    """
    check_spec(spec)
    make: Any = DenseNet if isinstance(spec, DenseNetSpec) else class_of(spec)
    options = {"proj_drop_rate": proj_drop_rate} if make is DenseNet else {}
    if proj_drop_rate and make is not DenseNet:
        raise InputError(f"proj_drop_rate requires a DenseNet, got {proj_drop_rate} with a {make.__name__}")
    check_dtype(dtype)
    if device is not None:
        check_device(device)
    with nullcontext() if device is None else torch.device(device):
        net: Backbone = make(
            spec,
            num_classes=NUM_CLASSES[spec.stem] if num_classes is None else num_classes,
            in_chans=in_chans,
            drop_path_rate=drop_path_rate,
            drop_rate=drop_rate,
            memory_efficient=memory_efficient,
            global_pool=global_pool,
            **options,
        )
    net.pretrained_cfg = replace(net.pretrained_cfg, name=next((name for name, known in SPECS.items() if known == spec), ""))
    if output_stride is not None:
        dilate(net, output_stride)
    return net.to(dtype=dtype) if dtype is not None else net
