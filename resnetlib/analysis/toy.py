"""How gradients shatter with depth: the autocorrelation of the gradient of random scalar functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm import tqdm

from resnetlib.analysis.arguments import check_integers, check_numbers
from resnetlib.analysis.autocorrelation import autocorrelation, check_lags, draw_noise
from resnetlib.analysis.recording import recording
from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.analysis.streams import seeded
from resnetlib.modules.arguments import check_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class ToyAutocorrelation(AnalysisResult):
    """The autocorrelation of df/dx of random networks f: R -> R, at lags 0, 1, 2, ...

    Args:
        kinds: of networks: plain ones, and residual ones with their beta.
        depths: layers of relus.
        inits: over how many initialisations it was averaged.
        acf: `(kinds, depths, lags + 1)`.
        white: of white noise of the same length and count, `(lags + 1,)`.
        brown: of brown noise, its running sum.
    """

    kinds: tuple[str, ...]
    depths: tuple[int, ...]
    inits: int
    acf: Tensor
    white: Tensor
    brown: Tensor

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw a curve for each kind and depth; the deeper, the darker.

        Args:
            ax: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        ax = draw_noise(new_axes(ax, width=8, height=4.5), self.white, self.brown)
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
    """Measure the autocorrelation of df/dx at points of [-2, 2], for h <- F(h) and for h <- h + beta F(h), F(h) = W relu(h) + b.

    The gradient of a shallow network is much like brown noise. That of a plain network becomes white noise with depth, while a
    residual one keeps its neighbours alike, the more so the smaller its beta. All kinds of an initialisation have the same weights.

    Args:
        depths: layers of relus.
        width: relus in a layer.
        betas: of the residual networks; a plain one is always measured.
        batch_norm: normalise what enters the relus over the points, but for the first layer's, whose kinks would all come to lie in
            one place. Without, activations are far from centred, and plain gradients shatter more slowly.
        points: at which the gradient is taken.
        lags: the largest lag, in points.
        inits: initialisations that are averaged.
        seed: of weights and noises.

    Returns:
        The autocorrelations, and those of the noises.

    Raises:
        ValueError: if a number is out of range.

    Source:
        arXiv 1702.08591; width, points, lags and inits as in reproductions of it. Weights and biases are from N(0, 2 / fan-in).

    Example:
        >>> found = toy_autocorrelation((2, 10), width=20, points=64, inits=2)
        >>> found.kinds, tuple(found.acf.shape)
        (('plain', 'residual, beta = 1', 'residual, beta = 0.1'), (3, 2, 16))
    """
    points, lags = check_lags(points, lags)
    depths = check_integers("depths", depths, 1, different=False)
    betas = check_numbers("betas", betas, fewest=0)
    width, inits = check_count("width", width, least=1), check_count("inits", inits, least=1)
    generator = seeded(seed)
    kinds = (None, *betas)
    runs = [(j, depth) for j, depth in enumerate(depths) for _ in range(inits)]
    with recording():
        acf = torch.zeros(len(kinds), len(depths), lags + 1, dtype=torch.float64)
        x = torch.linspace(-2, 2, points).view(-1, 1)
        for j, depth in tqdm(runs, desc="toy networks", unit="net", disable=None):
            weights = _weights(depth, width, generator)
            for i, beta in enumerate(kinds):
                acf[i, j] += autocorrelation(_gradient(x, weights, beta=beta, batch_norm=batch_norm), lags) / inits
    noises = [torch.randn(points, 1, generator=generator, dtype=torch.float64) for _ in range(inits)]
    return ToyAutocorrelation(
        kinds=("plain", *(f"residual, beta = {beta:g}" for beta in betas)),
        depths=depths,
        inits=inits,
        acf=acf,
        white=torch.stack([autocorrelation(noise, lags) for noise in noises]).mean(0),
        brown=torch.stack([autocorrelation(noise.cumsum(0), lags) for noise in noises]).mean(0),
    )


def _weights(depth: int, width: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Draw weights (fan-in, fan-out) and biases of all layers."""

    def draw(c_in: int, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).mul_((2 / c_in) ** 0.5)

    return [(draw(c_in, c_in, c_out), draw(c_in, c_out)) for c_in, c_out in pairwise([1, *[width] * depth, 1])]


def _gradient(x: Tensor, weights: list[tuple[Tensor, Tensor]], *, beta: float | None, batch_norm: bool) -> Tensor:
    """Return df/dx at the points, `(points, 1)`; beta is None for a plain network."""
    x = x.detach().requires_grad_()
    first, *inner, last = weights
    h = x @ first[0] + first[1]
    for i, (w, b) in enumerate(inner):
        branch = (_normed(h) if batch_norm and i else h).relu() @ w + b
        h = branch if beta is None else h + beta * branch
    y = (_normed(h) if batch_norm and inner else h).relu() @ last[0] + last[1]
    (gradient,) = torch.autograd.grad(y.sum(), x)
    return gradient


def _normed(h: Tensor) -> Tensor:
    """Normalise over the points; the gradient of one point does not go through the statistics, which others share."""
    variance, mean = torch.var_mean(h.detach(), 0, correction=0)
    return (h - mean) / (variance + 1e-5).sqrt()
