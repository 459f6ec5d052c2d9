"""Can a network do without a block? Deleted one at a time, and several at once, after training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.arguments import check_integers
from resnetlib.analysis.batches import Batches, gather
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.joints import running_blocks
from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.analysis.scores import Score, chance_error, evaluated, score_intact
from resnetlib.analysis.shrinking import changes_shape, one_at_a_time, remains_of, shrunken
from resnetlib.analysis.streams import streams

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class Lesion(AnalysisResult):
    """What a network does without each of its blocks.

    Args:
        blocks: the blocks' names.
        remains: for each block, what it was once it was deleted.
        changes_shape: for each block, whether it gives out another shape than it takes.
        images: over how many.
        intact_error: of the whole network, in %.
        intact_loss: of the whole network, mean cross-entropy in nats.
        chance_error: error of guessing, in %.
        error: for each block, without it, in %.
        loss: for each block, without it, in nats.
    """

    blocks: tuple[str, ...]
    remains: tuple[str, ...]
    changes_shape: tuple[bool, ...]
    images: int
    intact_error: float
    intact_loss: float
    chance_error: float
    error: Tensor
    loss: Tensor

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the error without each block, and those of the whole network and of guessing.

        Args:
            ax: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        ax = new_axes(ax, width=8)
        colours = ["tab:orange" if changes else "tab:blue" for changes in self.changes_shape]
        ax.bar(range(len(self.blocks)), self.error.tolist(), color=colours)
        ax.axhline(self.intact_error, color="black", linewidth=0.8, label="with all blocks")
        ax.axhline(self.chance_error, color="tab:gray", linestyle="--", linewidth=0.8, label="guessing")
        ax.set(xlabel="deleted block (orange: changes the shape)", ylabel="error (%)", ylim=(0, 100))
        ax.legend()
        return ax


@dataclass(frozen=True, slots=True, eq=False)
class LesionMany(AnalysisResult):
    """What a network does without several of its blocks.

    Args:
        candidates: names of the blocks that could be deleted.
        counts: how many were.
        images: over how many.
        intact_error: of the whole network, in %.
        chance_error: error of guessing, in %.
        error: for each count and draw, in %.
    """

    candidates: tuple[str, ...]
    counts: tuple[int, ...]
    images: int
    intact_error: float
    chance_error: float
    error: Tensor

    def quantile(self, q: float) -> Tensor:
        """Return a quantile of the error over the draws, for each count; 0.5 for the median."""
        return self.error.quantile(q, dim=1)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the median error against the number of deleted blocks, with its quartiles.

        Args:
            ax: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        ax = new_axes(ax)
        (line,) = ax.plot(self.counts, self.quantile(0.5).tolist(), marker=".", label="median")
        first, third = (self.quantile(q).tolist() for q in (0.25, 0.75))
        ax.fill_between(self.counts, first, third, color=line.get_color(), alpha=0.25, label="quartiles")
        ax.axhline(self.intact_error, color="black", linewidth=0.8, label="with all blocks")
        ax.axhline(self.chance_error, color="tab:gray", linestyle="--", linewidth=0.8, label="guessing")
        ax.set(xlabel="deleted blocks", ylabel="error (%)", ylim=(0, 100))
        ax.legend()
        return ax


def lesion(net: nn.Module, batches: Batches) -> Lesion:
    """Delete one block at a time: y = skip in place of y = skip + F(x), and see what the network still knows.

    Where a block's join uses its skip, its branch becomes zero, and the skip stays, also one that changes the shape; a dense layer
    adds channels of zeros. A plain block's output becomes its input, or shortcut A's image of it where the shape changes (every
    stride-th pixel, and channels of zeros). What follows the join in a block, a relu, stays.

    Args:
        net: a network with blocks, in any mode and of any family; measured in evaluation, and left as it was.
        batches: images and labels.

    Returns:
        Error and loss without each block, beside the whole network's.

    Raises:
        ValueError: if there are no images or labels, the network runs no blocks, or its loss is no finite number.

    Source:
        arXiv 1605.06431, sec. 4.1: without one block a residual network is hardly worse, and VGG at chance.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> found = lesion(cifar_resnet20().eval(), (torch.randn(4, 3, 32, 32), torch.arange(4)))
        >>> found.remains[2:4]
        ('its input', 'what its shortcut makes of its input')
    """
    net = unwrapped(net)
    data = gather(net, batches)
    blocks = running_blocks(net, data[0][0])
    without = {name: Score() for name in blocks}
    with intact(net), torch.inference_mode(), tqdm(total=len(blocks) * len(data), desc="lesion", disable=None) as bar:
        whole, outputs = score_intact(net, data)
        for x, y in data:
            for name, rest in one_at_a_time(net, blocks, x):
                with shrunken(blocks, [name], 0):
                    without[name].add(rest(), y)
                bar.update()
    return Lesion(
        blocks=tuple(blocks),
        remains=tuple(map(remains_of, blocks.values())),
        changes_shape=tuple(map(changes_shape, blocks.values())),
        images=whole.images,
        intact_error=whole.error,
        intact_loss=whole.loss,
        chance_error=chance_error(outputs[0].shape[1]),
        error=torch.tensor([score.error for score in without.values()], dtype=torch.float64),
        loss=torch.tensor([score.loss for score in without.values()], dtype=torch.float64),
    )


def lesion_many(
    net: nn.Module,
    batches: Batches,
    counts: Sequence[int] | None = None,
    *,
    draws: int = 10,
    which: Literal["all", "same shape"] = "all",
    seed: int = 0,
) -> LesionMany:
    """Delete k random blocks at once, as `lesion` does one: does the error rise smoothly with k, as an ensemble's would?

    A draw is a random order of the blocks, of which the first k are deleted, for every k.

    Args:
        net: a network with blocks, in any mode and of any family; measured in evaluation, and left as it was.
        batches: images and labels.
        counts: the values of k; None for 1 to 20, the paper's, or as many as there are blocks.
        draws: random orders.
        which: "all" blocks can be deleted, as in the paper; or those alone that keep the "same shape".
        seed: of the draws.

    Returns:
        The errors.

    Raises:
        ValueError: if there are no images or labels, the network runs no blocks, or none that can be deleted, its loss is no finite
            number, or k is out of range.

    Source:
        arXiv 1605.06431, sec. 4.2, fig. 5a.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> found = lesion_many(cifar_resnet20(), (torch.randn(4, 3, 32, 32), torch.arange(4)), [1, 9], draws=2)
        >>> found.error.shape
        torch.Size([2, 2])
    """
    if which not in ("all", "same shape"):
        raise ValueError(f"which must be 'all' or 'same shape', got {which!r}")
    net = unwrapped(net)
    data = gather(net, batches)
    blocks = running_blocks(net, data[0][0])
    candidates = [name for name, block in blocks.items() if which == "all" or not changes_shape(block)]
    if not candidates:
        raise ValueError(f"no block keeps its shape, of {', '.join(blocks)}: none can be deleted with which='same shape'")
    if counts is None:
        counts = range(1, min(20, len(candidates)) + 1)
    counts = check_integers("counts", counts, 0, len(candidates))
    orders = [torch.randperm(len(candidates), generator=stream).tolist() for stream in streams(seed, draws)]
    error = torch.zeros(len(counts), draws, dtype=torch.float64)
    with intact(net), torch.inference_mode(), tqdm(total=error.numel(), desc="lesion", disable=None) as bar:
        whole, outputs = score_intact(net, data)
        for i, count in enumerate(counts):
            for j, order in enumerate(orders):
                with shrunken(blocks, [candidates[number] for number in order[:count]], 0):
                    error[i, j] = evaluated(net, data).error
                bar.update()
    return LesionMany(
        candidates=tuple(candidates),
        counts=counts,
        images=whole.images,
        intact_error=whole.error,
        chance_error=chance_error(outputs[0].shape[1]),
        error=error,
    )
