"""Measure how shattered gradients are: the autocorrelation and the rank of input gradients (arXiv 1702.08591)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis import style
from resnetlib.analysis.batches import (
    Batches,
    check_classifier,
    check_integers,
    check_numbers,
    gather,
    gather_inputs,
    seeded_generator,
    standard_normal,
)
from resnetlib.analysis.network import check_logits, enable_gradients, preserve_state, run_finite, summed_loss
from resnetlib.analysis.result import AnalysisResult, Axes, new_axes
from resnetlib.config.integers import as_integer, check_count
from resnetlib.errors import InputError
from resnetlib.modules.backbone import unwrapped


@dataclass(frozen=True, slots=True, eq=False)
class GradientAutocorrelation(AnalysisResult):
    """The autocorrelation of input gradients along lines between images, at lags 0, 1, 2, ...

    Args:
        points: number of points on each line.
        logits: for each line, the index of the logit.
        by_line: `(lines, lags + 1)`.
        white, brown: autocorrelations of white noise of the same shape and of its running sum, `(lags + 1,)`.
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

    def plot(self, ax: Axes | None = None, label: str | None = None) -> Axes:
        """Plot the autocorrelation by lag; on new axes, also those of white and brown noise."""
        ax = _plot_noise(new_axes(None), self.white, self.brown) if ax is None else ax
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

    With the gradients g_t at the points of a line and their mean m, R(k) = sum_t <g_t - m, g_(t+k) - m> / sum_t ||g_t - m||^2.
    Shattered gradients look like white noise, those of shallow networks like brown noise. Measure untrained networks inside
    `recalibrated`, since batch norms use running statistics.

    Args:
        net: network that returns logits.
        batches: images. Lines go from the first to the second, from the third to the fourth, and so on.
        points: number of points on each line, both ends included.
        lags: largest lag, in points; below `points`.
        logit: index of the logit; None for the largest at the start of each line.
        batch_size: number of points that the network runs at once.
        seed: of the noises.

    Returns:
        The autocorrelation, and those of white and brown noise.

    Raises:
        ValueError: if the number of images is odd, or the gradient is constant along a line.

    Source:
        arXiv 1702.08591, where the line is the input of a scalar function (`toy_autocorrelation`).
    """
    net = unwrapped(net)
    points, lags = _check_lags(points, lags)
    batch_size = check_count("batch_size", batch_size, minimum=1)
    check_classifier(net)
    images = [image for x in gather_inputs(net, batches) for image in x]
    if len(images) % 2:
        raise InputError(f"lines go from one image to the next: give an even number of images, got {len(images)}")
    lines = list(zip(images[::2], images[1::2], strict=True))
    generator = seeded_generator(seed)
    logits, by_line, noises = [], [], []
    with enable_gradients(net), preserve_state(net):
        for start, end in tqdm(lines, desc="gradient autocorrelation", unit="line", disable=None):
            logits.append(_check_logit(net, start, logit))
            steps = torch.linspace(0, 1, points, device=start.device, dtype=start.dtype).view(-1, *[1] * start.ndim)
            gradients: list[Tensor] = []
            for part in (start + steps * (end - start)).split(batch_size):
                x = part.detach().requires_grad_()
                # one backward pass gives the gradient of each image's own logit: in evaluation mode, images are independent
                gradients += torch.autograd.grad(run_finite(net, x)[:, logits[-1]].sum(), x)
            series = torch.cat(gradients).flatten(1)
            by_line.append(autocorrelation(series, lags))
            noises.append(_white_and_brown(standard_normal(series.shape, generator), lags))
    white, brown = torch.stack(noises).mean(0)
    return GradientAutocorrelation(points=points, logits=tuple(logits), by_line=torch.stack(by_line), white=white, brown=brown)


def _check_logit(net: nn.Module, image: Tensor, logit: int | None) -> int:
    with torch.no_grad():
        logits = check_logits(run_finite(net, image[None])).flatten()
    number = int(logits.argmax()) if logit is None else as_integer(logit)
    if number is None or not 0 <= number < len(logits):
        raise InputError(f"logit must be 0 to {len(logits) - 1}, or None for the largest, got {logit!r}")
    return number


@dataclass(frozen=True, slots=True, eq=False)
class ToyAutocorrelation(AnalysisResult):
    """The autocorrelation of df/dx of random networks f: R -> R, at lags 0, 1, 2, ...

    Args:
        kinds: kinds of networks: plain, and residual with each beta.
        depths: numbers of ReLU layers.
        inits: number of initializations in the mean.
        acf: `(kinds, depths, lags + 1)`.
        white, brown: autocorrelations of white noise of the same shape and of its running sum, `(lags + 1,)`.
    """

    kinds: tuple[str, ...]
    depths: tuple[int, ...]
    inits: int
    acf: Tensor
    white: Tensor
    brown: Tensor

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the autocorrelation by lag, for each kind in a color and for each depth in a shade."""
        ax = _plot_noise(new_axes(ax, width=8, height=4.5), self.white, self.brown)
        for i, (kind, curves) in enumerate(zip(self.kinds, self.acf, strict=True)):
            for j, (depth, curve) in enumerate(zip(self.depths, curves, strict=True)):
                shade = (j + 1) / len(self.depths)
                ax.plot(range(len(curve)), curve.tolist(), color=f"C{i}", alpha=shade, label=f"{kind}, {depth} layers")
        ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
        return ax


