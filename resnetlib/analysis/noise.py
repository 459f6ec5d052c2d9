"""How does a network bear noise on its input, and on its weights?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.arguments import check_numbers
from resnetlib.analysis.batches import Batches, gather
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.analysis.scores import Score, chance_error, evaluated, score_intact
from resnetlib.analysis.streams import normal_like, streams

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class NoiseSweep(AnalysisResult):
    """A network's accuracy under noise of several sizes.

    Args:
        where: "input" or "weights".
        sizes: of the noise.
        images: over how many.
        intact_accuracy: accuracy without noise, in %.
        chance_accuracy: accuracy of guessing, in %.
        accuracy: for each size and draw, in %.
    """

    where: str
    sizes: tuple[float, ...]
    images: int
    intact_accuracy: float
    chance_accuracy: float
    accuracy: Tensor

    @property
    def mean(self) -> Tensor:
        """For each size, the mean accuracy over the draws, in %."""
        return self.accuracy.mean(1)

    @property
    def drop(self) -> Tensor:
        """For each size, the accuracy that the noise takes, in percentage points."""
        return self.intact_accuracy - self.mean

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the accuracy against the size of the noise, its mean and range over the draws.

        Args:
            ax: axes to draw on, other networks' perhaps; None for new ones.

        Returns:
            The axes.
        """
        ax = new_axes(ax)
        order = sorted(range(len(self.sizes)), key=self.sizes.__getitem__)
        sizes, accuracy = [self.sizes[i] for i in order], self.accuracy[order]
        (line,) = ax.plot(sizes, accuracy.mean(1).tolist(), ".-")
        ax.fill_between(sizes, accuracy.amin(1).tolist(), accuracy.amax(1).tolist(), color=line.get_color(), alpha=0.2)
        ax.axhline(self.intact_accuracy, color=line.get_color(), linestyle=":", linewidth=0.8)
        ax.axhline(self.chance_accuracy, color="tab:gray", linestyle="--", linewidth=0.8)
        ax.set(xlabel=f"noise on the {self.where}", ylabel="accuracy (%)", ylim=(0, 100))
        return ax


def input_noise(
    net: nn.Module, batches: Batches, sigmas: Sequence[float] = (0.1, 0.2, 0.4, 0.8), *, draws: int = 3, seed: int = 0
) -> NoiseSweep:
    """Classify x + sigma * N(0, 1).

    The noise is that of every other network with the same seed and images, and in every size the same but for the factor. Compare
    the drops of networks with equally many parameters, not their accuracies.

    Args:
        net: any classifier, in any mode; measured in evaluation, and left as it was.
        batches: images and labels.
        sigmas: standard deviations, in units of the network's input, after its normalisation. In levels of 255 it is sigma * std *
            255, with the std by which the channel was divided: for CIFAR-10, of about 0.25, a sigma of 0.1 is 6.4 levels.
        draws: of the noise, for each image.
        seed: of the draws.

    Returns:
        The accuracies.

    Raises:
        ValueError: if there are no images or labels, the network's loss is no finite number, or a sigma is not one of at least 0.

    Source:
        No paper's: the design for the claim that skips make networks robust is to compare a plain and a residual network.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> found = input_noise(cifar_resnet20(), (torch.randn(4, 3, 32, 32), torch.arange(4)), [0, 1], draws=2)
        >>> found.drop[0].item()
        0.0
    """
    net = unwrapped(net)
    data, sizes = gather(net, batches), check_numbers("sigmas", sigmas, least=0)
    sources = streams(seed, draws)
    accuracy = torch.zeros(len(sizes), draws, dtype=torch.float64)
    with intact(net), torch.inference_mode(), tqdm(total=accuracy.numel(), desc="input noise", disable=None) as bar:
        whole, outputs = score_intact(net, data)
        for j, stream in enumerate(sources):
            noise = [normal_like(x, stream) for x, _ in data]
            for i, sigma in enumerate(sizes):
                noisy = ((x + sigma * added, y) for (x, y), added in zip(data, noise, strict=True))
                accuracy[i, j] = 100 - evaluated(net, noisy).error
                bar.update()
    return _swept("input", sizes, whole, outputs, accuracy)


def weight_noise(
    net: nn.Module, batches: Batches, ratios: Sequence[float] = (0.05, 0.1, 0.2, 0.4), *, draws: int = 3, seed: int = 0
) -> NoiseSweep:
    """Classify with w + ratio * rms(w) * N(0, 1) in the place of every parameter w.

    The root mean square is that of each filter (a slice along the first dimension) where a parameter has two dimensions or more,
    so that the noise on a filter has about `ratio` times its norm, and that of the whole parameter elsewhere; zeros stay zeros.
    Running statistics are left as they are.

    Args:
        net: any classifier, in any mode; measured in evaluation, and left as it was.
        batches: images and labels.
        ratios: sizes of the noise, relative to the weights.
        draws: of the noise.
        seed: of the draws, which are the same for every network of the same parameters.

    Returns:
        The accuracies.

    Raises:
        ValueError: if there are no images, labels or parameters, the network's loss is no finite number, or a ratio is not one of
            at least 0.

    Source:
        The scale by filters is that of arXiv 1712.09913, sec. 3, which leaves biases and norms out, however.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> found = weight_noise(cifar_resnet20(), (torch.randn(4, 3, 32, 32), torch.arange(4)), [0, 0.1], draws=2)
        >>> found.accuracy.shape
        torch.Size([2, 2])
    """
    net = unwrapped(net)
    data, sizes = gather(net, batches), check_numbers("ratios", ratios, least=0)
    if not any(True for _ in net.parameters()):
        raise ValueError(f"{type(net).__name__} has no parameters, which could get noise")
    sources = streams(seed, draws)
    accuracy = torch.zeros(len(sizes), draws, dtype=torch.float64)
    with intact(net), torch.inference_mode(), tqdm(total=accuracy.numel(), desc="weight noise", disable=None) as bar:
        whole, outputs = score_intact(net, data)
        for j, stream in enumerate(sources):
            noise = {name: _noise_for(weight, stream) for name, weight in net.named_parameters()}
            for i, ratio in enumerate(sizes):
                tensors = {name: weight + ratio * noise[name] for name, weight in net.named_parameters()}
                accuracy[i, j] = 100 - evaluated(net, data, tensors).error
                bar.update()
    return _swept("weights", sizes, whole, outputs, accuracy)


def _swept(where: str, sizes: tuple[float, ...], whole: Score, outputs: list[Tensor], accuracy: Tensor) -> NoiseSweep:
    return NoiseSweep(
        where=where,
        sizes=sizes,
        images=whole.images,
        intact_accuracy=100 - whole.error,
        chance_accuracy=100 - chance_error(outputs[0].shape[1]),
        accuracy=accuracy,
    )


def _noise_for(weight: Tensor, stream: torch.Generator) -> Tensor:
    dims = tuple(range(1 if weight.ndim > 1 else 0, weight.ndim))
    square = weight.detach().double().square()
    rms = (square.mean(dims, keepdim=True) if dims else square).sqrt()
    return (rms * torch.randn(weight.shape, generator=stream).to(rms)).to(weight)
