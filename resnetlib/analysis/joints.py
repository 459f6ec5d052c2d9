"""The blocks of a network, in the order in which they run, and the chains that they make."""

from collections import Counter
from itertools import accumulate

import torch
from torch import Tensor, nn

from resnetlib.analysis.batches import run
from resnetlib.analysis.hooks import incomes, outcomes
from resnetlib.analysis.intact import intact, unwrapped
from resnetlib.modules import Block, PadShortcut


def blocks_of(net: nn.Module) -> dict[str, Block]:
    """Find the blocks of a network, by their names, in the order in which they are registered.

    In the networks of the library that is the order in which they run. What the analyses find of other networks comes in the order
    in which their blocks run, and leaves out those that do not.

    Args:
        net: a network of the library, or any other that has blocks of the library in it.

    Returns:
        The blocks.

    Raises:
        ValueError: if there are none, or two share a join.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> list(blocks_of(cifar_resnet20()))[:4]
        ['layer1.0', 'layer1.1', 'layer1.2', 'layer2.0']
    """
    net = unwrapped(net)
    blocks = {name: module for name, module in net.named_modules() if isinstance(module, Block)}
    if not blocks:
        raise ValueError(f"{type(net).__name__} has no blocks with joins: build it of resnetlib's blocks (resnetlib.Block)")
    joins: dict[nn.Module, str] = {}
    for name, block in blocks.items():
        if (other := joins.setdefault(block.join, name)) != name:
            raise ValueError(f"blocks {other} and {name} share a join, where what meets could be either's: give each its own")
    return blocks


def running_blocks(net: nn.Module, x: Tensor) -> dict[str, Block]:
    """Find the blocks that run, in the order in which they first do; the network is left as it was.

    Args:
        net: a network with blocks.
        x: images, where the network computes.

    Returns:
        The blocks, by their names.

    Raises:
        ValueError: if there are no blocks, or none of them runs.
    """
    return blocks_in(net, _run_chains(net, x))


def blocks_in(net: nn.Module, chains: list[list[str]]) -> dict[str, Block]:
    """Return the blocks of chains, by their names."""
    blocks = blocks_of(net)
    return {name: blocks[name] for chain in chains for name in chain}


def chains_of(net: nn.Module, x: Tensor) -> list[list[str]]:
    """Divide the blocks that run into chains, inside of which nothing but blocks changes x; the network is left as it was.

    A chain is what a stage is in the networks of the library. It begins where the parent module changes, where x is not what the
    block before gave out, or was written to since, and where a block's skip is not its input (`downsample`), its stride is not 1,
    or it changes the channels without a skip.

    Args:
        net: the network; measured in evaluation.
        x: images, where the network computes.

    Returns:
        The names of each chain's blocks, in the order in which they run.

    Raises:
        ValueError: if there are no blocks, none of them runs, one runs more than once, or one is inside of another.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> [len(chain) for chain in chains_of(cifar_resnet20(), torch.randn(1, 3, 32, 32))]
        [3, 3, 3]
    """
    chains = _run_chains(net, x)
    runs = Counter(name for chain in chains for name in chain)
    (name, count), *_ = runs.most_common(1)
    if count > 1:
        raise ValueError(f"block {name} runs {count} times for each image: give each place in the network a block of its own")
    for name in runs:
        if outer := next((other for other in runs if name.startswith(f"{other}.")), None):
            raise ValueError(f"block {name} is inside of block {outer}: what it adds is part of what that one adds")
    return chains


def _run_chains(net: nn.Module, images: Tensor) -> list[list[str]]:
    """Run images, and see which blocks follow each other."""
    net = unwrapped(net)
    blocks = blocks_of(net)
    if not isinstance(images, Tensor):
        raise ValueError(f"x must be a tensor of images (N, C, H, W), got {type(images).__name__}")
    chains: list[list[str]] = []
    before = "", images, images

    def come(name: str, x: Tensor) -> None:
        last, y, as_given_out = before
        block = blocks[name]
        follows = x is y and torch.equal(x, as_given_out) and _parent(name) == _parent(last)
        keeps = block.stride == 1 and block.downsample is None and (block.join.uses_skip or block.in_channels == block.out_channels)
        if chains and follows and keeps:
            chains[-1].append(name)
        else:
            chains.append([name])

    def leave(name: str, y: Tensor) -> None:
        nonlocal before
        before = name, y, y.clone()  # which shows whether somebody wrote into it

    with intact(net), torch.no_grad(), incomes(blocks, come), outcomes(blocks, leave):
        run(net, images)
    if not chains:
        raise ValueError(f"none of the blocks of {type(net).__name__} runs: {', '.join(blocks)}")
    return chains


def spans_of(chains: list[list[str]]) -> tuple[tuple[int, int], ...]:
    """Return, for each chain, the numbers of its first block and of the block after its last."""
    lengths = [len(chain) for chain in chains]
    return tuple((end - length, end) for end, length in zip(accumulate(lengths), lengths, strict=True))


def _parent(name: str) -> str:
    """Return the name of the module that a block is in, compiled by itself or not."""
    return name.removesuffix("._orig_mod").rpartition(".")[0]


def stand_in(skip: Tensor, branch: Tensor, *, stride: int) -> Tensor:
    """Return the input of a block without skip in the shape of its output, for a block that is taken away.

    Where the shapes are one, that is the input itself; where they are not, shortcut A's image of it, which has no parameters.

    Args:
        skip: the block's input.
        branch: what it would have been replaced by.
        stride: of the block.

    Returns:
        The stand-in, of the shape of `branch`.
    """
    if skip.shape == branch.shape:
        return skip
    image: Tensor = PadShortcut(skip.shape[1], branch.shape[1], stride=stride)(skip)
    return image
