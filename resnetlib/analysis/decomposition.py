"""What of a gradient comes through the skips, and what through the branches? dE/dx_l = dE/dx_L + (...), measured."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.batches import Batches, images_in
from resnetlib.analysis.hooks import incomes, meeting, outcomes
from resnetlib.analysis.intact import unwrapped
from resnetlib.analysis.joints import blocks_in, chains_of, spans_of
from resnetlib.analysis.labelled import gather_labelled, summed_loss
from resnetlib.analysis.norms import norms_in
from resnetlib.analysis.recording import recording
from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.modules import Block

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class GradientDecomposition(AnalysisResult):
    """The two terms of dE/dx_l, for the input x_l of every block; x_L is the last feature of the block's chain.

    Norms are over the features of all images: roots of the mean over images of the squared norm of the gradient of the summed loss.

    Args:
        blocks: the blocks' names.
        chains: for each chain, the numbers of its first block and of the block after its last.
        images: over how many.
        training: whether norms used each batch's own statistics.
        last_norm: for each chain, `||dE/dx_L||`.
        skip_norm: for each block, the norm of term 1, which comes from x_L to x_l through skips alone.
        branch_norm: for each block, the norm of term 2, which comes through at least one branch.
        norm: for each block, the norm of their sum.
        cosine: for each block, the cosine of the angle between the two terms; NaN where one of them is zero.
        survival: for each block, skip_norm as a share of its chain's last_norm: how much of dE/dx_L arrives undamped.
        deviation: for each chain, the largest difference between the sum of the two terms and autograd's own dE/dx_l, as a share of
            the largest `|dE/dx_l|`. Zero up to the order of additions, if nothing but blocks changes x inside the chain.
    """

    blocks: tuple[str, ...]
    chains: tuple[tuple[int, int], ...]
    images: int
    training: bool
    last_norm: Tensor
    skip_norm: Tensor
    branch_norm: Tensor
    norm: Tensor
    cosine: Tensor
    survival: Tensor
    deviation: tuple[float, ...]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the norms of both terms and of their sum, block by block, on a logarithmic axis.

        Args:
            ax: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        ax = new_axes(ax, width=8)
        for values, label in (
            (self.norm, "dE/dx_l"),
            (self.skip_norm, "through skips alone"),
            (self.branch_norm, "through branches"),
        ):
            ax.plot(range(len(self.blocks)), values.tolist(), marker=".", label=label)
        ax.set(xlabel="block", ylabel="norm", yscale="log")
        ax.legend()
        return ax


def gradient_decomposition(
    net: nn.Module, batches: Batches, labels: Tensor | None = None, *, training: bool = True
) -> GradientDecomposition:
    """Divide dE/dx_l into what comes through the skips alone, and what comes through branches.

    Term 1 follows the skips from the chain's last feature x_L back to x_l, as if all branches were detached. Where a block's skip
    is its input and nothing follows its join (pre-activation, with `Add` or `ScaledAdd`), that is dE/dx_L itself, undamped; with
    `Concat` it is dE/dx_L on the channels that were there at x_l; with a relu behind each addition, only what the relus let
    through; in a plain block zero. At a block whose skip changes the shape, it goes through the shortcut.

    Term 2 is everything else: dE/dx_L d(sum F)/dx_l where term 1 is dE/dx_L. It is computed by itself, block by block, from what
    the branches hand back, so that the sum of both can be held against what autograd says.

    Args:
        net: a network with blocks that returns logits.
        batches: images and labels; or images alone, as one tensor.
        labels: of that tensor.
        training: whether norms use each batch's own statistics, as while training, or their running ones. Dropout and stochastic
            depth are off in both cases.

    Returns:
        Both terms' norms, and how exactly they add up.

    Raises:
        ValueError: if there are no images, labels are missing, the network runs no blocks, or one of them several times, or the
            loss is not finite.

    Source:
        arXiv 1603.05027, eq. 5.

    Example:
        >>> from resnetlib import cifar_preact_resnet20
        >>> found = gradient_decomposition(cifar_preact_resnet20(), torch.randn(2, 3, 32, 32), torch.tensor([3, 5]))
        >>> [round(share, 4) for share in found.survival.tolist()[:3]]
        [1.0, 1.0, 1.0]
        >>> max(found.deviation) < 1e-4
        True
    """
    net = unwrapped(net)
    listed = gather_labelled(net, batches, labels)
    chains = chains_of(net, listed[0][0])
    blocks = blocks_in(net, chains)
    sums = _Sums(blocks, chains)
    trace = _Trace()
    with recording(net), norms_in(net, training=training), trace.of(blocks):
        for x, y in tqdm(listed, desc="gradient decomposition", unit="batch", disable=None):
            trace.clear()
            loss = summed_loss(net, x.requires_grad_(), y)  # so that every feature has a gradient, also behind a frozen stem
            sums.add(loss, trace)
    return sums.result(images_in(listed), training=training)


class _Trace:
    """The tensors of one forward pass, by block: its input, what meets at its join, and its output."""

    def __init__(self) -> None:
        self.x: dict[str, Tensor] = {}
        self.met: dict[str, tuple[Tensor, Tensor]] = {}
        self.y: dict[str, Tensor] = {}

    @contextmanager
    def of(self, blocks: dict[str, Block]) -> Iterator[None]:
        """Take down what passes."""
        with (
            incomes(blocks, self.come),
            meeting(blocks, self.meet),
            outcomes(blocks, self.leave),
        ):
            yield

    def come(self, name: str, x: Tensor) -> None:
        """Take down an input, unless activations are recomputed."""
        self.x.setdefault(name, x)

    def meet(self, name: str, skip: Tensor, branch: Tensor) -> tuple[Tensor, Tensor]:
        """Give the join tensors of its own, so that gradients can be asked for that go through it, and no other way."""
        met = skip.view_as(skip), branch.view_as(branch)
        self.met.setdefault(name, met)
        return met

    def leave(self, name: str, y: Tensor) -> Tensor:
        """Take down an output, and hand on a copy, which what follows may write into."""
        self.y.setdefault(name, y)
        return y.clone()

    def clear(self) -> None:
        """Begin a forward pass."""
        for kept in (self.x, self.met, self.y):
            kept.clear()


class _Sums:
    """What is added up over the batches."""

    def __init__(self, blocks: dict[str, Block], chains: list[list[str]]) -> None:
        self.blocks, self.chains = tuple(blocks), chains
        self.last = [0.0] * len(chains)
        self.deviation, self.largest = [0.0] * len(chains), [0.0] * len(chains)
        self.of_block = {key: dict.fromkeys(blocks, 0.0) for key in ("skip", "branch", "whole", "dot")}

    def add(self, loss: Tensor, trace: _Trace) -> None:
        """Take in a batch: go back through each chain, from its last feature to its first block's input."""
        own = dict(zip(trace.x, _backward(loss, list(trace.x.values())), strict=True))
        lasts = _backward(loss, [trace.y[chain[-1]] for chain in self.chains])
        for i, (chain, last) in enumerate(zip(self.chains, lasts, strict=True)):
            self.last[i] += _square(last)
            skips, branches = last, torch.zeros_like(last)
            for name in reversed(chain):
                x, y, met = trace.x[name], trace.y[name], trace.met[name]
                (skip, from_skip), (other, from_other) = _backward(y, met, skips), _backward(y, met, branches)
                (skips,) = _backward(met[0], [x], skip)
                branches = _backward(met[0], [x], other)[0] + _backward(met[1], [x], from_skip + from_other)[0]
                self.deviation[i] = max(self.deviation[i], float((skips + branches - own[name]).abs().max()))
                self.largest[i] = max(self.largest[i], float(own[name].abs().max()))
                self.of_block["skip"][name] += _square(skips)
                self.of_block["branch"][name] += _square(branches)
                self.of_block["whole"][name] += _square(skips + branches)
                self.of_block["dot"][name] += float((skips.double() * branches.double()).sum())

    def result(self, images: int, *, training: bool) -> GradientDecomposition:
        """Divide what was added up."""
        skip, branch, whole, dot = (torch.tensor(list(v.values()), dtype=torch.float64) for v in self.of_block.values())
        last = torch.tensor(self.last, dtype=torch.float64)
        chain_of = [i for i, chain in enumerate(self.chains) for _ in chain]
        return GradientDecomposition(
            blocks=self.blocks,
            chains=spans_of(self.chains),
            images=images,
            training=bool(training),
            last_norm=(last / images).sqrt(),
            skip_norm=(skip / images).sqrt(),
            branch_norm=(branch / images).sqrt(),
            norm=(whole / images).sqrt(),
            cosine=dot / (skip * branch).sqrt(),
            survival=(skip / last[chain_of]).sqrt(),
            deviation=tuple(d / m if m else 0.0 for d, m in zip(self.deviation, self.largest, strict=True)),
        )


def _backward(y: Tensor, xs: Sequence[Tensor], gradient: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return the gradients with respect to `xs`, zeros where `y` does not depend on them; the graph stays."""
    return torch.autograd.grad(y, xs, gradient, retain_graph=True, materialize_grads=True)


def _square(gradient: Tensor) -> float:
    return float(gradient.double().square().sum())
