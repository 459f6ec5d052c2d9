"""Is a deep feature a shallow one plus what the blocks between them add? x_L = x_l + sum F(x_i), measured."""

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnetlib.analysis.batches import Batches, gather_inputs, images_in, run_finite
from resnetlib.analysis.hooks import meeting, outcomes
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.joints import blocks_in, chains_of, spans_of
from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.modules import Block

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class ResidualDecomposition(AnalysisResult):
    """How each chain's last feature comes together.

    A chain is a stage, or a part of one inside of which nothing but blocks changes x (`chains_of`). x_l is what skips its first
    branch: the chain's input, or the shortcut's image of it.

    Args:
        blocks: the blocks' names.
        chains: for each chain, the numbers of its first block and of the block after its last.
        images: over how many.
        deviation: for each chain, the largest `|x_L - (x_l + sum of what the joins added)|` as a share of the largest `|x_L|`. Zero
            up to the order of additions where nothing follows the joins (pre-activation, DenseNet); elsewhere it is what the relus
            behind them changed.
        deviation_with_out: the same with what each block's `out` changed counted as a term. Zero up to the order of additions,
            but in plain networks.
        branch_energy: for each block, mean squared norm of what its join added to the skip.
        out_energy: for each block, mean squared norm of what `out` changed.
        skip_energy: for each chain, mean squared norm of x_l.
        share: for each block, <x_L, what the join added> / <x_L, x_L>: its share of the chain's last feature.
        share_of_skip: for each chain, the share of x_l. Where the sum is x_L, the shares of a chain and of its relus' changes have
            the sum 1.
        share_of_out: for each chain, the share of what the relus changed.
    """

    blocks: tuple[str, ...]
    chains: tuple[tuple[int, int], ...]
    images: int
    deviation: tuple[float, ...]
    deviation_with_out: tuple[float, ...]
    branch_energy: Tensor
    out_energy: Tensor
    skip_energy: Tensor
    share: Tensor
    share_of_skip: Tensor
    share_of_out: Tensor

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw each block's share of its chain's last feature, and the shares of x_l.

        Args:
            ax: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        ax = new_axes(ax, width=8)
        ax.bar(range(len(self.blocks)), self.share.tolist(), color="tab:blue", label="blocks, F(x_i)")
        starts = [first for first, _ in self.chains]
        ax.bar([first - 0.5 for first in starts], self.share_of_skip.tolist(), 0.4, color="tab:orange", label="skip, x_l")
        ax.bar([last - 0.5 for _, last in self.chains], self.share_of_out.tolist(), 0.3, color="tab:gray", label="relus' changes")
        ax.axhline(0, color="black", linewidth=0.8)
        ax.set(xlabel="block", ylabel="share of the chain's last feature x_L")
        ax.legend()
        return ax


def residual_decomposition(net: nn.Module, batches: Batches) -> ResidualDecomposition:
    """Measure x_L = x_l + sum F(x_i) in every chain of blocks, and how much of x_L each block contributes.

    What a block adds is what its join makes of zeros and the branch: F(x), alpha F(x) where it is scaled, the new channels where it
    is concatenated (x_l is then followed by channels of zeros). In a plain network nothing is added to anything: the same sum is
    measured, and is not x_L.

    Args:
        net: a network with blocks, in any mode and of any family; measured in evaluation, and left as it was.
        batches: images, with or without labels.

    Returns:
        The measurements.

    Raises:
        ValueError: if there are no images, or the network runs no blocks, or one of them several times.

    Source:
        arXiv 1603.05027, eq. 4; for post-activation, with a relu behind each addition, it holds but for the relus' changes.

    Example:
        >>> from resnetlib import cifar_preact_resnet20
        >>> found = residual_decomposition(cifar_preact_resnet20(), torch.randn(2, 3, 32, 32))
        >>> max(found.deviation) < 1e-6
        True
    """
    net = unwrapped(net)
    inputs = gather_inputs(net, batches)
    chains = chains_of(net, inputs[0])
    sums = _Sums(blocks_in(net, chains), chains)
    with intact(net), torch.no_grad(), meeting(sums.blocks, sums.meet), outcomes(sums.blocks, sums.leave):
        for x in inputs:
            run_finite(net, x)
    return sums.result(images_in(inputs))


