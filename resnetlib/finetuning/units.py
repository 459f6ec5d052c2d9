"""A network as the sequence of its smallest parts that are frozen, or learn at a rate of their own."""

from collections.abc import Iterator

from torch import nn

from resnetlib.modules import Backbone, Stage
from resnetlib.modules.backbone import check_network

STEM, HEAD = "stem", "head"


def units(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """List what has parameters, in the order in which it runs: layers of the stem, blocks, transitions, the last norm.

    Args:
        net: the network.

    Returns:
        Names and modules; the classifier is not among them.

    Raises:
        TypeError: for a module that is no network of this library.

    Example:
        >>> from resnetlib import create_model
        >>> [name for name, _ in units(create_model("resnet18", device="meta"))][:4]
        ['conv1', 'bn1', 'layer1.0', 'layer1.1']
    """
    check_network(net, compiled=False)
    assert isinstance(net, Backbone)  # noqa: S101 - or an error had said so
    names = {module: name for name, module in net.named_modules()}
    parts = [*net.stem(), *(part for stage in net.stages() for part in stage), *net.tail()]
    return [(names[unit], unit) for part in parts for unit in _split(part) if any(True for _ in unit.parameters())]


def _split(part: nn.Module) -> Iterator[nn.Module]:
    return iter(part) if isinstance(part, Stage) else iter((part,))


def count_upto(names: list[str], upto: str) -> int:
    """Count the units up to a place in the network.

    Args:
        names: of the units, in their order.
        upto: the name of a unit, or of what contains some; what contains all of them may be left out of it.

    Returns:
        How many units come before it or belong to it.

    Raises:
        ValueError: for a name that there is not.

    Example:
        >>> count_upto(["features.conv0", "features.denseblock1.denselayer1", "features.norm5"], "denseblock1")
        2
    """
    firsts = {name.partition(".")[0] for name in names}
    container = f"{firsts.pop()}." if len(firsts) == 1 else ""
    places: dict[str, int] = {}
    for i, name in enumerate(names):
        for path in {name, name.removeprefix(container)}:
            parts = path.split(".")
            places |= {".".join(parts[: n + 1]): i + 1 for n in range(len(parts))}
    if upto not in places:
        choices = ", ".join(dict.fromkeys(".".join(name.removeprefix(container).split(".")[:1]) for name in names))
        raise ValueError(f"the network has no part {upto!r}, but {choices}, and blocks such as {names[len(names) // 2]}")
    return places[upto]
