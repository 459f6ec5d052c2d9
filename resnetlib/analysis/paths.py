"""Through which paths does the gradient come? One path at a time, by opening and closing what meets at each join."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis.arguments import check_integers
from resnetlib.analysis.batches import Batches
from resnetlib.analysis.forks import forks_of, gradients, share_of_paths
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.joints import blocks_in, chains_of
from resnetlib.analysis.labelled import gather_labelled
from resnetlib.analysis.recording import recording
from resnetlib.analysis.result import AnalysisResult, new_axes
from resnetlib.analysis.scores import score_intact
from resnetlib.analysis.streams import streams

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class PathGradients(AnalysisResult):
    """The gradient at the image, through paths of each length.

    Args:
        blocks: the blocks' names.
        forks: blocks where a path may skip the branch. The others, plain ones, are on every path.
        lengths: how many branches the paths go through.
        images: over how many.
        draws: paths of each length for each image.
        norm: for each length, the mean norm of the gradient through one path.
        quartiles: for each length, the first and third quartile of these norms.
        paths: for each length, its share of the 2^forks paths.
        contribution: for each length, `paths * norm`.
    """

    blocks: tuple[str, ...]
    forks: int
    lengths: tuple[int, ...]
    images: int
    draws: int
    norm: Tensor
    quartiles: Tensor
    paths: Tensor
    contribution: Tensor

    @property
    def mean_length(self) -> float:
        """The mean of the lengths, each weighted with what its paths contribute."""
        lengths = torch.tensor(self.lengths, dtype=torch.float64)
        return float((lengths * self.contribution).sum() / self.contribution.sum())

    @property
    def mean_length_of_all(self) -> float:
        """The mean length of all paths, half of the forks and the plain blocks: the binomial distribution's."""
        return len(self.blocks) - self.forks / 2

    def effective(self, share: float = 0.95) -> tuple[int, int]:
        """Return the effective lengths: the fewest that follow each other and contribute a share of the total.

        The paper gives 5 to 17 for 54 blocks, and no rule. Were its norms to fall by one factor from length to length, these 13
        lengths would hold at most 97.6 % of the total; 95 % is usual, and takes 12 of them.

        Args:
            share: of the total over `lengths`, above 0 and at most 1.

        Returns:
            The first and the last; of several ranges, the one that contributes most.

        Raises:
            ValueError: for a share out of range, if a length between two others was not measured, or no gradient came.
        """
        first, last = min(self.lengths), max(self.lengths)
        total = float(self.contribution.sum())
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {share}")
        if len(self.lengths) != last - first + 1:
            raise ValueError(f"effective lengths need every length from {first} to {last}, got {self.lengths}")
        if not 0 < total < float("inf"):
            raise ValueError(f"effective lengths need gradients: together the paths contribute {total}")
        parts = [part for _, part in sorted(zip(self.lengths, (self.contribution / total).tolist(), strict=True))]
        for count in range(1, len(parts)):
            held, start = max((sum(parts[i : i + count]), -i) for i in range(len(parts) - count + 1))
            if held >= share:
                return first - start, first - start + count - 1
        return first, last

    def share_of_paths(self, first: int, last: int) -> float:
        """Return the share of all 2^forks paths that are of lengths from `first` to `last`."""
        plain = len(self.blocks) - self.forks
        return share_of_paths(self.forks, first - plain, last - plain)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw, against the length, the norm through one path and the share of the total that all paths contribute.

        Args:
            ax: axes to draw on, the norms at the left, the shares at the right; None for new ones.

        Returns:
            The axes of the norms.
        """
        ax = new_axes(ax)
        order = sorted(range(len(self.lengths)), key=self.lengths.__getitem__)
        lengths = [self.lengths[i] for i in order]
        ax.plot(lengths, self.norm[order].tolist(), ".-", color="tab:blue")
        if bool((self.norm > 0).any()):
            ax.set_yscale("log")
        ax.set_xlabel("length of the path (branches)")
        ax.set_ylabel("norm of the gradient through one path", color="tab:blue")
        right = ax.twinx()
        for values, label, style in (
            (self.contribution / self.contribution.sum(), "gradient", "-"),
            (self.paths, "paths", ":"),
        ):
            right.plot(lengths, values[order].tolist(), style, color="tab:orange", label=label)
        right.set_ylabel("share of the total", color="tab:orange")
        right.legend()
        return ax


def path_gradients(
    net: nn.Module, batches: Batches, lengths: Sequence[int] | None = None, *, draws: int = 10, seed: int = 0
) -> PathGradients:
    """Measure the norm of the gradient at the image through paths of each length, and what all paths of a length contribute.

    Forward, the network runs as usual. Backward, k blocks are picked at random, for each image anew: there the gradient goes
    through the branch only, and through the skip only at all others. A shortcut that changes the shape is part of the skip; what
    is not of the fork (a relu behind the join, a transition) is passed on either way. At a `Concat` the same opening and closing
    lets the gradient of the layer's own channels pass, or that of the old channels: the path goes through the k layers, of which
    each reads what the one before it added. A plain network has one path, through all its blocks, and is measured at that one
    length.

    Args:
        net: a network with blocks, in any mode and of any family; measured in evaluation, and left as it was.
        batches: images and labels.
        lengths: the values of k; None for all.
        draws: paths of each length for each image; the paper has 1,000 of each in all.
        seed: of the draws.

    Returns:
        Norms, and contributions C(n, k) / 2^n * E|g_k|.

    Raises:
        ValueError: if there are no images or labels, the network runs no blocks, or one of them several times, its loss is no
            finite number, or k is out of range.

    Source:
        arXiv 1605.06431, sec. 4.3, fig. 6: norms decay exponentially with the length, and the gradient comes from short paths.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> found = path_gradients(cifar_resnet20(), (torch.randn(2, 3, 32, 32), torch.arange(2)), draws=1)
        >>> found.forks, found.mean_length_of_all, found.norm.shape
        (9, 4.5, torch.Size([10]))
    """
    net = unwrapped(net)
    data = gather_labelled(net, batches, None)
    blocks = blocks_in(net, chains_of(net, data[0][0]))
    forks = forks_of(blocks)
    plain = len(blocks) - len(forks)  # on every path
    if lengths is None:
        lengths = range(plain, len(blocks) + 1)
    lengths = check_integers("lengths", lengths, plain, len(blocks))
    sources = streams(seed, draws if forks else 1)
    norms: list[list[Tensor]] = [[] for _ in lengths]
    total = len(data) * len(lengths) * len(sources)
    with recording(net), intact(net), tqdm(total=total, desc="paths", disable=None) as bar:
        with torch.no_grad():
            whole, _ = score_intact(net, data)
        for x, y in data:
            # A draw gives each fork a rank; a path of length k takes the branches of the k lowest.
            ranks = [torch.rand(len(x), len(forks), generator=source).argsort(1).to(x.device) for source in sources]
            masks = [(i, rank >= k - plain) for i, k in enumerate(lengths) for rank in ranks]
            paths = ({name: mask[:, j, None, None, None] for j, name in enumerate(forks)} for _, mask in masks)
            for (i, _), gradient in zip(masks, gradients(net, blocks, (x, y), paths), strict=True):
                norms[i].append(gradient.double().flatten(1).norm(dim=1).cpu())
                bar.update()
    each = torch.stack([torch.cat(of_length) for of_length in norms])
    share = torch.tensor([share_of_paths(len(forks), k - plain, k - plain) for k in lengths], dtype=torch.float64)
    return PathGradients(
        blocks=tuple(blocks),
        forks=len(forks),
        lengths=lengths,
        images=whole.images,
        draws=len(sources),
        norm=each.mean(1),
        quartiles=each.quantile(torch.tensor([0.25, 0.75], dtype=torch.float64), dim=1),
        paths=share,
        contribution=share * each.mean(1),
    )
