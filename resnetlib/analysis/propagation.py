"""How does a signal grow on its way? Means and variances of channels, block by block."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.batches import Batches, gather_inputs, images_in, noise_images, run_finite
from resnetlib.analysis.hooks import meeting, outcomes
from resnetlib.analysis.intact import unwrapped
from resnetlib.analysis.joints import blocks_in, chains_of, spans_of
from resnetlib.analysis.moments import Moments, of_channels
from resnetlib.analysis.norms import norms_in
from resnetlib.analysis.result import AnalysisResult, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class SignalPropagation(AnalysisResult):
    """Channel statistics at the end of each block, and of its branch.

    Args:
        blocks: the blocks' names.
        chains: for each chain, the numbers of its first block and of the block after its last.
        images: over how many.
        training: whether norms used each batch's own statistics.
        squared_mean: for each block's output, the mean over channels of the squared mean over images and places.
        variance: for each block's output, the mean over channels of the variance over images and places.
        branch_variance: the same at the end of each block's branch, before the join.
    """

    blocks: tuple[str, ...]
    chains: tuple[tuple[int, int], ...]
    images: int
    training: bool
    squared_mean: Tensor
    variance: Tensor
    branch_variance: Tensor

    def plot(self, ax: "Axes | None" = None, label: str | None = None) -> "Axes":
        """Draw the three, block by block: a signal propagation plot.

        Args:
            ax: axes to draw on, those of another network for example; None for new ones.
            label: what the legend calls the network.

        Returns:
            The axes.
        """
        ax = new_axes(ax, width=8)
        before = "" if label is None else f"{label}: "
        for values, name, style in (
            (self.variance, "variance", "-"),
            (self.squared_mean, "squared mean", "--"),
            (self.branch_variance, "variance of the branch", ":"),
        ):
            ax.plot(range(len(self.blocks)), values.tolist(), style, marker=".", label=before + name)
        ax.set(xlabel="block", ylabel="mean over channels")
        ax.legend()
        return ax


def signal_propagation(
    net: nn.Module,
    batches: Batches | None = None,
    *,
    images: int = 64,
    image_size: int = 32,
    training: bool = True,
    seed: int = 0,
) -> SignalPropagation:
    """Measure mean_c(mean_nhw^2) and mean_c(var_nhw) of each block's output, and the latter of its branch.

    In a residual network with batch norms at initialisation, every branch of a stage adds the same variance, so that it grows
    linearly with depth; the first block of a stage, whose shortcut is normalised (pre-activation, or a projection with a norm),
    resets it. Shortcut A of a post-activation network hands on the old channels beside zeros, and so resets it in part.

    Args:
        net: a network with blocks; left as it was.
        batches: images, with or without labels; None for images of numbers from N(0, 1).
        images: how many of those.
        image_size: their height and width, in pixels.
        training: whether norms use each batch's own statistics, as at the first step of a training, or their running ones. Dropout
            and stochastic depth are off in both cases.
        seed: of the numbers.

    Returns:
        The statistics.

    Raises:
        ValueError: if there are no images, or the network runs no blocks, or one of them several times.

    Source:
        arXiv 2101.08692.

    Example:
        >>> from resnetlib import cifar_preact_resnet20
        >>> found = signal_propagation(cifar_preact_resnet20(), images=8)
        >>> bool(found.variance[2] > found.variance[1] > found.variance[0])
        True
    """
    net = unwrapped(net)
    if batches is None:
        batches = noise_images(net, images, image_size, seed=seed)
    inputs = gather_inputs(net, batches)
    chains = chains_of(net, inputs[0])
    blocks = blocks_in(net, chains)
    branches = {name: Moments() for name in blocks}
    outputs = {name: Moments() for name in blocks}

    def meet(name: str, skip: Tensor, branch: Tensor) -> None:
        branches[name].add(of_channels(branch))

    def leave(name: str, y: Tensor) -> None:
        outputs[name].add(of_channels(y))

    with norms_in(net, training=training), torch.no_grad(), meeting(blocks, meet), outcomes(blocks, leave):
        for x in tqdm(inputs, desc="signal propagation", unit="batch", disable=None):
            run_finite(net, x)
    return SignalPropagation(
        blocks=tuple(blocks),
        chains=spans_of(chains),
        images=images_in(inputs),
        training=bool(training),
        squared_mean=torch.stack([m.mean.square().mean().cpu() for m in outputs.values()]),
        variance=torch.stack([m.variance.mean().cpu() for m in outputs.values()]),
        branch_variance=torch.stack([m.variance.mean().cpu() for m in branches.values()]),
    )
