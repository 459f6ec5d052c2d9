"""Measure the gradient through single paths, which take either the skip or the branch at each block with a skip."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import comb

import torch
from torch import Tensor, nn
from tqdm import tqdm

from resnetlib.analysis import network, style
from resnetlib.analysis.batches import Batch, Batches, as_tuple, check_integers, count_images, gather, generators
from resnetlib.analysis.result import AnalysisResult, Axes, new_axes
from resnetlib.config.integers import as_integer, check_count
from resnetlib.errors import InputError
from resnetlib.modules import Block
from resnetlib.modules.arguments import check_number

_MAX_FORKS = 10_000  # exact shares of more paths would take too long


def share_of_paths(forks: int, first: int, last: int) -> float:
    """Return the share of the 2^forks paths that go through `first` to `last` branches: sum C(forks, k) / 2^forks, exactly.

    >>> round(share_of_paths(54, 5, 17), 5)  # "0.45 % of all paths", arXiv 1605.06431, sec. 4.3
    0.00454
    """
    forks = check_count("forks", forks, minimum=0)
    if forks > _MAX_FORKS:
        raise InputError(f"forks must be at most {_MAX_FORKS:,}, got {forks:,}")
    shortest, longest = as_integer(first), as_integer(last)
    if shortest is None or longest is None:
        raise InputError(f"first and last must be integers, got {first!r} and {last!r}")
    paths: int = sum(comb(forks, k) for k in range(max(shortest, 0), min(longest, forks) + 1))
    return paths / (1 << forks)


def path_gradient(net: nn.Module, batch: Batch, through: Collection[str]) -> Tensor:
    """Compute the gradient of each image's loss with respect to the image, `(N, C, H, W)`, through a single path.

    The path takes the branches of the blocks named in `through`, and the skips of the others; blocks without a skip are on every
    path. If the blocks run one after the other, the gradients through all 2^n paths sum to the whole gradient.

    Source:
        arXiv 1605.06431, sec. 3.1 and 4.3.
    """
    names = as_tuple(through)
    if names is None or not all(isinstance(name, str) for name in names):
        raise InputError(f"through must be a list of block names, got {through!r}")
    net, data = gather(net, batch)
    if len(data) > 1:
        raise InputError(f"batch must be one pair of images and labels, got {len(data)}: call this for each of them")
    blocks = network.blocks_in(net, network.chains_of(net, data[0][0]))
    if unknown := set(names) - blocks.keys():
        raise InputError(f"through must name blocks of the network, some of {list(blocks)}, got {sorted(unknown)}")
    with network.enable_gradients(net), network.preserve_state(net):
        skips = {name: torch.tensor(name not in names, device=data[0][0].device) for name in _forks(blocks)}
        return next(_path_gradients(net, blocks, data[0], [skips]))


@dataclass(frozen=True, slots=True, eq=False)
class PathGradients(AnalysisResult):
    """The norm of the gradient with respect to the image through paths of each length.

    Args:
        blocks: names of the blocks.
        forks: number of blocks with a skip; plain blocks are on every path.
        lengths: numbers of branches on the paths.
        images: number of images.
        draws: number of paths of each length for each image.
        norm: for each length, the mean norm of the gradient through one path.
        quartiles: for each length, the first and third quartile of these norms, `(2, lengths)`.
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
        """The mean length, weighted by contribution."""
        lengths = torch.tensor(self.lengths, dtype=torch.float64)
        return float((lengths * self.contribution).sum() / self.contribution.sum())

    @property
    def mean_length_of_all(self) -> float:
        """The mean length of all paths: half of the forks and all plain blocks."""
        return len(self.blocks) - self.forks / 2

    def effective(self, share: float = 0.95) -> tuple[int, int]:
        """Return the effective lengths: the shortest range of lengths that contributes a share of the total.

        The paper gives 5 to 17 for 54 blocks, without a rule; if norms fell by a constant factor with length, 95 % would take 12.

        Args:
            share: share of the total over `lengths`, above 0 and at most 1.

        Returns:
            The first and the last length. Of several such ranges, this is the one with the largest contribution.

        Raises:
            ValueError: if the share is out of range, a length in between was not measured, or all gradients are zero.
        """
        first, last = min(self.lengths), max(self.lengths)
        total = float(self.contribution.sum())
        check_number("share", share)
        if not 0 < share <= 1:
            raise InputError(f"share must be above 0 and at most 1, got {share}")
        if len(self.lengths) != last - first + 1:
            raise InputError(f"effective lengths need every length from {first} to {last}, got {self.lengths}")
        if not 0 < total < float("inf"):
            raise InputError(f"effective lengths need gradients: together the paths contribute {total}")
        parts = [part for _, part in sorted(zip(self.lengths, (self.contribution / total).tolist(), strict=True))]
        for count in range(1, len(parts)):
            held, start = max((sum(parts[i : i + count]), -i) for i in range(len(parts) - count + 1))
            if held >= share:
                return first - start, first - start + count - 1
        return first, last

    def share_of_paths(self, first: int, last: int) -> float:
        """Return the share of all 2^forks paths whose length is from `first` to `last`."""
        plain = len(self.blocks) - self.forks
        return share_of_paths(self.forks, first - plain, last - plain)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot by length the norm through one path (left axis), and the shares of the gradient and of all paths (right axis)."""
        ax = new_axes(ax)
        lengths, order = torch.tensor(self.lengths).sort()
        ax.plot(lengths, self.norm[order], ".-", color=style.FIRST)
        if bool((self.norm > 0).any()):
            ax.set_yscale("log")
        ax.set_xlabel("length of the path (branches)")
        ax.set_ylabel("norm of the gradient through one path", color=style.FIRST)
        right = ax.twinx()
        contribution = self.contribution / self.contribution.sum()
        right.plot(lengths, contribution[order], "-", color=style.SECOND, label="gradient")
        right.plot(lengths, self.paths[order], ":", color=style.SECOND, label="paths")
        right.set_ylabel("share of the total", color=style.SECOND)
        right.legend()
        return ax


def path_gradients(
    net: nn.Module, batches: Batches, lengths: Sequence[int] | None = None, *, draws: int = 10, seed: int = 0
) -> PathGradients:
    """Measure the gradient through paths of each length.

    For each length k it has the mean norm E|g_k| of the gradient through k branches, and the contribution C(n, k) / 2^n * E|g_k|.

    The forward pass is unchanged. The backward pass takes the branches of k random blocks, drawn for each image, and the skips of
    the others. A shortcut belongs to the skip, and the ReLU after the join to both. At a `Concat` the branch is the layer's own
    channels, and the skip the older ones. A plain network has one path.

    Args:
        net: network with blocks.
        batches: images and labels.
        lengths: values of k; None for all.
        draws: number of paths of each length for each image; the paper has 1,000 of each length in all.
        seed: of the draws.

    Returns:
        Norms and contributions.

    Source:
        arXiv 1605.06431, sec. 4.3, fig. 6: norms decay exponentially with length, and most of the gradient comes from short paths.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> found = path_gradients(cifar_resnet20(), (torch.randn(2, 3, 32, 32), torch.arange(2)), draws=1)
        >>> found.forks, found.mean_length_of_all, found.norm.shape
        (9, 4.5, torch.Size([10]))
    """
    net, data = gather(net, batches)
    blocks = network.blocks_in(net, network.chains_of(net, data[0][0]))
    forks = _forks(blocks)
    plain = len(blocks) - len(forks)  # on every path
    lengths = check_integers("lengths", range(plain, len(blocks) + 1) if lengths is None else lengths, plain, len(blocks))
    sources = generators(seed, draws if forks else 1)
    norms: list[list[Tensor]] = [[] for _ in lengths]
    total = len(data) * len(lengths) * len(sources)
    with network.enable_gradients(net), network.preserve_state(net), tqdm(total=total, desc="paths", disable=None) as bar:
        for x, y in data:
            # each draw ranks the forks; a path of length k takes the branches with the lowest ranks
            drawn = (torch.rand(len(x), len(forks), generator=source, dtype=torch.float32) for source in sources)
            ranks = [each.argsort(1).to(x.device) for each in drawn]
            masks = [(i, rank >= k - plain) for i, k in enumerate(lengths) for rank in ranks]
            paths = ({name: mask[:, j, None, None, None] for j, name in enumerate(forks)} for _, mask in masks)
            for (i, _), gradient in zip(masks, _path_gradients(net, blocks, (x, y), paths), strict=True):
                norms[i].append(gradient.double().flatten(1).norm(dim=1).cpu())
                bar.update()
    each = torch.stack([torch.cat(of_length) for of_length in norms])
    share = torch.tensor([share_of_paths(len(forks), k - plain, k - plain) for k in lengths], dtype=torch.float64)
    return PathGradients(
        blocks=tuple(blocks),
        forks=len(forks),
        lengths=lengths,
        images=count_images(data),
        draws=len(sources),
        norm=each.mean(1),
        quartiles=each.quantile(torch.tensor([0.25, 0.75], dtype=torch.float64), dim=1),
        paths=share,
        contribution=share * each.mean(1),
    )


def _forks(blocks: dict[str, Block]) -> list[str]:
    """Return the names of the blocks at which a path may take the skip."""
    return [name for name, block in blocks.items() if block.join.uses_skip]


def _path_gradients(net: nn.Module, blocks: dict[str, Block], batch: Batch, paths: Iterable[dict[str, Tensor]]) -> Iterator[Tensor]:
    """Run the network once, and yield the gradient of each image's loss with respect to the image through each path."""
    takes_skip: dict[str, Tensor] = {}  # by fork: one value for all images, or `(N, 1, 1, 1)`

    def fork(name: str, skip: Tensor, branch: Tensor) -> tuple[Tensor, Tensor]:
        skip, branch = skip.view_as(skip), branch.view_as(branch)  # mask only gradients at the join: skip may be branch's input
        if skip.requires_grad:
            skip.register_hook(lambda gradient: gradient.masked_fill(~takes_skip[name], 0))
        if branch.requires_grad:
            branch.register_hook(lambda gradient: gradient.masked_fill(takes_skip[name], 0))
        return skip, branch

    for parameter in net.parameters():
        parameter.requires_grad_(False)
    x, y = batch
    x = x.detach().requires_grad_()
    with network.hook_joins({name: blocks[name] for name in _forks(blocks)}, fork), network.in_order(net, blocks):
        loss = network.summed_loss(net, x, y)
    for path in paths:
        takes_skip.update(path)
        yield torch.autograd.grad(loss, x, retain_graph=True)[0]
