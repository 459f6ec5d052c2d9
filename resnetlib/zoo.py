"""A network by its name, with weights."""

from pathlib import Path

import torch

from resnetlib.models import build, spec_of
from resnetlib.modules import Backbone
from resnetlib.weights.catalog import read_embedded, tags_of
from resnetlib.weights.files import WeightsFile, read_weights
from resnetlib.weights.load import classes_in, load_state

__all__ = ["create_model"]


def create_model(
    name: str,
    *,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    in_channels: int = 3,
    drop_path: float = 0.0,
    drop_rate: float = 0.0,
    proj_drop_rate: float = 0.0,
    memory_efficient: bool = False,
    device: torch.device | str | int | None = None,
    dtype: torch.dtype | None = None,
) -> Backbone:
    """Create a network by its name.

    Args:
        name: one that `list_models` lists.
        weights: a tag, or the path of a file (safetensors or `torch.save`, in any known dialect); None for random weights.
        num_classes: logits; 0 for none, and then the pooled features are the output; None for the weights' own, or without
            weights 1000 for ImageNet names and 10 for `cifar_` names. A number that is not the weights' own gets a new classifier.
        in_channels: channels of the images.
        drop_path: probability to leave out the last block's branch while training, and in proportion the earlier ones'.
        drop_rate: probability of the dropout before the classifier.
        proj_drop_rate: probability of the dropout that ends each branch of a DenseNet.
        memory_efficient: keep only the blocks' inputs in training, and compute the rest twice.
        device: where the parameters are made; "meta" for shapes alone.
        dtype: of the parameters; float32 unless torch's default is another.

    Returns:
        The network, in training mode, as every new `torch.nn.Module` is. With a file that says so, its `preprocess` turns an image
        into its input, and its `classes` name the logits.

    Raises:
        ValueError: for an unknown name or tag, for weights that do not fit, and for numbers out of range.

    Example:
        >>> net = create_model("cifar_resnet20", weights="resnetlib_c10").eval()
        >>> net.classes[:3]
        ('airplane', 'automobile', 'bird')
    """
    spec = spec_of(name)
    if weights is not None and torch.device(device or "cpu").type == "meta":
        raise ValueError("weights cannot be loaded on device='meta', which holds shapes alone")
    file = None if weights is None else _find(name, weights)
    if file is not None and file.contract is not None and file.contract.spec != spec:
        raise ValueError(f"{weights} holds a {file.contract.name}, not a {name}:\n  {file.contract.spec}\n  {spec}")
    trained_classes = None if file is None else classes_in(file.state, spec)
    net = build(
        spec,
        num_classes=trained_classes if num_classes is None else num_classes,
        in_channels=in_channels,
        drop_path=drop_path,
        drop_rate=drop_rate,
        proj_drop_rate=proj_drop_rate,
        memory_efficient=memory_efficient,
        device=device,
        dtype=dtype,
    )
    if file is not None:
        same_head = net.num_classes == trained_classes
        load_state(net, file.state, keep_head=not same_head, source=str(weights))
        if file.contract is not None:
            net.preprocess = file.contract.preprocess
            if same_head and len(file.contract.classes) != net.num_classes:
                raise ValueError(f"{weights} names {len(file.contract.classes)} classes, and has {net.num_classes} logits")
            net.classes = file.contract.classes if same_head else None
    return net


def _find(name: str, weights: str | Path) -> WeightsFile:
    """Read weights by their tag or their path."""
    tags = tags_of(name)
    if isinstance(weights, str) and weights in tags:
        return read_embedded(name, weights)
    if not Path(weights).is_file():
        known = f"the tags {', '.join(map(repr, tags))}" if tags else "no tags"
        raise ValueError(f"{name} has {known}, and there is no file {weights}")
    return read_weights(weights)
