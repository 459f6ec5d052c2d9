"""Load a network with its preprocessing."""

from resnetlib.config import MEAN_STD, Normalization, Preprocessing
from resnetlib.config.pretrained import preprocessing_for
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
        net.preprocess = preprocessing_for(net.spec.stem, normalize).for_channels(net.in_chans)
    elif normalize is not None and (net.preprocess.mean, net.preprocess.std) != MEAN_STD[normalize]:
        raise InputError(f"{weights or name} has its own normalization: leave out --normalize")
    return net, net.preprocess
