"""Must blocks run in the order in which they were trained? Swapped in pairs, after training."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.arguments import check_integers, check_numbers
from resnetlib.analysis.batches import Batches, gather
from resnetlib.analysis.hooks import meeting, outcomes
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.joints import blocks_in, chains_of
from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.analysis.scores import chance_error, evaluated, score_intact
from resnetlib.analysis.streams import streams
from resnetlib.modules import Block

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class Reordering(AnalysisResult):
    """What a network does with its blocks in other orders.

    Args:
        blocks: the blocks' names.
        groups: names of those that could change places with each other.
        swaps: how many pairs did.
        images: over how many.
        intact_error: in the trained order, in %.
        chance_error: error of guessing, in %.
        tau: for each number of swaps and draw, Kendall's tau of the order of all blocks: 1 for the trained one.
        error: for each number of swaps and draw, in %.
    """

    blocks: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    swaps: tuple[int, ...]
    images: int
    intact_error: float
    chance_error: float
    tau: Tensor
    error: Tensor

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the error against Kendall's tau, a point for each order.

        Args:
            ax: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        ax = new_axes(ax)
        ax.plot(self.tau.flatten().tolist(), self.error.flatten().tolist(), ".", label="reordered")
        ax.axhline(self.intact_error, color="black", linewidth=0.8, label="trained order")
        ax.axhline(self.chance_error, color="tab:gray", linestyle="--", linewidth=0.8, label="guessing")
        ax.set(xlabel="Kendall's tau of the order", ylabel="error (%)", ylim=(0, 100))
        ax.invert_xaxis()
        ax.legend()
        return ax


def kendall_tau(order: Sequence[int]) -> float:
    """Kendall's tau = (pairs in their natural order - pairs in the other) / pairs.

    Args:
        order: different numbers, two at least.

    Returns:
        From -1, the reverse of the natural order, to 1.

    Raises:
        ValueError: for fewer than two numbers, or equal ones.

    Example:
        >>> kendall_tau([0, 1, 2]), kendall_tau([2, 1, 0])
        (1.0, -1.0)
    """
    numbers = check_numbers("order", order, fewest=2)
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"order must be different numbers, got {numbers}")
    signs = [1 if first < second else -1 for first, second in combinations(numbers, 2)]
    return sum(signs) / len(signs)


def reorder(net: nn.Module, batches: Batches, swaps: Sequence[int] | None = None, *, draws: int = 10, seed: int = 0) -> Reordering:
    """Swap k random pairs of blocks, one after the other, and compare the error with how far the order is from the trained one.

    Blocks can change places if they are of one class and structure, take and give out one and the same shape, and have no
    downsampling skip. Each then computes with the other's tensors; what a block of yours holds beside parameters and buffers
    stays where it is. A draw is a sequence of swaps, of which the first k are made, for every k.

    Args:
        net: a network with blocks, in any mode; measured in evaluation, and left as it was.
        batches: images and labels.
        swaps: the values of k; None for 1 to 20.
        draws: random sequences.
        seed: of the draws.

    Returns:
        Error and Kendall's tau of each order.

    Raises:
        ValueError: if there are no images or labels, its loss is no finite number, k is out of range, or no two blocks can change
            places: never two layers of a dense network, each of which reads other channels.

    Source:
        arXiv 1605.06431, sec. 4.2, fig. 5b.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> found = reorder(cifar_resnet20(), (torch.randn(4, 3, 32, 32), torch.arange(4)), [1], draws=2)
        >>> found.groups
        (('layer1.0', 'layer1.1', 'layer1.2'), ('layer2.1', 'layer2.2'), ('layer3.1', 'layer3.2'))
    """
    net = unwrapped(net)
    data = gather(net, batches)
    blocks = blocks_in(net, chains_of(net, data[0][0]))
    swaps = check_integers("swaps", range(1, 21) if swaps is None else swaps, 0, 10**6)
    names, sources = list(blocks), streams(seed, draws)
    with intact(net), torch.inference_mode():
        groups = _groups(net, blocks, data[0][0])
        pairs = [pair for group in groups for pair in combinations(map(names.index, group), 2)]
        if not pairs:
            raise ValueError(f"no two of the {len(names)} blocks can change places: none are of one structure and keep their shape")
        tau, error = (torch.zeros(len(swaps), draws, dtype=torch.float64) for _ in range(2))
        whole, outputs = score_intact(net, data)
        with tqdm(total=error.numel(), desc="reorder", disable=None) as bar:
            for j, stream in enumerate(sources):
                chosen = [pairs[i] for i in torch.randint(len(pairs), (max(swaps),), generator=stream).tolist()]
                for i, count in enumerate(swaps):
                    order = list(range(len(names)))
                    for one, other in chosen[:count]:
                        order[one], order[other] = order[other], order[one]
                    tau[i, j] = kendall_tau(order)
                    error[i, j] = evaluated(net, data, _tensors(blocks, order)).error
                    bar.update()
    return Reordering(
        blocks=tuple(names),
        groups=groups,
        swaps=swaps,
        images=whole.images,
        intact_error=whole.error,
        chance_error=chance_error(outputs[0].shape[1]),
        tau=tau,
        error=error,
    )


def _groups(net: nn.Module, blocks: dict[str, Block], x: Tensor) -> tuple[tuple[str, ...], ...]:
    """Find the blocks that can change places, by running images through the network."""
    skips: dict[str, torch.Size] = {}
    outputs: dict[str, torch.Size] = {}

    def meet(name: str, skip: Tensor, branch: Tensor) -> None:
        skips[name] = skip.shape

    def leave(name: str, y: Tensor) -> None:
        outputs[name] = y.shape

    with meeting(blocks, meet), outcomes(blocks, leave):
        net(x)
    alike: dict[Any, list[str]] = {}
    for name, block in blocks.items():
        if block.downsample is None and skips[name] == outputs[name]:
            # A join's printed form differs from block to block where they are dropped at random, which evaluation does not do.
            children = tuple((key, type(child) if child is block.join else repr(child)) for key, child in block.named_children())
            shapes = tuple((key, tensor.shape) for key, tensor in _state(block).items())
            alike.setdefault((type(block), outputs[name], children, shapes), []).append(name)
    return tuple(tuple(group) for group in alike.values() if len(group) > 1)


def _state(block: Block) -> dict[str, Tensor]:
    return dict(block.named_parameters()) | dict(block.named_buffers())


def _tensors(blocks: dict[str, Block], order: list[int]) -> dict[str, Tensor]:
    """Return, by their names in the network, the tensors with which its blocks run in another order."""
    names = list(blocks)
    moved = [(names[place], blocks[names[number]]) for place, number in enumerate(order) if place != number]
    return {f"{name}.{key}": tensor for name, block in moved for key, tensor in _state(block).items()}
