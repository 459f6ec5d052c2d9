"""If one layer makes errors, what do the others make of it? Noise on one branch at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.arguments import check_numbers
from resnetlib.analysis.batches import Batches, gather
from resnetlib.analysis.hooks import meeting
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.joints import running_blocks
from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.analysis.scores import Score, chance_error, score_intact
from resnetlib.analysis.shrinking import one_at_a_time
from resnetlib.analysis.streams import normal_like, streams

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class BranchNoise(AnalysisResult):
    """A network's accuracy with noise on one branch.

    Args:
        blocks: the blocks' names.
        ratios: sizes of the noise, relative to the branch.
        images: over how many.
        intact_accuracy: accuracy without noise, in %.
        chance_accuracy: accuracy of guessing, in %.
        accuracy: for each block, ratio and draw, in %.
    """

    blocks: tuple[str, ...]
    ratios: tuple[float, ...]
    images: int
    intact_accuracy: float
    chance_accuracy: float
    accuracy: Tensor

    @property
    def mean(self) -> Tensor:
        """For each block and ratio, the mean accuracy over the draws, in %."""
        return self.accuracy.mean(2)

    @property
    def drop(self) -> Tensor:
        """For each block and ratio, the accuracy that the noise takes, in percentage points."""
        return self.intact_accuracy - self.mean

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the accuracy with noise on each block's branch, a line for each ratio.

        Args:
            ax: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        ax = new_axes(ax, width=8)
        for i, ratio in enumerate(self.ratios):
            ax.plot(range(len(self.blocks)), self.mean[:, i].tolist(), ".-", label=f"noise of {ratio:g} of the branch")
        ax.axhline(self.intact_accuracy, color="black", linewidth=0.8, label="without noise")
        ax.axhline(self.chance_accuracy, color="tab:gray", linestyle="--", linewidth=0.8, label="guessing")
        ax.set(xlabel="block with the noise", ylabel="accuracy (%)", ylim=(0, 100))
        ax.legend()
        return ax


def branch_noise(
    net: nn.Module, batches: Batches, ratios: Sequence[float] = (0.5, 1.0), *, draws: int = 1, seed: int = 0
) -> BranchNoise:
    """Let one block at a time compute F(x) + ratio * rms(F(x)) * N(0, 1) in its branch.

    The root mean square is that of the branch's output, of each image by itself. A plain block's branch is all that it gives out,
    and a residual block's a part of it: the same ratio is less noise on what the next block reads, which is the claim.

    Args:
        net: a network with blocks, in any mode and of any family; measured in evaluation, and left as it was.
        batches: images and labels.
        ratios: sizes of the noise, relative to the branch.
        draws: of the noise, for each image.
        seed: of the draws. They are the same for every block, as far as the shapes are, and for every network of the same shapes.

    Returns:
        The accuracies.

    Raises:
        ValueError: if there are no images or labels, the network runs no blocks, its loss is no finite number, or a ratio is not
            one of at least 0.

    Source:
        No paper's: it asks the question of arXiv 1605.06431 about errors in the place of deletion.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> found = branch_noise(cifar_resnet20(), (torch.randn(4, 3, 32, 32), torch.arange(4)), [0.5])
        >>> found.accuracy.shape
        torch.Size([9, 1, 1])
    """
    net = unwrapped(net)
    data, sizes = gather(net, batches), check_numbers("ratios", ratios, least=0)
    blocks = running_blocks(net, data[0][0])
    sources = {name: streams(seed, draws) for name in blocks}
    scores = {name: [[Score() for _ in range(draws)] for _ in sizes] for name in blocks}
    total = len(data) * len(blocks) * len(sizes) * draws
    with intact(net), torch.inference_mode(), tqdm(total=total, desc="branch noise", disable=None) as bar:
        whole, outputs = score_intact(net, data)
        for x, y in data:
            for name, rest in one_at_a_time(net, blocks, x):
                for j, source in enumerate(sources[name]):
                    state = source.get_state()
                    for i, ratio in enumerate(sizes):
                        source.set_state(state)  # the same noise in every size
                        with meeting({name: blocks[name]}, partial(_noisy, ratio=ratio, source=source)):
                            scores[name][i][j].add(rest(), y)
                        bar.update()
    return BranchNoise(
        blocks=tuple(blocks),
        ratios=sizes,
        images=whole.images,
        intact_accuracy=100 - whole.error,
        chance_accuracy=100 - chance_error(outputs[0].shape[1]),
        accuracy=100 - torch.tensor([[[s.error for s in row] for row in rows] for rows in scores.values()], dtype=torch.float64),
    )


def _noisy(name: str, skip: Tensor, branch: Tensor, *, ratio: float, source: torch.Generator) -> tuple[Tensor, Tensor]:
    rms = branch.square().mean((1, 2, 3), keepdim=True).sqrt()
    return skip, branch + ratio * rms * normal_like(branch, source)
