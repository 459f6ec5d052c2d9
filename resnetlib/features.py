"""Feature pyramids: the maps of several stages, for detection and segmentation."""

from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from resnetlib.errors import InputError
from resnetlib.modules import Backbone, FeatureInfo
from resnetlib.modules.arguments import check_images
from resnetlib.modules.backbone import check_network
from resnetlib.modules.stage import Checkpointing, run, set_checkpointing

torch.fx.wrap("check_images")  # symbolic tracing records the call, and does not look inside

Format = Literal["dict", "list"]


class Pyramid(nn.Module):
    """The part of a network that computes the maps of some stages; `pyramid` creates it.

    Shapes:
        `(N, in_chans, H, W)` -> `(N, channels[i], H / strides[i], W / strides[i])` for each map.

    Args:
        net: the network; its modules are shared.
        selected: indices of the maps in `feature_info`, in ascending order.
        norm: whether to apply the network's tail to the last stage's map.
        output: "dict" or "list".

    Attributes:
        names: names of the maps: c1 is the stem's, c2 the first stage's (arXiv 1612.03144, sec. 3).
        channels: channels of each map.
        strides: image pixels per pixel of each map.
        feature_info: channels, stride and module of each map, as in timm.
        preprocess, pretrained_cfg, default_cfg: the network's.
    """

    def __init__(self, net: Backbone, selected: list[int], *, norm: bool, output: Format) -> None:
        super().__init__()
        self.training = net.training
        names = {module: name for name, module in net.named_modules()}
        sections = [net.stem(), *net.stages()][: selected[-1] + 1]
        if norm and len(sections) == len(net.feature_info):
            sections[-1] = (*sections[-1], *net.tail())
        for part in chain(*sections):
            _register(self, names[part], part)
        self._paths = [[names[part] for part in section] for section in sections]
        self._selected, self._output = selected, output
        self._expected = net.in_chans, net.smallest_input
        self.preprocess, self.pretrained_cfg, self.default_cfg = net.preprocess, net.pretrained_cfg, net.pretrained_cfg
        self.feature_info = FeatureInfo(net.feature_info[i] for i in selected)
        self.names = tuple(f"c{i + 1}" for i in selected)
        self.channels = tuple(info["num_chs"] for info in self.feature_info)
        self.strides = tuple(info["reduction"] for info in self.feature_info)

    def forward(self, x: Tensor) -> dict[str, Tensor] | list[Tensor]:
        """Compute the maps."""
        check_images(x, *self._expected)
        maps = []
        for i, section in enumerate(self._paths):
            x = run(map(self.get_submodule, section), x)
            if i in self._selected:
                maps.append(x)
        return maps if self._output == "list" else dict(zip(self.names, maps, strict=True))

    def set_grad_checkpointing(self, enable: Checkpointing = True) -> None:
        """Set what training recomputes in the backward pass, as `Backbone.set_grad_checkpointing` does."""
        set_checkpointing(self, enable)


def pyramid(net: Backbone, stages: Iterable[int | str] | None = None, *, norm: bool = False, output: Format = "dict") -> Pyramid:
    """Return a module that computes the maps of the given stages.

    Args:
        net: a network; the pyramid shares its modules, under the same names.
        stages: the maps: 1 for the stem's, 2 for the first stage's, and so on, as in C2 to C5; or names, such as "c2" or "layer1".
            None for all stages.
        norm: apply the network's last norm and relu, if it has them, to the last stage's map.
        output: "dict" for maps by name (c1, c2 ...), or "list".

    Returns:
        The module. Its `channels` and `strides` describe the maps.

    Raises:
        ValueError: if there is no such stage, or `norm` is for a stage that is not selected.

    Source:
        Names of the maps: arXiv 1612.03144, sec. 3.

    Example:
        >>> import torch
        >>> from resnetlib import create_model
        >>> maps = pyramid(create_model("densenet121"), stages=(2, 3))
        >>> maps.names, maps.channels, maps.strides
        (('c2', 'c3'), (256, 512), (4, 8))
        >>> maps(torch.randn(1, 3, 64, 64))["c3"].shape
        torch.Size([1, 512, 8, 8])
    """
    net = check_network(net)
    if output not in ("dict", "list"):
        raise InputError(f"output must be 'dict' or 'list', got {output!r}")
    paths = [info["module"] for info in net.feature_info]
    indices: dict[int | str, int] = {}
    for i, path in enumerate(paths):
        indices |= {i + 1: i, f"c{i + 1}": i, path: i, path.rpartition(".")[2]: i}
    selected: list[int] = []
    with suppress(KeyError, TypeError):  # no such stage, or not an iterable, or of unhashable objects
        selected = sorted({indices[stage] for stage in (range(2, len(paths) + 1) if stages is None else stages)})
    if isinstance(stages, str) or not selected:
        raise InputError(f"stages must be some of 1 to {len(paths)}, or of their names, {', '.join(paths)}, got {stages!r}")
    if norm and selected[-1] + 1 < len(paths):
        raise InputError(f"norm=True is for the last stage's map, {paths[-1]}, which is not among the stages, {stages!r}")
    return Pyramid(net, selected, norm=norm, output=output)


def _register(root: nn.Module, path: str, module: nn.Module) -> None:
    """Register a module under a dotted name; create the containers in between."""
    *containers, name = path.split(".")
    for container in containers:
        if container not in root._modules:
            root.add_module(container, nn.Module().train(root.training))
        root = root.get_submodule(container)
    root.add_module(name, module)
