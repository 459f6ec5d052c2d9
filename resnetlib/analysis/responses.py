"""How strongly do layers respond? The standard deviation of each 3x3 convolution's response."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from tqdm import tqdm

from resnetlib.analysis.batches import Batches, gather_inputs, images_in, run, run_finite
from resnetlib.analysis.curves import draw_curve
from resnetlib.analysis.hooks import outcomes
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.moments import Moments
from resnetlib.analysis.result import AnalysisResult
from resnetlib.modules import Block
from resnetlib.modules.layers import Shift

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, Shift)
"""Batch and instance norms, and the others; Fixup has shifts and scales in their place."""


@dataclass(frozen=True, slots=True, eq=False)
class ResponseStd(AnalysisResult):
    """The standard deviations of the responses of a network's 3x3 convolutions.

    Args:
        layers: the convolutions' names, in the order in which they run.
        measured: for each, the module whose output was measured: the norm behind it, or itself.
        images: over how many.
        std: for each, the standard deviation over all images, channels and places.
    """

    layers: tuple[str, ...]
    measured: tuple[str, ...]
    images: int
    std: Tensor

    @property
    def median(self) -> float:
        """The middle one, or the mean of the two in the middle."""
        return float(self.std.quantile(0.5))

    def plot(self, ax: "Axes | None" = None, label: str | None = None, *, descending: bool = False) -> "Axes":
        """Draw the standard deviations.

        Args:
            ax: axes to draw on, those of another network for example; None for new ones.
            label: what the legend calls them.
            descending: sort them, the largest first, as in the lower half of the paper's figure; else by the layer's index.

        Returns:
            The axes.
        """
        return draw_curve(ax, self.std, label=label, name="std of the response", of="3x3 layer", descending=descending)


def response_std(net: nn.Module, batches: Batches) -> ResponseStd:
    """Measure std over N, C, H, W of each 3x3 convolution's response: behind its norm, before nonlinearity and addition.

    All 3x3 convolutions count, the stem's too where it is one, as in the paper. The norm of a convolution is the first module that
    reads its output, if that is a norm; without one, it is the convolution's own output that is measured. So it is in
    pre-activated blocks, where the norm that comes next belongs to the next convolution: their figures are comparable to one
    another, and not to those of post-activated networks.

    Args:
        net: any network with 3x3 convolutions, in any mode; measured in evaluation, and left as it was.
        batches: images, with or without labels.

    Returns:
        The standard deviations.

    Raises:
        ValueError: if there are no images, or no 3x3 convolutions.

    Source:
        arXiv 1512.03385, sec. 4.2 and fig. 7.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> found = response_std(cifar_resnet20(), torch.randn(2, 3, 32, 32))
        >>> len(found.layers), found.layers[1], found.measured[1]
        (19, 'layer1.0.conv1', 'layer1.0.bn1')
    """
    net = unwrapped(net)
    inputs = gather_inputs(net, batches)
    with intact(net), torch.no_grad():
        measured = _measured(net, inputs[0])
        moments = {conv: Moments() for conv in measured}
        behind = {conv: net.get_submodule(name) for conv, name in measured.items()}
        with outcomes(behind, lambda conv, y: moments[conv].add(y.reshape(-1, 1))):
            for x in tqdm(inputs, desc="responses", unit="batch", disable=None):
                run_finite(net, x)
    return ResponseStd(
        layers=tuple(measured),
        measured=tuple(measured.values()),
        images=images_in(inputs),
        std=torch.cat([m.variance.cpu() for m in moments.values()]).sqrt(),
    )


def _measured(net: nn.Module, x: Tensor) -> dict[str, str]:
    """Return, for each 3x3 convolution, which module's output is its response. Running it tells who reads what."""
    names = {module: name for name, module in net.named_modules()}
    preactivating = [block for block in net.modules() if isinstance(block, Block) and type(block).pre is not Block.pre]
    preactivated = {module for block in preactivating for module in block.modules()}
    measured: dict[str, str] = {}
    unread: dict[str, Tensor] = {}

    def enter(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        for conv, y in list(unread.items()):
            if any(argument is y for argument in arguments):
                del unread[conv]
                if isinstance(module, _NORMS):
                    measured[conv] = names[module]

    def leave(conv: nn.Module, arguments: tuple[Any, ...], y: Tensor) -> None:
        measured[names[conv]] = names[conv]
        if conv not in preactivated:
            unread[names[conv]] = y

    with ExitStack() as stack:
        for module in names:
            if not isinstance(module, nn.Sequential):  # which reads nothing itself
                stack.callback(module.register_forward_pre_hook(enter).remove)
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                stack.callback(module.register_forward_hook(leave).remove)
        run(net, x)
    if not measured:
        raise ValueError(f"{type(net).__name__} runs no 3x3 convolutions (nn.Conv2d), whose responses could be measured")
    return measured
