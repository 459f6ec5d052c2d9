"""What of a network learns on, and what stays as it was trained."""

from torch import nn

from resnetlib.modules import Backbone, freeze_norm_, thaw_norm_
from resnetlib.tuning.units import count_upto, units


def freeze(net: Backbone, upto: str | None = None) -> list[str]:
    """Freeze a network from its input up to a place: parameters get no gradients, and batch norms keep their statistics.

    Args:
        net: the network; changed in place.
        upto: the last part that is frozen, by its name: `"layer3"`, `"layer3.1"`, `"denseblock2"`; None for all but the
            classifier, which makes a linear probe.

    Returns:
        The names of the frozen layers and blocks.

    Raises:
        ValueError: for a part that the network does not have.

    Example:
        >>> from resnetlib import create_model
        >>> net = create_model("resnet18")
        >>> freeze(net, upto="layer1")
        ['conv1', 'bn1', 'layer1.0', 'layer1.1']
        >>> unfreeze(net)
    """
    parts = units(net)
    count = len(parts) if upto is None else count_upto([name for name, _ in parts], upto)
    for _, unit in parts[:count]:
        for module in unit.modules():
            freeze_norm_(module)
        unit.requires_grad_(False)
    return [name for name, _ in parts[:count]]


def unfreeze(net: nn.Module) -> None:
    """Let everything learn again: parameters get gradients, batch norms are in the network's mode.

    Args:
        net: the network; changed in place.
    """
    for module in net.modules():
        thaw_norm_(module, training=net.training)
    net.requires_grad_(True)