def toy_autocorrelation(
    depths: Sequence[int] = (2, 4, 10, 24, 50),
    *,
    width: int = 200,
    betas: Sequence[float] = (1.0, 0.1),
    batch_norm: bool = True,
    points: int = 256,
    lags: int = 15,
    inits: int = 20,
    seed: int = 0,
) -> ToyAutocorrelation:
    """Measure the autocorrelation of the gradients of small random networks.

    They are functions f from R to R, plain (h <- F(h)) and residual (h <- h + beta F(h)), with F(h) = W relu(h) + b; df/dx is taken
    at points of [-2, 2]. With depth, the gradients of plain networks go from brown to white noise, and those of residual networks
    stay correlated, more so for smaller beta. All kinds of network share the weights of an initialization, drawn from
    N(0, 2 / fan-in).

    Args:
        depths: numbers of ReLU layers.
        width: number of ReLUs in a layer.
        betas: scales of the residual networks' branches; a plain network is always measured.
        batch_norm: normalize the inputs of the ReLUs over the points, except in the first layer, whose kinks would coincide.
            Otherwise activations are not centered, and the gradients of plain networks shatter more slowly.
        points: number of points.
        lags: largest lag, in points; below `points`.
        inits: number of initializations to average over.
        seed: of the weights and noises.

    Returns:
        The autocorrelations, and those of white and brown noise.

    Source:
        arXiv 1702.08591; width, points, lags and inits as in its reproductions.

    Example:
        >>> found = toy_autocorrelation((2, 10), width=20, points=64, inits=2)
        >>> found.kinds, tuple(found.acf.shape)
        (('plain', 'residual, beta = 1', 'residual, beta = 0.1'), (3, 2, 16))
    """
    points, lags = _check_lags(points, lags)
    depths = check_integers("depths", depths, 1, different=False)
    betas = check_numbers("betas", betas, fewest=0)
    width, inits = check_count("width", width, minimum=1), check_count("inits", inits, minimum=1)
    generator = seeded_generator(seed)
    kinds = (None, *betas)
    runs = [(j, depth) for j, depth in enumerate(depths) for _ in range(inits)]
    with enable_gradients():
        acf = torch.zeros(len(kinds), len(depths), lags + 1, dtype=torch.float64)
        x = torch.linspace(-2, 2, points, dtype=torch.float32).view(-1, 1)
        for j, depth in tqdm(runs, desc="toy networks", unit="net", disable=None):
            weights = _toy_weights(depth, width, generator)
            for i, beta in enumerate(kinds):
                acf[i, j] += autocorrelation(_toy_gradient(x, weights, beta=beta, batch_norm=batch_norm), lags) / inits
    noises = [_white_and_brown(torch.randn(points, 1, generator=generator, dtype=torch.float64), lags) for _ in range(inits)]
    white, brown = torch.stack(noises).mean(0)
    names = ("plain", *(f"residual, beta = {beta:g}" for beta in betas))
    return ToyAutocorrelation(kinds=names, depths=depths, inits=inits, acf=acf, white=white, brown=brown)


