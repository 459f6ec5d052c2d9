"""From a spec to a network."""

from contextlib import AbstractContextManager, nullcontext

import torch

from resnetlib.config import DenseNetSpec, ResNetSpec, Spec
from resnetlib.errors import InputError, InputTypeError
from resnetlib.models.densenet import DenseNet
from resnetlib.models.resnet import BlockNet, PlainNet, PreActResNet, ResNet
from resnetlib.modules import Backbone, dilate
from resnetlib.modules.arguments import check_device
from resnetlib.modules.skip_init import SkipInit

CLASSES = {"imagenet": 1000, "cifar": 10}
"""The number of classes of the data that a stem is made for."""


def build(
    spec: Spec,
    *,
    num_classes: int | None = None,
    in_chans: int = 3,
    drop_path_rate: float = 0.0,
    drop_rate: float = 0.0,
    proj_drop_rate: float = 0.0,
    memory_efficient: bool = False,
    output_stride: int | None = None,
    device: torch.device | str | int | None = None,
    dtype: torch.dtype | None = None,
) -> Backbone:
    """Build the network that a spec describes, with weights drawn at random.

    Args:
        spec: the architecture: one of `spec_of`'s, a changed one (`dataclasses.replace`), or your own.
        num_classes: logits; 0 for none, and then the pooled features are the output; None for the stem's: 1000 or 10.
        in_chans: channels of the images.
        drop_path_rate: probability to leave out the last block's branch while training, and in proportion the earlier ones'.
        drop_rate: probability of the dropout before the classifier.
        proj_drop_rate: probability of the dropout that ends each branch of a DenseNet.
        memory_efficient: keep only the blocks' inputs in training, and compute the rest twice.
        output_stride: pixels of the image for a pixel of the last map, by dilation (`resnetlib.dilate`); None for the papers' 32 or
            4.
        device: where the parameters are made; "meta" for shapes alone.
        dtype: of the parameters; float32 unless torch's default is another.

    Returns:
        A PlainNet, ResNet, PreActResNet or DenseNet, in training mode.

    Raises:
        ValueError: for numbers out of range, regularisation that the network cannot do, and a device that there is not.
        TypeError: for something that is no spec.

    Example:
        >>> from dataclasses import replace
        >>> from resnetlib import build, spec_of
        >>> type(build(replace(spec_of("resnet50"), join="replace"), device="meta")).__name__
        'PlainNet'
    """
    if not isinstance(spec, ResNetSpec | DenseNetSpec):
        raise InputTypeError(f"spec must be a ResNetSpec or a DenseNetSpec, got {type(spec).__name__}")
    classes = CLASSES[spec.stem] if num_classes is None else num_classes
    with _making(device):
        net: Backbone
        if isinstance(spec, DenseNetSpec):
            net = DenseNet(
                spec,
                num_classes=classes,
                in_chans=in_chans,
                drop_path_rate=drop_path_rate,
                drop_rate=drop_rate,
                proj_drop_rate=proj_drop_rate,
                memory_efficient=memory_efficient,
            )
        elif proj_drop_rate:
            raise InputError(f"proj_drop_rate is for DenseNet, got {proj_drop_rate} with a {network_class(spec).__name__}")
        else:
            net = network_class(spec)(
                spec,
                num_classes=classes,
                in_chans=in_chans,
                drop_path_rate=drop_path_rate,
                drop_rate=drop_rate,
                memory_efficient=memory_efficient,
            )
    if output_stride is not None:
        dilate(net, output_stride)
    if not (dtype is None or (isinstance(dtype, torch.dtype) and dtype.is_floating_point)):
        raise InputTypeError(f"dtype must be a torch.dtype of floating point numbers, got {dtype!r}")
    return net.to(dtype=dtype) if dtype is not None else net


def _making(device: torch.device | str | int | None) -> AbstractContextManager[object]:
    """Return the context in which tensors are made on a device."""
    if device is None:
        return nullcontext()
    check_device(device)
    return SkipInit() if torch.device(device).type == "meta" else torch.device(device)


def network_class(spec: ResNetSpec) -> type[BlockNet]:
    """Return the class of networks with this join and this order."""
    if spec.join == "replace":
        return PlainNet
    return PreActResNet if spec.order == "pre" else ResNet
