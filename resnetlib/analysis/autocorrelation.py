"""Are gradients of neighbouring images alike? Their autocorrelation along lines between images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.batches import Batches, check_classifier, gather_inputs, run_finite
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.recording import recording
from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.analysis.scores import check_logits
from resnetlib.analysis.streams import seeded
from resnetlib.modules.arguments import as_integer, check_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class GradientAutocorrelation(AnalysisResult):
    """The autocorrelation of input gradients along lines between images, at lags 0, 1, 2, ...

    Args:
        points: on each line.
        logits: for each line, whose gradient it was.
        by_line: `(lines, lags + 1)`.
        white: of white noise of the same length and count, `(lags + 1,)`.
        brown: of brown noise, its running sum.
    """

    points: int
    logits: tuple[int, ...]
    by_line: Tensor
    white: Tensor
    brown: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean over lines, `(lags + 1,)`."""
        return self.by_line.mean(0)

    def plot(self, ax: "Axes | None" = None, label: str | None = None) -> "Axes":
        """Draw the autocorrelation between those of white and brown noise.

        Args:
            ax: axes to draw on, those of another network for example; None for new ones.
            label: what the legend calls it.

        Returns:
            The axes.
        """
        if ax is None:
            ax = draw_noise(new_axes(None), self.white, self.brown)
        ax.plot(range(len(self.mean)), self.mean.tolist(), marker=".", label=label or "gradients")
        ax.legend()
        return ax


def gradient_autocorrelation(
    net: nn.Module,
    batches: Batches,
    *,
    points: int = 256,
    lags: int = 15,
    logit: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> GradientAutocorrelation:
    """Measure the autocorrelation of d logit / d image along straight lines between pairs of images.

    A line's gradients g_t are vectors, one for each of its points: R(k) = sum_t <g_t - m, g_(t+k) - m> / sum_t ||g_t - m||^2, with
    m their mean. Gradients that are shattered look like white noise; those of shallow networks like brown noise.

    Batch norms use their running statistics. A network that is not trained yet has none: measure it inside `recalibrated`.

    Args:
        net: any network from images to logits, in any mode; measured in evaluation, and left as it was.
        batches: images, with or without labels: a line goes from the first to the second, from the third to the fourth, and so on.
        points: on each line, both ends included.
        lags: the largest lag, in points.
        logit: whose gradient it is; None for the one that the network ranks first at the beginning of the line.
        batch_size: points that go through the network at once.
        seed: of the noises.

    Returns:
        The autocorrelation, and those of the noises.

    Raises:
        ValueError: if a number is out of range: that of images is odd or zero, there are not more points than lags, or there is no
            such logit, or none at all; if the network's output is not finite; or if the gradient is the same all along a line.

    Source:
        arXiv 1702.08591, where the line is that of the inputs of a scalar function (`toy_autocorrelation`).

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> found = gradient_autocorrelation(cifar_resnet20(), torch.randn(2, 3, 32, 32), points=32, lags=4)
        >>> [round(r, 3) for r in found.mean.tolist()[:1]], len(found.white)
        ([1.0], 5)
    """
    net = unwrapped(net)
    points, lags = check_lags(points, lags)
    batch_size = check_count("batch_size", batch_size, least=1)
    check_classifier(net)
    images = [image for x in gather_inputs(net, batches) for image in x]
    if len(images) % 2:
        raise ValueError(f"lines go from one image to the next: give an even number of images, got {len(images)}")
    lines = list(zip(images[::2], images[1::2], strict=True))
    generator = seeded(seed)
    logits, found, white, brown = [], [], [], []
    with recording(net), intact(net):
        for start, end in tqdm(lines, desc="gradient autocorrelation", unit="line", disable=None):
            logits.append(_logit(net, start, logit))
            steps = torch.linspace(0, 1, points, device=start.device, dtype=start.dtype).view(-1, *[1] * start.ndim)
            line = start + steps * (end - start)
            gradients = torch.cat([_gradients(net, x, logits[-1]) for x in line.split(batch_size)])
            found.append(autocorrelation(gradients, lags))
            noise = torch.randn(gradients.shape, generator=generator)
            white.append(autocorrelation(noise, lags))
            brown.append(autocorrelation(noise.double().cumsum(0), lags))
    return GradientAutocorrelation(
        points=points,
        logits=tuple(logits),
        by_line=torch.stack(found),
        white=torch.stack(white).mean(0),
        brown=torch.stack(brown).mean(0),
    )


def autocorrelation(series: Tensor, lags: int) -> Tensor:
    """Compute R(k) = sum_t <g_t - m, g_(t+k) - m> / sum_t ||g_t - m||^2 for k = 0 .. lags.

    Args:
        series: `(points, dimensions)`.
        lags: the largest lag.

    Returns:
        `(lags + 1,)`, on the CPU.

    Raises:
        ValueError: if it is constant.
    """
    series = series.double()
    centred = series - series.mean(0)
    energy = centred.square().sum()
    if float(energy) <= 1e-20 * float(series.square().sum()):
        raise ValueError("the gradient is the same at all points: it has no autocorrelation (is the network linear, or zero?)")
    products = [(centred[: len(centred) - k] * centred[k:]).sum() for k in range(lags + 1)]
    return (torch.stack(products) / energy).cpu()


def check_lags(points: int, lags: int) -> tuple[int, int]:
    """Return both as Python's integers; raise ValueError unless there are more points than lags, and a lag at all."""
    points, number = check_count("points", points, least=2), as_integer(lags)
    if number is None or not 1 <= number < points:
        raise ValueError(f"lags must be an integer of at least 1, and below the number of points, {points}, got {lags!r}")
    return points, number


def draw_noise(ax: "Axes", white: Tensor, brown: Tensor) -> "Axes":
    """Draw what autocorrelations are compared with.

    Args:
        ax: axes to draw on.
        white: autocorrelation of white noise.
        brown: of brown noise.

    Returns:
        The axes.
    """
    ax.plot(range(len(white)), white.tolist(), color="gray", linestyle=":", label="white noise")
    ax.plot(range(len(brown)), brown.tolist(), color="brown", linestyle=":", label="brown noise")
    ax.set(xlabel="lag, in points", ylabel="autocorrelation")
    return ax


def _logit(net: nn.Module, image: Tensor, wanted: int | None) -> int:
    with torch.no_grad():
        logits = check_logits(run_finite(net, image[None])).flatten()
    if wanted is None:
        return int(logits.argmax())
    number = as_integer(wanted)
    if number is None or not 0 <= number < len(logits):
        raise ValueError(f"logit must be 0 to {len(logits) - 1}, or None for the one that is ranked first, got {wanted!r}")
    return number


def _gradients(net: nn.Module, x: Tensor, logit: int) -> Tensor:
    """Return each image's own gradient: in evaluation images do not see one another, so that one backward pass gets them all."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(run_finite(net, x)[:, logit].sum(), x)
    return gradient.flatten(1)
