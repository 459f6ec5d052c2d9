"""Measure what each block adds to the feature, the responses of layers, and the variance of the signal by depth."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.modules.batchnorm import _NormBase
from tqdm import tqdm

from resnetlib.analysis import network, style
from resnetlib.analysis.batches import Batches, count_images, gather_inputs, noise_images
from resnetlib.analysis.result import AnalysisResult, Axes, new_axes, plot_curve
from resnetlib.errors import InputError
from resnetlib.modules import Block
from resnetlib.modules.backbone import unwrapped
from resnetlib.modules.layers import Shift

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, Shift)
"""Norm layers, and the shift that stands in their place in Fixup networks."""


class Moments:
    """Mean and biased variance of columns, merged from batches of rows without cancellation.

    Source:
        Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979, eq. 1.5.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.variance = torch.zeros((), dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Add a batch of rows `(n, columns)`."""
        rows = rows.detach().double()
        mean = rows.mean(0)
        variance = (rows - mean).square().mean(0)
        self.count += len(rows)
        share = len(rows) / self.count
        before = self.mean.to(mean.device)
        self.mean = before.lerp(mean, share)
        self.variance = self.variance.to(mean.device).lerp(variance, share) + share * (1 - share) * (mean - before).square()


def channel_rows(x: Tensor) -> Tensor:
    """Reshape a feature `(N, C, ...)` to rows `(N * ..., C)`."""
    return x.movedim(1, -1).reshape(-1, x.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class ResidualDecomposition(AnalysisResult):
    """The terms of x_L = x_l + sum F(x_i) in each chain of blocks (a stage, see `chains_of`).

    x_l is the input of the chain, or the output of its first block's shortcut; F is what a block's join adds to its skip.

    Args:
        blocks: names of the blocks.
        chains: range of block indices of each chain, (start, stop).
        images: number of images.
        deviation: max `|x_L - (x_l + sum F)|` / max `|x_L|` by chain. Zero up to rounding if nothing follows the joins
            (pre-activation, DenseNet); otherwise it is the change by the ReLUs after them.
        deviation_with_out: the same with the change by each block's `out` as a term; zero up to rounding except in plain networks.
        branch_energy: mean squared norm of F, by block.
        out_energy: mean squared norm of the change by `out`, by block.
        skip_energy: mean squared norm of x_l, by chain.
        share: <x_L, F> / <x_L, x_L>, by block. The shares of a chain sum to 1 if the terms sum to x_L.
        share_of_skip: share of x_l, by chain.
        share_of_out: share of all changes by `out`, by chain.
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

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the shares of x_L as bars."""
        ax = new_axes(ax, width=8)
        ax.bar(range(len(self.blocks)), self.share.tolist(), color=style.FIRST, label="blocks, F(x_i)")
        starts, ends = ([index - 0.5 for index in indices] for indices in zip(*self.chains, strict=True))
        ax.bar(starts, self.share_of_skip.tolist(), 0.4, color=style.SECOND, label="skip, x_l")
        ax.bar(ends, self.share_of_out.tolist(), 0.3, color=style.GRAY, label="changes by ReLUs")
        ax.axhline(0, color="black", linewidth=0.8)
        ax.set(xlabel="block", ylabel="share of the chain's last feature x_L")
        ax.legend()
        return ax


def residual_decomposition(net: nn.Module, batches: Batches) -> ResidualDecomposition:
    """Measure x_L = x_l + sum F(x_i) in each chain of blocks, and the share of x_L that each block adds.

    F is the join of zeros and the branch: F(x), alpha F(x) in a scaled join, or the new channels of a concatenation (x_l has zeros
    there). Plain networks are measured the same way, though their terms do not sum to x_L.

    >>> from resnetlib import cifar_preact_resnet20
    >>> found = residual_decomposition(cifar_preact_resnet20(), torch.randn(2, 3, 32, 32))
    >>> max(found.deviation) < 1e-6
    True

    Args:
        net: a network with blocks of this library.
        batches: images `(N, C, H, W)`, preprocessed and not augmented; labels beside them are ignored.

    Returns:
        The terms' sizes and shares, `(blocks,)` each, and the sum's deviation in each chain of blocks.

    Raises:
        ValueError: if the network has no such blocks, or its features are not finite.

    Source:
        arXiv 1603.05027, eq. 4. In post-activation networks it holds if the changes by ReLUs count as terms.
    """
    net = unwrapped(net)
    inputs = gather_inputs(net, batches)
    chains = network.chains_of(net, inputs[0])
    blocks, images = network.blocks_in(net, chains), count_images(inputs)
    starts, ends = {chain[0] for chain in chains}, {chain[-1]: i for i, chain in enumerate(chains)}
    terms: dict[tuple[str, str], Tensor] = {}  # of the current chain, by (kind, block); "skip" only for its first block
    energy: dict[tuple[str, str], float] = defaultdict(float)
    dot: dict[tuple[str, str], float] = defaultdict(float)  # of each term and x_L
    last_energy = torch.zeros(len(chains), dtype=torch.float64)
    largest = torch.zeros(3, len(chains), dtype=torch.float64)  # of |x_L| and of both deviations

    def on_join(name: str, skip: Tensor, branch: Tensor) -> None:
        join = blocks[name].join
        added = _double(join.forward(torch.zeros_like(skip), branch))
        if name in starts:
            terms.clear()
            keeps = join.uses_skip or skip.shape == branch.shape
            terms["skip", name] = _double(skip) if keeps else torch.zeros_like(added)
        terms["branch", name] = added
        terms["out", name] = -_double(join.forward(skip, branch))  # the block's output is added when it is known

    def on_output(name: str, y: Tensor) -> None:
        last = y.double()
        terms["out", name] += last
        if name not in ends:
            return
        i = ends[name]
        added, changed = torch.zeros_like(last), torch.zeros_like(last)
        for (kind, block), term in terms.items():
            channels = term.shape[1]  # fewer than those of x_L if later blocks concatenate
            (changed if kind == "out" else added)[:, :channels] += term
            energy[kind, block] += float(term.square().sum())
            dot[kind, block] += float((term * last[:, :channels]).sum())
        last_energy[i] += last.square().sum().cpu()
        rest = last - added
        sizes = torch.stack([x.abs().max() for x in (last, rest, rest - changed)])
        largest[:, i] = largest[:, i].maximum(sizes.cpu())

    def of_kind(sums: dict[tuple[str, str], float], kind: str) -> Tensor:
        return torch.tensor([value for (each, _), value in sums.items() if each == kind], dtype=torch.float64)

    with network.preserve_state(net), torch.no_grad(), network.hook_joins(blocks, on_join), network.hook_outputs(blocks, on_output):
        _run_all(net, blocks, inputs, "residual decomposition")
    lengths = [len(chain) for chain in chains]
    last_of_block = last_energy.repeat_interleave(torch.tensor(lengths))
    sizes, *deviations = largest.tolist()
    without, with_out = (tuple(map(relative, deviation, sizes)) for deviation in deviations)
    return ResidualDecomposition(
        blocks=tuple(blocks),
        chains=network.spans_of(chains),
        images=images,
        deviation=without,
        deviation_with_out=with_out,
        branch_energy=of_kind(energy, "branch") / images,
        out_energy=of_kind(energy, "out") / images,
        skip_energy=of_kind(energy, "skip") / images,
        share=of_kind(dot, "branch") / last_of_block,
        share_of_skip=of_kind(dot, "skip") / last_energy,
        share_of_out=torch.stack([part.sum() for part in (of_kind(dot, "out") / last_of_block).split(lengths)]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class ResponseStd(AnalysisResult):
    """Standard deviations of the responses of a network's 3x3 convolutions.

    Args:
        layers: names of the convolutions, in the order in which they run.
        measured: name of the module whose output is the response: the norm after each convolution, or the convolution.
        images: number of images.
        std: standard deviation over images, channels and positions, `(layers,)`.
    """

    layers: tuple[str, ...]
    measured: tuple[str, ...]
    images: int
    std: Tensor

    @property
    def median(self) -> float:
        """The median over layers."""
        return float(self.std.quantile(0.5))

    def plot(self, ax: Axes | None = None, label: str | None = None, *, descending: bool = False) -> Axes:
        """Plot the standard deviations by layer, or in descending order as in the lower half of the paper's figure."""
        return plot_curve(ax, self.std, label=label, name="std of the response", of="3x3 layer", descending=descending)


def response_std(net: nn.Module, batches: Batches) -> ResponseStd:
    """Measure the std over N, C, H, W of each 3x3 convolution's response: after its norm, before ReLU and addition.

    This includes the stem's convolution, as in the paper. The norm of a convolution is the first module that reads its output, if
    that is a norm layer. Otherwise the convolution's own output is measured, as in pre-activation blocks, where the next norm
    belongs to the next convolution; so do not compare these with post-activation networks.

    >>> from resnetlib import cifar_resnet20
    >>> found = response_std(cifar_resnet20(), torch.randn(2, 3, 32, 32))
    >>> len(found.layers), found.layers[1], found.measured[1]
    (19, 'layer1.0.conv1', 'layer1.0.bn1')

    Args:
        net: a network with 3x3 convolutions.
        batches: images `(N, C, H, W)`, preprocessed and not augmented; labels beside them are ignored.

    Returns:
        Standard deviations, `(layers,)`.

    Raises:
        ValueError: if the network has no 3x3 convolution, or its features are not finite.

    Source:
        arXiv 1512.03385, sec. 4.2 and fig. 7.
    """
    net = unwrapped(net)
    inputs = gather_inputs(net, batches)
    with network.preserve_state(net), torch.no_grad():
        measured = _response_modules(net, inputs[0])
        moments = {conv: Moments() for conv in measured}
        modules = {conv: net.get_submodule(name) for conv, name in measured.items()}
        with network.hook_outputs(modules, lambda conv, y: moments[conv].add(y.reshape(-1, 1))):
            for x in tqdm(inputs, desc="responses", unit="batch", disable=None):
                network.run_finite(net, x)
    std = torch.cat([m.variance.cpu() for m in moments.values()]).sqrt()
    return ResponseStd(layers=tuple(measured), measured=tuple(measured.values()), images=count_images(inputs), std=std)


def _response_modules(net: nn.Module, x: Tensor) -> dict[str, str]:
    """Map each 3x3 convolution that runs to the module whose output is its response, by name."""
    names = {module: name for name, module in net.named_modules()}
    preact_blocks = [module for module in names if isinstance(module, Block) and type(module).pre is not Block.pre]
    preact = {module for block in preact_blocks for module in block.modules()}
    measured: dict[str, str] = {}
    unread: dict[str, Tensor] = {}

    def on_input(module: nn.Module, args: tuple[Any, ...]) -> None:
        for conv, y in list(unread.items()):
            if any(arg is y for arg in args):
                del unread[conv]
                if isinstance(module, _NORMS):
                    measured[conv] = names[module]

    def on_output(conv: nn.Module, args: tuple[Any, ...], y: Tensor) -> None:
        measured[names[conv]] = names[conv]
        if conv not in preact:
            unread[names[conv]] = y

    with ExitStack() as stack:
        for module in names:
            if not isinstance(module, nn.Sequential):  # a container only passes x on to its children
                stack.callback(module.register_forward_pre_hook(on_input).remove)
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                stack.callback(module.register_forward_hook(on_output).remove)
        network.run(net, x)
    if not measured:
        raise InputError(f"{type(net).__name__} runs no 3x3 convolutions (nn.Conv2d), so there are no responses to measure")
    return measured


@dataclass(frozen=True, slots=True, eq=False)
class BranchRatio(AnalysisResult):
    """The size of each block's branch relative to its skip.

    Args:
        blocks: names of the blocks.
        images: number of images.
        ratio: mean over images of ||F(x)|| / ||skip||, by block; NaN if a block without a skip changes the shape.
    """

    blocks: tuple[str, ...]
    images: int
    ratio: Tensor

    @property
    def median(self) -> float:
        """The median over blocks, without NaN."""
        return float(self.ratio.nanquantile(0.5))

    def plot(self, ax: Axes | None = None, label: str | None = None, *, descending: bool = False) -> Axes:
        """Plot the ratios by block, or in descending order."""
        return plot_curve(ax, self.ratio, label=label, name="||F(x)|| / ||skip||", of="block", descending=descending)


def branch_ratio(net: nn.Module, batches: Batches) -> BranchRatio:
    """Measure ||F(x)|| / ||skip|| at each block's join.

    F(x) is the join of zeros and the branch, alpha F(x) in a scaled join; the skip is the block's input, or the output of its
    shortcut. In a plain block, whose join ignores the skip, the ratio is ||F(x)|| / ||x||.

    >>> from resnetlib import cifar_resnet20
    >>> net = cifar_resnet20()
    >>> _ = torch.nn.init.zeros_(net.layer1[0].bn2.weight)
    >>> float(branch_ratio(net, torch.randn(2, 3, 32, 32)).ratio[0])
    0.0

    Args:
        net: a network with blocks of this library.
        batches: images `(N, C, H, W)`, preprocessed and not augmented; labels beside them are ignored.

    Returns:
        The mean ratio over images, `(blocks,)`; NaN for a plain block that changes the shape.

    Raises:
        ValueError: if the network has no such blocks, or its features are not finite.

    Source:
        arXiv 1512.03385, sec. 3.1: "if the optimal function is closer to an identity mapping than to a zero mapping". The paper
        shows responses (`response_std`), not ratios.
    """
    net = unwrapped(net)
    inputs = gather_inputs(net, batches)
    blocks = network.blocks_in(net, network.chains_of(net, inputs[0]))
    sums = dict.fromkeys(blocks, 0.0)

    def on_join(name: str, skip: Tensor, branch: Tensor) -> None:
        join = blocks[name].join
        if join.uses_skip or skip.shape == branch.shape:
            added, own = (vector_norm(x.double().flatten(1), dim=1) for x in (join.forward(torch.zeros_like(skip), branch), skip))
            sums[name] += float((added / own).sum())
        else:
            sums[name] = float("nan")

    with network.preserve_state(net), torch.no_grad(), network.hook_joins(blocks, on_join):
        _run_all(net, blocks, inputs, "branch ratios")
    images = count_images(inputs)
    return BranchRatio(blocks=tuple(blocks), images=images, ratio=torch.tensor(list(sums.values()), dtype=torch.float64) / images)


@dataclass(frozen=True, slots=True, eq=False)
class SignalPropagation(AnalysisResult):
    """Channel statistics of each block's output and branch, over images and positions.

    Args:
        blocks: names of the blocks.
        chains: range of block indices of each chain, (start, stop).
        images: number of images.
        training: whether norms used batch statistics.
        squared_mean: mean over channels of the squared mean of each block's output.
        variance: mean over channels of the variance of each block's output.
        branch_variance: mean over channels of the variance at the end of each block's branch.
    """

    blocks: tuple[str, ...]
    chains: tuple[tuple[int, int], ...]
    images: int
    training: bool
    squared_mean: Tensor
    variance: Tensor
    branch_variance: Tensor

    def plot(self, ax: Axes | None = None, label: str | None = None) -> Axes:
        """Plot the three statistics by block: a signal propagation plot."""
        ax = new_axes(ax, width=8)
        prefix = "" if label is None else f"{label}: "
        for values, name, line in (
            (self.variance, "variance", "-"),
            (self.squared_mean, "squared mean", "--"),
            (self.branch_variance, "variance of the branch", ":"),
        ):
            plot_curve(ax, values, label=prefix + name, name="mean over channels", of="block", style=line)
        return ax


def signal_propagation(
    net: nn.Module, batches: Batches | None = None, *, images: int = 64, image_size: int = 32, training: bool = True, seed: int = 0
) -> SignalPropagation:
    """Measure the mean and the variance of the signal, block by block.

    They are mean_c(mean_nhw^2) and mean_c(var_nhw) of each block's output, and mean_c(var_nhw) of each branch.

    In a residual network with batch norms, at initialization, every branch of a stage adds the same variance, so the variance grows
    linearly with depth. The first block of a stage resets it if its shortcut is normalized (pre-activation, or a projection with a
    norm); shortcut A resets it in part, since it pads with channels of zeros.

    Args:
        net: network with blocks.
        batches: images; None for noise from N(0, 1).
        images: number of noise images.
        image_size: height and width of noise images, in pixels.
        training: use batch statistics, as in the first step of training, instead of running statistics. Dropout and stochastic
            depth are off.
        seed: of the noise.

    Returns:
        The statistics, `(blocks,)` each.

    Source:
        arXiv 2101.08692.

    Example:
        >>> from resnetlib import cifar_preact_resnet20
        >>> found = signal_propagation(cifar_preact_resnet20(), images=8)
        >>> bool(found.variance[2] > found.variance[1] > found.variance[0])
        True
    """
    if batches is not None and (images, image_size, seed) != (64, 32, 0):
        raise InputError("images, image_size and seed are for noise: leave them out, or the batches")
    net = unwrapped(net)
    inputs = gather_inputs(net, noise_images(net, images, image_size, seed=seed) if batches is None else batches)
    chains = network.chains_of(net, inputs[0])
    blocks = network.blocks_in(net, chains)
    branches, outputs = ({name: Moments() for name in blocks} for _ in range(2))

    with (
        network.norm_mode(net, training=training),
        torch.no_grad(),
        network.hook_joins(blocks, lambda name, skip, branch: branches[name].add(channel_rows(branch))),
        network.hook_outputs(blocks, lambda name, y: outputs[name].add(channel_rows(y))),
    ):
        _run_all(net, blocks, inputs, "signal propagation")
    return SignalPropagation(
        blocks=tuple(blocks),
        chains=network.spans_of(chains),
        images=count_images(inputs),
        training=bool(training),
        squared_mean=torch.stack([m.mean.square().mean().cpu() for m in outputs.values()]),
        variance=torch.stack([m.variance.mean().cpu() for m in outputs.values()]),
        branch_variance=torch.stack([m.variance.mean().cpu() for m in branches.values()]),
    )


def relative(part: float, whole: float) -> float:
    """Return part / whole, with 0 / 0 = 0."""
    return part / whole if whole else inf if part else 0.0


def _run_all(net: nn.Module, blocks: Mapping[str, Block], inputs: list[Tensor], desc: str) -> None:
    for x in tqdm(inputs, desc=desc, unit="batch", disable=None):
        with network.in_order(net, blocks):
            network.run_finite(net, x)


def _double(x: Tensor) -> Tensor:
    """Copy to float64, also from float64, since x may be changed in place later."""
    return x.to(torch.float64, copy=True)
