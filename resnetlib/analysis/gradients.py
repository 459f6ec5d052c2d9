"""Measure how much of the gradient reaches each block, and how much of that comes through skip connections alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis import network
from resnetlib.analysis.batches import Batches, count_images, gather
from resnetlib.analysis.forward import relative
from resnetlib.analysis.result import AnalysisResult, Axes, new_axes, plot_curve
from resnetlib.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class GradientFlow(AnalysisResult):
    """Norms of the gradient of the loss, by block.

    Args:
        blocks: names of the blocks.
        images: number of images.
        training: whether norms used batch statistics.
        loss: mean cross-entropy.
        feature_norm: root mean square over images of the norm of the gradient of the summed loss, which does not depend on the
            number of images: at each block's input, and last at the last block's output.
        parameter_norm: norm of the gradient of the mean loss with respect to all parameters of each block.
    """

    blocks: tuple[str, ...]
    images: int
    training: bool
    loss: float
    feature_norm: Tensor
    parameter_norm: Tensor

    @property
    def first_to_last(self) -> float:
        """Norm at the first block's input / norm at the last block's output; gradients vanish if it is far below 1."""
        return float(self.feature_norm[0] / self.feature_norm[-1])

    def plot(self, ax: Axes | None = None, label: str | None = None, *, of: Literal["features", "parameters"] = "features") -> Axes:
        """Plot the norms of the gradient of features, or of parameters, by block on a logarithmic axis."""
        curves = {
            "features": (self.feature_norm, "norm of dE/dx, at the block's input"),
            "parameters": (self.parameter_norm, "norm of dE/dw, all the block's parameters"),
        }
        if of not in curves:
            raise InputError(f"of must be one of {', '.join(curves)}, got {of!r}")
        values, ylabel = curves[of]
        ax = plot_curve(ax, values, label=label, name=ylabel, of="block")
        ax.set_yscale("log")
        return ax


def gradient_flow(net: nn.Module, batches: Batches, labels: Tensor | None = None, *, training: bool = True) -> GradientFlow:
    """Measure the norms of the loss's gradient at each block's input and of each block's parameters.

    Since the network is left unchanged, this may be called between two training steps. Norms use batch statistics, as in training,
    or running statistics if `training` is False; dropout and stochastic depth are off. `labels` are those of a single tensor.

    >>> from resnetlib import cifar_plain20, cifar_resnet20
    >>> x, y = torch.randn(4, 3, 32, 32), torch.arange(4)
    >>> ax = gradient_flow(cifar_plain20(), x, y).plot(label="plain")
    >>> [line.get_label() for line in gradient_flow(cifar_resnet20(), x, y).plot(ax, label="residual").lines]
    ['plain', 'residual']

    Args:
        net: a classifier with blocks of this library.
        batches: images `(N, C, H, W)`, preprocessed and not augmented, and labels `(N,)`: one pair, or several.
        labels: labels `(N,)`, if `batches` is a single tensor of images.
        training: whether norms use the statistics of the batch.

    Returns:
        Norms at each block's input and the last one's output, `(blocks + 1,)`, and of each block's parameters, `(blocks,)`.

    Raises:
        ValueError: if the network has no such blocks, or a label is not the index of a logit.

    Source:
        arXiv 1512.03385, sec. 4.1: with batch norms, the gradients of plain networks do not vanish.
    """
    net, data = gather(net, batches, labels)
    blocks = network.blocks_in(net, network.chains_of(net, data[0][0]))
    images, total = count_images(data), 0.0
    features: dict[str, Tensor] = {}  # a block enters twice under activation checkpointing: keep the first
    parameters = [[p for p in block.parameters() if p.is_floating_point()] for block in blocks.values()]
    every = [parameter for own in parameters for parameter in own]
    last = dict(list(blocks.items())[-1:])

    def on_output(name: str, y: Tensor) -> Tensor:
        features.setdefault("", y)
        return y.clone()  # the caller may write into it

    with (
        network.enable_gradients(net),
        network.norm_mode(net, training=training),
        network.hook_inputs(blocks, features.setdefault),
        network.hook_outputs(last, on_output),
    ):
        squares = torch.zeros(len(blocks) + 1, dtype=torch.float64)
        sums = [torch.zeros_like(parameter, dtype=torch.float64, requires_grad=False) for parameter in every]
        for parameter in every:
            parameter.requires_grad_(True)
        for x, y in tqdm(data, desc="gradient flow", unit="batch", disable=None):
            features.clear()
            with network.in_order(net, blocks):
                loss = network.summed_loss(net, x.requires_grad_(), y)  # so that features have gradients even after a frozen stem
            gradients = torch.autograd.grad(loss, [*features.values(), *every], materialize_grads=True)
            squares += torch.stack([_energy(gradient).cpu() for gradient in gradients[: len(features)]])
            for summed, gradient in zip(sums, gradients[len(features) :], strict=True):
                summed += gradient
            total += float(loss.detach())
    energies = torch.tensor([float(summed.square().sum()) for summed in sums], dtype=torch.float64)
    by_block = [own.sum() for own in energies.split([len(own) for own in parameters])]
    return GradientFlow(
        blocks=tuple(blocks),
        images=images,
        training=bool(training),
        loss=total / images,
        feature_norm=(squares / images).sqrt(),
        parameter_norm=torch.stack(by_block).sqrt() / images,
    )


@dataclass(frozen=True, slots=True, eq=False)
class GradientDecomposition(AnalysisResult):
    """The two terms of dE/dx_l for the input x_l of each block, where x_L is the last feature of the block's chain.

    Norms are root mean squares over images of the norm of the gradient of the summed loss.

    Args:
        blocks: names of the blocks.
        chains: range of block indices of each chain, (start, stop).
        images: number of images.
        training: whether norms used batch statistics.
        last_norm: ||dE/dx_L||, by chain.
        skip_norm: norm of term 1, which comes from x_L through skips alone, by block.
        branch_norm: norm of term 2, which comes through at least one branch, by block.
        norm: norm of the sum of both terms, by block.
        cosine: cosine of the angle between the terms, by block; NaN if one of them is zero.
        survival: skip_norm / last_norm, by block: the share of dE/dx_L that arrives through skips.
        deviation: max `|sum of the terms - autograd's dE/dx_l|` / max `|dE/dx_l|`, by chain. Zero up to rounding if only blocks
            change x in the chain.
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

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the norms of both terms and of their sum, by block on a logarithmic axis."""
        ax = new_axes(ax, width=8)
        curves = {"dE/dx_l": self.norm, "through skips alone": self.skip_norm, "through branches": self.branch_norm}
        for label, values in curves.items():
            plot_curve(ax, values, label=label, name="norm", of="block")
        ax.set_yscale("log")
        return ax


def gradient_decomposition(
    net: nn.Module, batches: Batches, labels: Tensor | None = None, *, training: bool = True
) -> GradientDecomposition:
    """Split dE/dx_l into the term that comes through skips alone, and the term that comes through branches.

    Term 1 is the gradient from the last feature x_L of the chain to x_l with all branches detached. In pre-activation networks,
    where skips are identities and nothing follows the joins, it is dE/dx_L (with `Concat`, on the channels of x_l). In
    post-activation networks it is what the ReLUs after the additions let through, and in plain ones it is zero. A skip that changes
    the shape goes through the shortcut. Term 2 is the rest. It is computed from the gradients of the branches, so that the sum can
    be checked against autograd's.

    >>> from resnetlib import cifar_preact_resnet20
    >>> found = gradient_decomposition(cifar_preact_resnet20(), torch.randn(2, 3, 32, 32), torch.tensor([3, 5]))
    >>> [round(share, 4) for share in found.survival.tolist()[:3]]
    [1.0, 1.0, 1.0]

    Args:
        net: a classifier with blocks of this library.
        batches: images `(N, C, H, W)`, preprocessed and not augmented, and labels `(N,)`: one pair, or several.
        labels: labels `(N,)`, if `batches` is a single tensor of images.
        training: whether norms use the statistics of the batch.

    Returns:
        Norms of both terms and of the gradient, `(blocks,)` each, and the deviation of the terms' sum from it.

    Raises:
        ValueError: if the network has no such blocks, or a label is not the index of a logit.

    Source:
        arXiv 1603.05027, eq. 5.
    """
    net, data = gather(net, batches, labels)
    chains = network.chains_of(net, data[0][0])
    blocks, images = network.blocks_in(net, chains), count_images(data)
    inputs: dict[str, Tensor] = {}  # a block enters twice under activation checkpointing: keep the first
    joined: dict[str, tuple[Tensor, Tensor]] = {}
    outputs: dict[str, Tensor] = {}

    def on_join(name: str, skip: Tensor, branch: Tensor) -> tuple[Tensor, Tensor]:
        views = skip.view_as(skip), branch.view_as(branch)  # so that gradients at them come through the join alone
        joined.setdefault(name, views)
        return views

    def on_output(name: str, y: Tensor) -> Tensor:
        outputs.setdefault(name, y)
        return y.clone()  # the caller may write into it

    index = {name: i for i, name in enumerate(blocks)}
    with torch.inference_mode(False):
        last = torch.zeros(len(chains), dtype=torch.float64)
        sums = torch.zeros(4, len(blocks), dtype=torch.float64)  # squared norms of both terms and of their sum, <term 1, term 2>
    deviation, largest = [0.0] * len(chains), [0.0] * len(chains)

    def backward(loss: Tensor) -> None:
        whole = dict(zip(inputs, _grad(loss, list(inputs.values())), strict=True))
        ends = _grad(loss, [outputs[chain[-1]] for chain in chains])
        for i, (chain, end) in enumerate(zip(chains, ends, strict=True)):
            last[i] += _energy(end).cpu()
            term1, term2 = end, torch.zeros_like(end)
            for name in reversed(chain):
                x, y, (skip, branch) = inputs[name], outputs[name], joined[name]
                (skip1, branch1), (skip2, branch2) = (_grad(y, (skip, branch), term) for term in (term1, term2))
                (term1,) = _grad(skip, [x], skip1)
                term2 = _grad(skip, [x], skip2)[0] + _grad(branch, [x], branch1 + branch2)[0]
                deviation[i] = max(deviation[i], float((term1 + term2 - whole[name]).abs().max()))
                largest[i] = max(largest[i], float(whole.pop(name).abs().max()))
                dot = (term1.double() * term2.double()).sum()
                sums[:, index[name]] += torch.stack([_energy(term1), _energy(term2), _energy(term1 + term2), dot]).cpu()

    with (
        network.enable_gradients(net),
        network.norm_mode(net, training=training),
        network.hook_inputs(blocks, inputs.setdefault),
        network.hook_joins(blocks, on_join),
        network.hook_outputs(blocks, on_output),
    ):
        for x, y in tqdm(data, desc="gradient decomposition", unit="batch", disable=None):
            for tensors in (inputs, joined, outputs):
                tensors.clear()
            with network.in_order(net, blocks):
                loss = network.summed_loss(net, x.requires_grad_(), y)  # so that features have gradients even after a frozen stem
            backward(loss)
    skip_energy, branch_energy, energy, dot = sums
    return GradientDecomposition(
        blocks=tuple(blocks),
        chains=network.spans_of(chains),
        images=images,
        training=bool(training),
        last_norm=(last / images).sqrt(),
        skip_norm=(skip_energy / images).sqrt(),
        branch_norm=(branch_energy / images).sqrt(),
        norm=(energy / images).sqrt(),
        cosine=dot / (skip_energy * branch_energy).sqrt(),
        survival=(skip_energy / last.repeat_interleave(torch.tensor([len(chain) for chain in chains]))).sqrt(),
        deviation=tuple(map(relative, deviation, largest)),
    )


def _energy(gradient: Tensor) -> Tensor:
    return gradient.double().square().sum()


def _grad(y: Tensor, xs: Sequence[Tensor], gradient: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return the gradients with respect to `xs`, zeros where `y` does not depend on them, and keep the graph."""
    return torch.autograd.grad(y, xs, gradient, retain_graph=True, materialize_grads=True)