class _Sums:
    """What is added up while images run through the network."""

    def __init__(self, blocks: dict[str, Block], chains: list[list[str]]) -> None:
        self.blocks, self.chains = blocks, chains
        self.terms: list[Tensor] = []
        self.changes: list[Tensor] = []
        self.begins = {chain[0]: chain for chain in chains}
        self.ends = {chain[-1]: i for i, chain in enumerate(chains)}
        numbers = {key: dict.fromkeys(blocks, 0.0) for key in ("branch_energy", "out_energy", "dot")}
        self.of_block: dict[str, dict[str, float]] = numbers
        self.of_chain = {key: [0.0] * len(chains) for key in ("skip_energy", "dot", "dot_out", "energy")}
        self.largest = [0.0] * len(chains)
        self.deviation, self.deviation_with_out = [0.0] * len(chains), [0.0] * len(chains)

    def meet(self, name: str, skip: Tensor, branch: Tensor) -> None:
        """Take down what a join adds to its skip."""
        join = self.blocks[name].join
        term = _exact(join.forward(torch.zeros_like(skip), branch))
        if name in self.begins:
            self.start = _exact(skip) if join.uses_skip or skip.shape == branch.shape else torch.zeros_like(term)
            self.terms.clear()
            self.changes.clear()
        self.terms.append(term)
        self.joined = _exact(join.forward(skip, branch))

    def leave(self, name: str, y: Tensor) -> None:
        """Take down what followed the join; at the end of a chain, add up."""
        self.changes.append(y.double() - self.joined)
        if name not in self.ends:
            return
        i, last = self.ends[name], y.double()
        terms, changes = ([_grown(t, y.shape[1]) for t in ts] for ts in (self.terms, self.changes))
        start = _grown(self.start, y.shape[1])
        without = start + torch.stack(terms).sum(0)
        self.largest[i] = max(self.largest[i], float(last.abs().max()))
        self.deviation[i] = max(self.deviation[i], float((last - without).abs().max()))
        self.deviation_with_out[i] = max(self.deviation_with_out[i], float((last - without - sum(changes)).abs().max()))
        for block, term, change in zip(self.chains[i], terms, changes, strict=True):
            self.of_block["branch_energy"][block] += float(term.square().sum())
            self.of_block["out_energy"][block] += float(change.square().sum())
            self.of_block["dot"][block] += float((last * term).sum())
            self.of_chain["dot_out"][i] += float((last * change).sum())
        self.of_chain["skip_energy"][i] += float(start.square().sum())
        self.of_chain["dot"][i] += float((last * start).sum())
        self.of_chain["energy"][i] += float(last.square().sum())

    def result(self, images: int) -> ResidualDecomposition:
        """Divide what was added up."""
        energy = torch.tensor(self.of_chain["energy"], dtype=torch.float64)
        chain_of = [i for i, chain in enumerate(self.chains) for _ in chain]
        dots = torch.tensor(list(self.of_block["dot"].values()), dtype=torch.float64)
        return ResidualDecomposition(
            blocks=tuple(self.blocks),
            chains=spans_of(self.chains),
            images=images,
            deviation=tuple(map(_ratio, self.deviation, self.largest)),
            deviation_with_out=tuple(map(_ratio, self.deviation_with_out, self.largest)),
            branch_energy=torch.tensor(list(self.of_block["branch_energy"].values()), dtype=torch.float64) / images,
            out_energy=torch.tensor(list(self.of_block["out_energy"].values()), dtype=torch.float64) / images,
            skip_energy=torch.tensor(self.of_chain["skip_energy"], dtype=torch.float64) / images,
            share=dots / energy[chain_of],
            share_of_skip=torch.tensor(self.of_chain["dot"], dtype=torch.float64) / energy,
            share_of_out=torch.tensor(self.of_chain["dot_out"], dtype=torch.float64) / energy,
        )


def _exact(x: Tensor) -> Tensor:
    """Return a copy in double precision, which nobody else writes into."""
    return x.to(torch.float64, copy=True)


def _grown(x: Tensor, channels: int) -> Tensor:
    """Add channels of zeros, as concatenation does to what came before."""
    return functional.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else inf if part else 0.0
