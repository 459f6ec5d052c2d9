"""How much does a block change what it is given? ||F(x)|| / ||skip||."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.batches import Batches, gather_inputs, images_in, run_finite
from resnetlib.analysis.curves import draw_curve
from resnetlib.analysis.hooks import meeting
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.joints import blocks_in, chains_of
from resnetlib.analysis.result import AnalysisResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class BranchRatio(AnalysisResult):
    """The size of each block's change, relative to what it changes.

    Args:
        blocks: the blocks' names.
        images: over how many.
        ratio: for each block, the mean over images of ||F(x)|| / ||skip||; NaN where a block without skip changes the shape.
    """

    blocks: tuple[str, ...]
    images: int
    ratio: Tensor

    @property
    def median(self) -> float:
        """The middle one, or the mean of the two in the middle; NaN are left out."""
        return float(self.ratio.nanquantile(0.5))

    def plot(self, ax: "Axes | None" = None, label: str | None = None, *, descending: bool = False) -> "Axes":
        """Draw the ratios.

        Args:
            ax: axes to draw on, those of another network for example; None for new ones.
            label: what the legend calls them.
            descending: sort them, the largest first; else by the block's index.

        Returns:
            The axes.
        """
        return draw_curve(ax, self.ratio, label=label, name="||F(x)|| / ||skip||", of="block", descending=descending)


def branch_ratio(net: nn.Module, batches: Batches) -> BranchRatio:
    """Measure ||F(x)|| / ||skip|| at each block's join.

    F(x) is what the join makes of the branch where nothing skips it, alpha F(x) in a scaled join; the skip is the block's input, or
    the shortcut's image of it. A plain block's input reaches its join too, where it is ignored: its ratio is ||F(x)|| / ||x||.

    Args:
        net: a network with blocks, in any mode; measured in evaluation, and left as it was.
        batches: images, with or without labels.

    Returns:
        The ratios.

    Raises:
        ValueError: if there are no images, or the network runs no blocks, or one of them several times.

    Source:
        arXiv 1512.03385, sec. 3.1: "if the optimal function is closer to an identity mapping than to a zero mapping"; the paper
        shows responses (`response_std`), and no ratios.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> net = cifar_resnet20()
        >>> _ = torch.nn.init.zeros_(net.layer1[0].bn2.weight)
        >>> float(branch_ratio(net, torch.randn(2, 3, 32, 32)).ratio[0])
        0.0
    """
    net = unwrapped(net)
    inputs = gather_inputs(net, batches)
    blocks = blocks_in(net, chains_of(net, inputs[0]))
    sums = dict.fromkeys(blocks, 0.0)

    def see(name: str, skip: Tensor, branch: Tensor) -> None:
        join = blocks[name].join
        if join.uses_skip or skip.shape == branch.shape:
            sums[name] += float((_norms(join.forward(torch.zeros_like(skip), branch)) / _norms(skip)).sum())
        else:
            sums[name] = float("nan")

    with intact(net), torch.no_grad(), meeting(blocks, see):
        for x in tqdm(inputs, desc="branch ratios", unit="batch", disable=None):
            run_finite(net, x)
    images = images_in(inputs)
    return BranchRatio(blocks=tuple(blocks), images=images, ratio=torch.tensor(list(sums.values()), dtype=torch.float64) / images)


def _norms(x: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(x.double().flatten(1), dim=1)
    return norms
