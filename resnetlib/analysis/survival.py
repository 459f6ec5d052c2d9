"""How much of a block's branch must survive until predictions change? On the way to the shallower network without it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.arguments import check_numbers
from resnetlib.analysis.batches import Batches, gather
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.joints import running_blocks
from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.analysis.scores import Score, chance_error, decided, score_intact
from resnetlib.analysis.shrinking import Run, one_at_a_time, remains_of, shrunken

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ALL = ""  # no block is called so


@dataclass(frozen=True, slots=True, eq=False)
class BlockSurvival(AnalysisResult):
    """What a network predicts when branches are shrunk.

    Args:
        blocks: the blocks' names.
        remains: for each block, what it is at the factor 0.
        factors: that multiply the branch.
        images: over how many.
        intact_error: of the whole network, in %.
        chance_error: error of guessing, in %.
        changed: for each block and factor, share of the images whose prediction is another than the whole network's, in %.
        error: for each block and factor, in %.
        changed_all: for each factor, with all branches shrunk at once, in %.
        error_all: for each factor, with all branches shrunk at once, in %.
    """

    blocks: tuple[str, ...]
    remains: tuple[str, ...]
    factors: tuple[float, ...]
    images: int
    intact_error: float
    chance_error: float
    changed: Tensor
    error: Tensor
    changed_all: Tensor
    error_all: Tensor

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw how many predictions change with the factor: a line for each block, and one for all at once.

        Args:
            ax: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        ax = new_axes(ax)
        order = sorted(range(len(self.factors)), key=self.factors.__getitem__)
        factors = [self.factors[i] for i in order]
        for i, of_block in enumerate(self.changed):
            label = "one block" if i == 0 else None
            ax.plot(factors, of_block[order].tolist(), color="tab:blue", alpha=0.4, linewidth=0.8, label=label)
        ax.plot(factors, self.changed_all[order].tolist(), "o-", color="tab:orange", label="all blocks")
        ax.set(xlabel="factor of the branch", ylabel="predictions that changed (%)", ylim=(0, 100))
        ax.invert_xaxis()
        ax.legend()
        return ax


class _Comparison(Score):
    """A score, and how many predictions are others than the whole network's."""

    def __init__(self) -> None:
        super().__init__()
        self._others: Tensor | float = 0.0

    def compare(self, logits: Tensor, labels: Tensor, before: Tensor) -> None:
        """Add a batch, with the whole network's logits."""
        self.add(logits, labels)
        self._others = self._others + (decided(logits) != decided(before)).sum()

    @property
    def changed(self) -> float:
        """Share of images with another prediction, in %."""
        return 100 * float(self._others) / self.images


def block_survival(net: nn.Module, batches: Batches, factors: Sequence[float] = (1.0, 0.75, 0.5, 0.25, 0.0)) -> BlockSurvival:
    """Compute y = skip + factor * F(x) in one block at a time, and in all at once, and see which predictions change.

    A network that can mimic a shallower one loses little on the way from 1 to 0, where the block is deleted (`lesion`). A dense
    layer's channels are multiplied. A plain block has no skip: multiplied is the deviation of its branch from its input, or from
    shortcut A's image of it where the shape changes.

    Args:
        net: a network with blocks, in any mode and of any family; measured in evaluation, and left as it was.
        batches: images and labels.
        factors: that multiply the branch.

    Returns:
        Changed predictions, and errors.

    Raises:
        ValueError: if there are no images or labels, the network runs no blocks, its loss is no finite number, or a factor is none.

    Source:
        No paper's: the claim is that of arXiv 1512.03385, sec. 1, that a deeper network contains the shallower one.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> found = block_survival(cifar_resnet20(), (torch.randn(4, 3, 32, 32), torch.arange(4)), [1, 0])
        >>> found.changed[:, 0].sum().item()
        0.0
    """
    net = unwrapped(net)
    factors = check_numbers("factors", factors)
    data = gather(net, batches)
    blocks = running_blocks(net, data[0][0])
    scores = {name: [_Comparison() for _ in factors] for name in (*blocks, _ALL)}
    total = len(data) * len(scores) * len(factors)
    with intact(net), torch.inference_mode(), tqdm(total=total, desc="survival", disable=None) as bar:
        whole, outputs = score_intact(net, data)
        for (x, y), before in zip(data, outputs, strict=True):
            together: list[Run] = [(_ALL, partial(net, x))]
            for name, rest in chain(one_at_a_time(net, blocks, x), together):
                for comparison, factor in zip(scores[name], factors, strict=True):
                    with shrunken(blocks, blocks if name == _ALL else [name], factor):
                        comparison.compare(before if factor == 1 else rest(), y, before)
                    bar.update()
    changed, error = (
        torch.tensor([[getattr(each, key) for each in row] for row in scores.values()], dtype=torch.float64)
        for key in ("changed", "error")
    )
    return BlockSurvival(
        blocks=tuple(blocks),
        remains=tuple(map(remains_of, blocks.values())),
        factors=factors,
        images=whole.images,
        intact_error=whole.error,
        chance_error=chance_error(outputs[0].shape[1]),
        changed=changed[:-1],
        error=error[:-1],
        changed_all=changed[-1],
        error_all=error[-1],
    )
