"""The maps of several stages at once, and no more of the network than they need."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from resnetlib.errors import InputError
from resnetlib.modules import Backbone, FeatureInfo
from resnetlib.modules.arguments import check_images
from resnetlib.modules.backbone import check_network

torch.fx.wrap("check_images")  # symbolic tracing records the call, and does not look inside

Format = Literal["dict", "list"]


class Pyramid(nn.Module):
    """Computes the maps of some stages; it holds what they need of a network, under the same names.

    Shapes:
        `(N, in_chans, H, W)` -> `(N, channels[i], H / strides[i], W / strides[i])` for each map.

    Args:
        net: the network, whose modules it shares.
        wanted: numbers of its maps, rising, as in `feature_info`.
        norm: whether the last stage's map goes through the network's last norm and relu, where it has them.
        output: "dict", by the names c1, c2 ..., or "list".

    Attributes:
        names: c2 is the map of the first stage, c1 the stem's (arXiv 1612.03144, sec. 3).
        channels: of each map.
        strides: pixels of the image for a pixel of each map.
        feature_info: the same, as timm has it.
    """

    def __init__(self, net: Backbone, wanted: list[int], *, norm: bool, output: Format) -> None:
        super().__init__()
        self.training = net.training
        names = {module: name for name, module in net.named_modules()}
        sections = [net.stem(), *net.stages()][: wanted[-1] + 1]
        if norm and len(sections) == len(net.feature_info):
            sections[-1] = (*sections[-1], *net.tail())
        self._paths = [[names[part] for part in section] for section in sections]
        for section in sections:
            for part in section:
                _register(self, names[part], part)
        self._wanted, self._output = wanted, output
        self._expected = net.in_chans, net.smallest_input
        self.feature_info: list[FeatureInfo] = [net.feature_info[i] for i in wanted]
        self.names = tuple(f"c{i + 1}" for i in wanted)
        self.channels = tuple(info["num_chs"] for info in self.feature_info)
        self.strides = tuple(info["reduction"] for info in self.feature_info)

    def forward(self, x: Tensor) -> dict[str, Tensor] | list[Tensor]:
        """Compute the maps."""
        check_images(x, *self._expected)
        maps = []
        for i, section in enumerate(self._paths):
            for path in section:
                x = self.get_submodule(path)(x)
            if i in self._wanted:
                maps.append(x)
        return maps if self._output == "list" else dict(zip(self.names, maps, strict=True))


def pyramid(net: Backbone, stages: Iterable[int | str] | None = None, *, norm: bool = False, output: Format = "dict") -> Pyramid:
    """Make a network a pyramid of feature maps, for detectors and segmentation, with what it needs and no more.

    Args:
        net: the network of any family; its modules become the pyramid's own.
        stages: which maps: 1 is the stem's, 2 the first stage's, and so on, as in C2 to C5; or names, "c2" or those of the
            network ("layer1"). None for all stages.
        norm: put the last stage's map through the network's last norm and relu, which pre-activated families have.
        output: "dict" for maps by the names c1, c2 ..., or "list".

    Returns:
        The module; its `channels` and `strides` say what comes out.

    Raises:
        ValueError: for a stage that there is not, or none, and for another output.
        TypeError: for something that is no network.

    Source:
        Names of maps: arXiv 1612.03144, sec. 3.

    Example:
        >>> import torch
        >>> from resnetlib import create_model
        >>> maps = pyramid(create_model("densenet121"), stages=(2, 3))
        >>> maps.names, maps.channels, maps.strides
        (('c2', 'c3'), (256, 512), (4, 8))
        >>> maps(torch.randn(1, 3, 64, 64))["c3"].shape
        torch.Size([1, 512, 8, 8])
    """
    check_network(net)
    if output not in ("dict", "list"):
        raise InputError(f"output must be 'dict' or 'list', got {output!r}")
    numbers: dict[int | str, int] = {}
    for i, info in enumerate(net.feature_info):
        path = info["module"]
        numbers |= {i + 1: i, f"c{i + 1}": i, path: i, path.rpartition(".")[2]: i}
    asked = list(range(2, len(net.feature_info) + 1) if stages is None else stages)
    if isinstance(stages, str) or not asked or any(stage not in numbers for stage in asked):
        names = ", ".join(info["module"] for info in net.feature_info)
        raise InputError(f"stages must be some of 1 to {len(net.feature_info)}, or of their names, {names}, got {stages!r}")
    return Pyramid(net, sorted({numbers[stage] for stage in asked}), norm=norm, output=output)


def _register(root: nn.Module, path: str, module: nn.Module) -> None:
    """Give a module the name that it has in the network, also where a container lies on the way."""
    *containers, name = path.split(".")
    for container in containers:
        if container not in dict(root.named_children()):
            root.add_module(container, nn.Module())
            root.get_submodule(container).training = root.training
        root = root.get_submodule(container)
    root.add_module(name, module)
