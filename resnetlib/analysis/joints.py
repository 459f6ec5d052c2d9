"""The blocks of a network, in the order in which they run, and what meets at their joins."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from resnetlib.modules import Block, PadShortcut

Meeting = Callable[[str, Tensor, Tensor], tuple[Tensor, Tensor] | None]
"""Sees a block's name and what comes to its join, (skip, branch), and may return two others in their place."""


def blocks_of(net: nn.Module) -> dict[str, Block]:
    """Find the blocks of a network, by their names, in the order in which they are registered, which is that in which they run.

    Args:
        net: a network of the library, or any other that has blocks of the library in it.

    Returns:
        The blocks.

    Raises:
        ValueError: if there are none.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> list(blocks_of(cifar_resnet20()))[:4]
        ['layer1.0', 'layer1.1', 'layer1.2', 'layer2.0']
    """
    blocks = {name: module for name, module in net.named_modules() if isinstance(module, Block)}
    if not blocks:
        raise ValueError(f"{type(net).__name__} has no blocks with joins: build it of resnetlib's blocks (resnetlib.Block)")
    return blocks


def chains_of(net: nn.Module) -> list[list[str]]:
    """Divide the blocks into chains, inside of which nothing but blocks changes x.

    A chain is what a stage is in the networks of the library. It begins where the parent module changes, and where a block's skip
    is not its input (`downsample`), or its shape is another.

    Args:
        net: the network.

    Returns:
        The names of each chain's blocks.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> [len(chain) for chain in chains_of(cifar_resnet20())]
        [3, 3, 3]
    """
    chains: list[list[str]] = []
    before: tuple[str, Block] | None = None
    for name, block in blocks_of(net).items():
        parent = name.rpartition(".")[0]
        continues = (
            before is not None
            and parent == before[0]
            and _follow(net.get_submodule(parent), before[1], block)
            and block.downsample is None
            and block.stride == 1
            and block.in_channels == before[1].out_channels
        )
        if continues:
            chains[-1].append(name)
        else:
            chains.append([name])
        before = parent, block
    return chains


def _follow(parent: nn.Module, one: nn.Module, other: nn.Module) -> bool:
    """Return whether no child stands between two; what a parent that is no Sequential does between them is not known."""
    children = list(parent.children())
    return children.index(other) == children.index(one) + 1


@contextmanager
def meeting(blocks: dict[str, Block], see: Meeting) -> Iterator[None]:
    """Let a function see, and perhaps change, what comes to each join, in the order in which they run.

    Args:
        blocks: by their names.
        see: the function.

    Yields:
        Nothing.
    """

    def hook(name: str) -> Callable[[nn.Module, Any], Any]:
        return lambda join, arguments: see(name, *arguments)

    with ExitStack() as stack:
        for name, block in blocks.items():
            stack.callback(block.join.register_forward_pre_hook(hook(name)).remove)
        yield


@contextmanager
def outcomes(modules: Mapping[str, nn.Module], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Let a function see each module's output, in the order in which they run.

    Args:
        modules: blocks or others, by their names.
        see: the function.

    Yields:
        Nothing.
    """

    def hook(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda module, arguments, y: see(name, y)

    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(hook(name)).remove)
        yield


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
