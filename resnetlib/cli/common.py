"""What several commands share: loading a network with its preprocessing."""

from resnetlib.config import MEAN_STD, Normalization, Preprocessing
from resnetlib.distributed import choose_device
from resnetlib.errors import InputError
from resnetlib.modules import Backbone
from resnetlib.zoo import create_model


def load(
    name: str, weights: str | None, normalize: Normalization | None, device: str | None, prefix: str | None = None
) -> tuple[Backbone, Preprocessing]:
    """Create a network with pretrained weights and preprocessing; raise ValueError if either is missing or ambiguous."""
    net = create_model(name, weights is None, weights=weights, prefix=prefix, device=choose_device(device))
    if net.preprocess is None:
        if normalize is None:
            raise InputError(f"the normalization of {weights or name} is unknown: add --normalize imagenet or --normalize cifar10")
        net.preprocess = preprocessing_for(net, normalize)
    elif normalize is not None and (net.preprocess.mean, net.preprocess.std) != MEAN_STD[normalize]:
        raise InputError(f"{weights or name} has its own normalization: leave out --normalize")
    return net, net.preprocess


def preprocessing_for(net: Backbone, normalize: Normalization | None = None) -> Preprocessing:
    """Return the usual preprocessing for a network's stem: 224 pixels after resizing to 256, or 32 for CIFAR."""
    if net.spec.stem == "imagenet":
        return Preprocessing.named(normalize or "imagenet", resize=256, size=224)
    return Preprocessing.named(normalize or "cifar10", resize=32, size=32)