def _toy_weights(depth: int, width: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Draw the weights `(fan-in, fan-out)` and biases of all layers."""

    def draw(c_in: int, *shape: int) -> Tensor:
        return standard_normal(shape, generator).mul_((2 / c_in) ** 0.5)

    return [(draw(c_in, c_in, c_out), draw(c_in, c_out)) for c_in, c_out in pairwise([1, *[width] * depth, 1])]


def _toy_gradient(x: Tensor, weights: list[tuple[Tensor, Tensor]], *, beta: float | None, batch_norm: bool) -> Tensor:
    """Return df/dx at each point, `(points, 1)`; beta is None for a plain network."""

    def norm(h: Tensor) -> Tensor:  # no gradient through the statistics, which all points share
        variance, mean = torch.var_mean(h.detach(), 0, correction=0)
        return (h - mean) / (variance + 1e-5).sqrt()

    x = x.detach().requires_grad_()
    first, *inner, last = weights
    h = x @ first[0] + first[1]
    for i, (w, b) in enumerate(inner):
        branch = (norm(h) if batch_norm and i else h).relu() @ w + b
        h = branch if beta is None else h + beta * branch
    y = (norm(h) if batch_norm and inner else h).relu() @ last[0] + last[1]
    (gradient,) = torch.autograd.grad(y.sum(), x)
    return gradient


def autocorrelation(series: Tensor, lags: int) -> Tensor:
    """Return R(k) for k = 0 .. lags of a series `(points, dimensions)`; raise ValueError if it is constant."""
    series = series.double()
    centered = series - series.mean(0)
    energy = centered.square().sum()
    if float(energy) <= 1e-20 * float(series.square().sum()):
        raise InputError("the gradient is the same at all points: it has no autocorrelation (is the network linear or zero?)")
    products = [(centered[: len(centered) - k] * centered[k:]).sum() for k in range(lags + 1)]
    return (torch.stack(products) / energy).cpu()


def _white_and_brown(noise: Tensor, lags: int) -> Tensor:
    """Return the autocorrelations of white noise and of its running sum, `(2, lags + 1)`."""
    return torch.stack([autocorrelation(noise, lags), autocorrelation(noise.double().cumsum(0), lags)])


def _check_lags(points: int, lags: int) -> tuple[int, int]:
    points, lags = check_count("points", points, minimum=2), check_count("lags", lags, minimum=1)
    if lags >= points:
        raise InputError(f"lags must be below the number of points, {points}, got {lags}")
    return points, lags


def _plot_noise(ax: Axes, white: Tensor, brown: Tensor) -> Axes:
    ax.plot(range(len(white)), white.tolist(), color=style.GRAY, linestyle=":", label="white noise")
    ax.plot(range(len(brown)), brown.tolist(), color=style.SECOND, linestyle=":", label="brown noise")
    ax.set(xlabel="lag, in points", ylabel="autocorrelation")
    return ax


@dataclass(frozen=True, slots=True, eq=False)
class EffectiveRank(AnalysisResult):
    """Ranks of the matrix A of input gradients dE/dx, one row per image, and of a Gaussian matrix of the same shape.

    Args:
        shape: number of images, and of values in an image.
        unit_rows: whether rows were scaled to norm 1.
        stable_rank, gaussian_stable_rank: tr(A'A) / ||A||_2^2.
        effective_rank, gaussian_effective_rank: exp of the entropy of the singular values divided by their sum.
        singular_values, gaussian_singular_values: in descending order.
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
        """Stable rank / that of the Gaussian matrix; 1 for gradients that are white noise."""
        return self.stable_rank / self.gaussian_stable_rank

    @property
    def relative_effective_rank(self) -> float:
        """Effective rank / that of the Gaussian matrix."""
        return self.effective_rank / self.gaussian_effective_rank

    def plot(self, ax: Axes | None = None, label: str | None = None) -> Axes:
        """Plot the singular values divided by the largest; on new axes, also those of the Gaussian matrix."""
        own, gaussian = ((values / values[0]).tolist() for values in (self.singular_values, self.gaussian_singular_values))
        if ax is None:
            ax = new_axes(None)
            ax.plot(range(len(gaussian)), gaussian, color=style.GRAY, linestyle=":", label="Gaussian")
        ax.plot(range(len(own)), own, label=label or "gradients")
        ax.set(xlabel="index", ylabel="singular value / largest", yscale="log")
        ax.legend()
        return ax


def effective_rank(
    net: nn.Module, batches: Batches, labels: Tensor | None = None, *, unit_rows: bool = False, seed: int = 0
) -> EffectiveRank:
    """Measure the rank of the matrix of input gradients.

    The stable rank is tr(A'A) / ||A||_2^2, the effective rank exp(H(singular values)). Independent gradients have the ranks of a
    Gaussian matrix; similar gradients have lower ranks. Measure untrained networks inside `recalibrated`, since batch norms use
    running statistics.

    Args:
        net: network that returns logits.
        batches: images and labels; or images alone, as one tensor.
        labels: labels of that tensor.
        unit_rows: scale each image's gradient to norm 1. Otherwise images with large losses dominate, and a network that fits all
            images but a few has a low rank for that reason alone.
        seed: of the Gaussian matrix.

    Returns:
        The ranks.

    Source:
        arXiv 1702.08591; effective rank: Roy and Vetterli, "The effective rank", 2007, def. 1.
    """
    net, data = gather(net, batches, labels)
    rows = []
    with enable_gradients(net), preserve_state(net):
        for x, y in tqdm(data, desc="input gradients", unit="batch", disable=None):
            # one backward pass gives each image's own gradient: in evaluation mode, images are independent
            (gradient,) = torch.autograd.grad(summed_loss(net, x.requires_grad_(), y), x, materialize_grads=True)
            rows.append(gradient.flatten(1).double().cpu())
    matrix = torch.cat(rows)
    if not matrix.any():
        raise InputError("all gradients are zero: they have no rank (is the classifier zero, as Fixup initializes it?)")
    if unit_rows:
        matrix = nn.functional.normalize(matrix)
    gaussian = torch.randn(matrix.shape, generator=seeded_generator(seed), dtype=torch.float64)
    own, other = torch.linalg.svdvals(matrix), torch.linalg.svdvals(gaussian)
    shape = matrix.shape[0], matrix.shape[1]
    return EffectiveRank(shape, bool(unit_rows), *_ranks(own), *_ranks(other), own, other)


def _ranks(singular_values: Tensor) -> tuple[float, float]:
    """Return the stable rank and the effective rank."""
    stable = singular_values.square().sum() / singular_values[0].square()
    effective = torch.special.entr(singular_values / singular_values.sum()).sum().exp()
    return float(stable), float(effective)
