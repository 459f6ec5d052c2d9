"""In how many directions do the images' gradients point? Stable and effective rank of the matrix of gradients."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.batches import Batches
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.labelled import gather_labelled, summed_loss
from resnetlib.analysis.recording import recording
from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.analysis.streams import seeded

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class EffectiveRank(AnalysisResult):
    """The ranks of the matrix A of gradients dE/dx, one row for each image, and of a Gaussian matrix of its shape.

    Args:
        shape: images, and numbers in an image.
        unit_rows: whether rows were scaled to norm 1.
        stable_rank: tr(A'A) / ||A||_2^2.
        effective_rank: exp of the entropy of the singular values as shares of their sum.
        gaussian_stable_rank: of the Gaussian matrix.
        gaussian_effective_rank: of the Gaussian matrix.
        singular_values: of A, the largest first.
        gaussian_singular_values: of the Gaussian matrix.
    """

    shape: tuple[int, int]
    unit_rows: bool
    stable_rank: float
    effective_rank: float
    gaussian_stable_rank: float
    gaussian_effective_rank: float
    singular_values: Tensor
    gaussian_singular_values: Tensor

    @property
    def relative_stable_rank(self) -> float:
        """The stable rank as a share of the Gaussian matrix's: 1 for gradients that are white noise."""
        return self.stable_rank / self.gaussian_stable_rank

    @property
    def relative_effective_rank(self) -> float:
        """The effective rank as a share of the Gaussian matrix's."""
        return self.effective_rank / self.gaussian_effective_rank

    def plot(self, ax: "Axes | None" = None, label: str | None = None) -> "Axes":
        """Draw the singular values as shares of the largest.

        Args:
            ax: axes to draw on, those of another network for example; None for new ones, with the Gaussian matrix's.
            label: what the legend calls them.

        Returns:
            The axes.
        """
        if ax is None:
            ax = new_axes(None)
            self._curve(ax, self.gaussian_singular_values, "Gaussian", color="gray", linestyle=":")
        self._curve(ax, self.singular_values, label or "gradients")
        ax.set(xlabel="index", ylabel="singular value / largest", yscale="log")
        ax.legend()
        return ax

    def _curve(self, ax: "Axes", values: Tensor, label: str, *, color: str | None = None, linestyle: str = "-") -> None:
        ax.plot(range(len(values)), (values / values[0]).tolist(), color=color, linestyle=linestyle, label=label)


def effective_rank(
    net: nn.Module, batches: Batches, labels: Tensor | None = None, *, unit_rows: bool = False, seed: int = 0
) -> EffectiveRank:
    """Measure stable rank tr(A'A) / ||A||_2^2 and effective rank exp(H(singular values)) of the matrix of input gradients.

    Independent gradients have the ranks of a Gaussian matrix; the more they have in common, the lower they are.

    Batch norms use their running statistics. A network that is not trained yet has none: measure it inside `recalibrated`.

    Args:
        net: any network from images to logits, in any mode; measured in evaluation, and left as it was.
        batches: images and labels; or images alone, as one tensor.
        labels: of that tensor.
        unit_rows: scale each image's gradient to norm 1. Without, the images of the largest losses count most, and a network that
            fits all images but a few has a low rank for that reason alone.
        seed: of the Gaussian matrix.

    Returns:
        The ranks.

    Raises:
        ValueError: if there are no images, labels are missing, the loss is not finite, or all gradients are zero.

    Source:
        arXiv 1702.08591; effective rank: Roy and Vetterli, "The effective rank", 2007, def. 1.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> found = effective_rank(cifar_resnet20(), torch.randn(4, 3, 32, 32), torch.arange(4))
        >>> 1 <= found.stable_rank <= found.effective_rank <= 4
        True
    """
    net = unwrapped(net)
    listed = gather_labelled(net, batches, labels)
    rows = []
    with recording(net), intact(net):
        for x, y in tqdm(listed, desc="input gradients", unit="batch", disable=None):
            # in evaluation images do not see one another: one backward pass gets each image's own gradient
            (gradient,) = torch.autograd.grad(summed_loss(net, x.requires_grad_(), y), x, materialize_grads=True)
            rows.append(gradient.flatten(1).double().cpu())
    matrix = torch.cat(rows)
    if not matrix.any():
        raise ValueError("all gradients are zero: they have no rank (is the classifier zero, as Fixup begins it?)")
    if unit_rows:
        matrix = nn.functional.normalize(matrix)
    gaussian = torch.randn(matrix.shape, generator=seeded(seed), dtype=torch.float64)
    own, other = torch.linalg.svdvals(matrix), torch.linalg.svdvals(gaussian)
    return EffectiveRank(
        shape=(matrix.shape[0], matrix.shape[1]),
        unit_rows=bool(unit_rows),
        stable_rank=_stable_rank(own),
        effective_rank=_effective_rank(own),
        gaussian_stable_rank=_stable_rank(other),
        gaussian_effective_rank=_effective_rank(other),
        singular_values=own,
        gaussian_singular_values=other,
    )


def _stable_rank(singular_values: Tensor) -> float:
    return float(singular_values.square().sum() / singular_values[0].square())


def _effective_rank(singular_values: Tensor) -> float:
    shares = singular_values / singular_values.sum()
    return float(torch.special.entr(shares).sum().exp())
