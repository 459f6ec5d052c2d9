"""One path at a time: at each join the gradient goes through the branch, or through the skip."""

from collections.abc import Callable, Collection, Iterable, Iterator
from fractions import Fraction
from math import comb

import torch
from torch import Tensor, nn

from resnetlib.analysis.arguments import listed
from resnetlib.analysis.batches import Batch
from resnetlib.analysis.hooks import meeting
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.analysis.joints import blocks_in, chains_of
from resnetlib.analysis.labelled import gather_labelled, summed_loss
from resnetlib.analysis.recording import recording
from resnetlib.analysis.scores import score_intact
from resnetlib.modules import Block
from resnetlib.modules.arguments import as_integer, check_count

_MOST_FORKS = 10_000
"""Of which shares of paths are computed, exactly."""


def share_of_paths(forks: int, first: int, last: int) -> float:
    """Return the share of the 2^n paths that go through k branches, for k from first to last: sum C(n, k) / 2^n, exactly.

    Args:
        forks: n.
        first: the least k.
        last: the largest k.

    Returns:
        The share.

    Raises:
        ValueError: for something else than integers, or an n below 0 or above 10,000.

    Example:
        >>> round(share_of_paths(54, 5, 17), 5)     # "0.45 % of all paths": arXiv 1605.06431, sec. 4.3
        0.00454
    """
    forks = check_count("forks", forks, least=0)
    if forks > _MOST_FORKS:
        raise ValueError(f"forks must be at most {_MOST_FORKS:,}, got {forks:,}")
    if as_integer(first) is None or as_integer(last) is None:
        raise ValueError(f"first and last must be integers, got {first!r} and {last!r}")
    paths: int = sum(comb(forks, k) for k in range(max(first, 0), min(last, forks) + 1))
    return float(Fraction(paths, 2**forks))


def path_gradient(net: nn.Module, batch: Batch, through: Collection[str]) -> Tensor:
    """Compute the gradient of each image's loss at the image, through one single path.

    The sum over all 2^n paths is the gradient, if the blocks run one behind the other.

    Args:
        net: a network with blocks, in any mode; measured in evaluation, and left as it was.
        batch: images and labels.
        through: names of the blocks whose branch the path goes through; at all others it takes the skip. Plain blocks have none:
            every path goes through them, named or not.

    Returns:
        `(N, C, H, W)`.

    Raises:
        ValueError: for a name that no block has, and as `path_gradients` does.

    Source:
        arXiv 1605.06431, sec. 3.1 and 4.3.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> batch = torch.randn(2, 3, 32, 32), torch.arange(2)
        >>> path_gradient(cifar_resnet20(), batch, through=["layer1.0", "layer3.2"]).shape
        torch.Size([2, 3, 32, 32])
    """
    net = unwrapped(net)
    names = listed(through)
    if names is None or not all(isinstance(name, str) for name in names):
        raise ValueError(f"through must be a list of names of blocks, got {through!r}")
    data = gather_labelled(net, batch, None)
    if len(data) > 1:
        raise ValueError(f"batch must be one pair of images and labels, got {len(data)}: call this for each of them")
    blocks = blocks_in(net, chains_of(net, data[0][0]))
    if unknown := set(names) - blocks.keys():
        raise ValueError(f"through must name blocks of the network, some of {list(blocks)}, got {sorted(unknown)}")
    with recording(net), intact(net):
        closed = {name: torch.tensor(name not in names, device=data[0][0].device) for name in forks_of(blocks)}
        with torch.no_grad():
            score_intact(net, data)
        return next(gradients(net, blocks, data[0], [closed]))


def forks_of(blocks: dict[str, Block]) -> list[str]:
    """Return the names of the blocks at which a path may take the skip."""
    return [name for name, block in blocks.items() if block.join.uses_skip]


def gradients(net: nn.Module, blocks: dict[str, Block], batch: Batch, paths: Iterable[dict[str, Tensor]]) -> Iterator[Tensor]:
    """Run the network once, and backward once for each path.

    Args:
        net: the network, inside of `intact` and `recording`.
        blocks: all, by their names.
        batch: images and labels, where the network computes.
        paths: for each fork, whether its branch is closed and its skip open, or the other way round; for each image `(N, 1, 1, 1)`,
            or for all.

    Yields:
        The gradient of each image's loss at the image, through its path.
    """
    closed: dict[str, Tensor] = {}  # read in the backward pass

    def gate(x: Tensor, shut: Callable[[], Tensor]) -> Tensor:
        x = x.view_as(x)  # the skip is the branch's input too, whose gradient there is not to be stopped
        if x.requires_grad:
            x.register_hook(lambda gradient: gradient.masked_fill(shut(), 0))
        return x

    def fork(name: str, skip: Tensor, branch: Tensor) -> tuple[Tensor, Tensor]:
        return gate(skip, lambda: ~closed[name]), gate(branch, lambda: closed[name])

    for parameter in net.parameters():
        parameter.requires_grad_(False)
    x, y = batch
    x = x.detach().requires_grad_()
    with meeting({name: blocks[name] for name in forks_of(blocks)}, fork):
        loss = summed_loss(net, x, y)
    for path in paths:
        closed.update(path)
        yield torch.autograd.grad(loss, x, retain_graph=True)[0]
