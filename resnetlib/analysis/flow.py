"""Do gradients reach the first blocks? Their norms, block by block."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.batches import Batches, images_in
from resnetlib.analysis.curves import draw_curve
from resnetlib.analysis.hooks import incomes, outcomes
from resnetlib.analysis.intact import unwrapped
from resnetlib.analysis.joints import blocks_in, chains_of
from resnetlib.analysis.labelled import gather_labelled, summed_loss
from resnetlib.analysis.norms import norms_in
from resnetlib.analysis.recording import recording
from resnetlib.analysis.result import AnalysisResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class GradientFlow(AnalysisResult):
    """The norms of a loss's gradients, block by block.

    Args:
        blocks: the blocks' names.
        images: over how many.
        training: whether norms used each batch's own statistics.
        loss: mean cross-entropy.
        feature_norm: for each block's input, and last for the last block's output, the root of the mean over images of the squared
            norm of the gradient of the summed loss. It does not depend on the number of images.
        parameter_norm: for each block, the norm of the gradient of the mean loss with respect to all of its parameters.
    """

    blocks: tuple[str, ...]
    images: int
    training: bool
    loss: float
    feature_norm: Tensor
    parameter_norm: Tensor

    @property
    def first_to_last(self) -> float:
        """The norm at the first block's input for each unit of it at the last block's output: below 1, gradients vanish."""
        return float(self.feature_norm[0] / self.feature_norm[-1])

    def plot(
        self, ax: "Axes | None" = None, label: str | None = None, *, of: Literal["features", "parameters"] = "features"
    ) -> "Axes":
        """Draw the norms, block by block, on a logarithmic axis.

        Args:
            ax: axes to draw on, those of another network or of another time for example; None for new ones.
            label: what the legend calls them.
            of: which norms.

        Returns:
            The axes.

        Raises:
            ValueError: for others.
        """
        curves = {
            "features": (self.feature_norm, "norm of dE/dx, at the block's input"),
            "parameters": (self.parameter_norm, "norm of dE/dw, all the block's parameters"),
        }
        if of not in curves:
            raise ValueError(f"of must be one of {', '.join(curves)}, got {of!r}")
        values, name = curves[of]
        ax = draw_curve(ax, values, label=label, name=name, of="block")
        ax.set_yscale("log")
        return ax


def gradient_flow(net: nn.Module, batches: Batches, labels: Tensor | None = None, *, training: bool = True) -> GradientFlow:
    """Measure ||dE/dx|| at each block's input, and ||dE/dw|| of each block's parameters.

    The network is left as it was, running statistics and gradients included, so that this may be called between two steps of a
    training; several findings are compared by drawing them on the same axes.

    Args:
        net: a network with blocks that returns logits; also parameters that are frozen get their norms.
        batches: images and labels; or images alone, as one tensor.
        labels: of that tensor.
        training: whether norms use each batch's own statistics, as while training, or their running ones. Dropout and stochastic
            depth are off in both cases.

    Returns:
        The norms.

    Raises:
        ValueError: if there are no images, labels are missing, the network runs no blocks, or one of them several times, or the
            loss is not finite.

    Source:
        arXiv 1512.03385, sec. 4.1, which verified that with batch norms the gradients of plain networks do not vanish.

    Example:
        >>> from resnetlib import cifar_plain20, cifar_resnet20
        >>> x, y = torch.randn(4, 3, 32, 32), torch.arange(4)
        >>> ax = gradient_flow(cifar_plain20(), x, y).plot(label="plain")
        >>> [line.get_label() for line in gradient_flow(cifar_resnet20(), x, y).plot(ax, label="residual").lines]
        ['plain', 'residual']
    """
    net = unwrapped(net)
    listed = gather_labelled(net, batches, labels)
    blocks = blocks_in(net, chains_of(net, listed[0][0]))
    images = images_in(listed)
    features: dict[str, Tensor] = {}
    parameters = [[p for p in block.parameters() if p.is_floating_point()] for block in blocks.values()]
    every = [parameter for own in parameters for parameter in own]
    total = 0.0
    last = next(reversed(blocks))

    def come(name: str, x: Tensor) -> None:
        features.setdefault(name, x)  # where activations are recomputed, it comes again

    def leave(name: str, y: Tensor) -> Tensor:
        features.setdefault("", y)
        return y.clone()  # which what follows may write into

    with (
        recording(net),
        norms_in(net, training=training),
        incomes(blocks, come),
        outcomes({last: blocks[last]}, leave),
    ):
        squares = torch.zeros(len(blocks) + 1, dtype=torch.float64)
        sums = [torch.zeros_like(parameter, dtype=torch.float64, requires_grad=False) for parameter in every]
        for parameter in every:
            parameter.requires_grad_(True)
        for x, y in tqdm(listed, desc="gradient flow", unit="batch", disable=None):
            features.clear()
            loss = summed_loss(net, x.requires_grad_(), y)  # so that every feature has a gradient, also behind a frozen stem
            gradients = torch.autograd.grad(loss, [*features.values(), *every], materialize_grads=True)
            squares += torch.stack([gradient.double().square().sum().cpu() for gradient in gradients[: len(features)]])
            for summed, gradient in zip(sums, gradients[len(features) :], strict=True):
                summed += gradient
            total += float(loss.detach())
    energies = iter([float(summed.square().sum()) for summed in sums])
    return GradientFlow(
        blocks=tuple(blocks),
        images=images,
        training=bool(training),
        loss=total / images,
        feature_norm=(squares / images).sqrt(),
        parameter_norm=torch.tensor([sum(next(energies) for _ in own) for own in parameters], dtype=torch.float64).sqrt() / images,
    )
