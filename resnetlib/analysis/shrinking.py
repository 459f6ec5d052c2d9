"""Blocks whose branch is made smaller, down to nothing, while the network itself stays whole."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import Tensor, nn

from resnetlib.analysis.hooks import meeting
from resnetlib.analysis.joints import stand_in
from resnetlib.modules import Backbone, Block, Concat, DenseBlock, Stage, StochasticConcat

Part = Callable[[Tensor], Tensor]
Run = tuple[str, Callable[[], Tensor]]
_BACKBONE = Backbone.forward, Backbone.forward_features


def changes_shape(block: Block) -> bool:
    """Return whether a block gives out another shape than it takes; channels that are concatenated are no change of the others."""
    same_channels = block.in_channels == block.out_channels or isinstance(block.join, Concat | StochasticConcat)
    return block.stride != 1 or not same_channels


def remains_of(block: Block) -> str:
    """Say what a block is once its branch is gone."""
    if isinstance(block.join, Concat | StochasticConcat):
        return "its input, and channels of zeros"
    if block.join.uses_skip:
        return "its input" if block.downsample is None else "what its shortcut makes of its input"
    return "shortcut A's image of its input" if changes_shape(block) else "its input"


def shrunken(blocks: dict[str, Block], names: Iterable[str], factor: float) -> AbstractContextManager[None]:
    """Let the branches of some blocks be as large as a factor says: 1 as they are, 0 not there, which deletes the block.

    Where the join uses its skip, the branch is multiplied. A plain block has none: the deviation of its branch from its input is
    multiplied, or from shortcut A's image of it where the shape changes.

    Args:
        blocks: all, by their names.
        names: of those to be shrunk.
        factor: by which.

    Returns:
        A context.

    Raises:
        ValueError: while the network runs, for a plain block whose input has no image of the right shape.
    """
    return meeting({name: blocks[name] for name in names}, lambda name, *met: _shrink(name, blocks[name], *met, factor=factor))


def _shrink(name: str, block: Block, skip: Tensor, branch: Tensor, *, factor: float) -> tuple[Tensor, Tensor]:
    if factor == 1:
        return skip, branch
    if block.join.uses_skip:
        return skip, torch.zeros_like(branch) if factor == 0 else factor * branch
    fits = block.in_channels <= block.out_channels
    rest = stand_in(skip, branch, stride=block.stride) if fits else skip
    if rest.shape != branch.shape:
        shapes = f"{tuple(skip.shape[1:])} to {tuple(branch.shape[1:])}"
        raise ValueError(f"block {name} has no skip, and shortcut A cannot stand in for it from {shapes}")
    return skip, rest if factor == 0 else rest + factor * (branch - rest)


def one_at_a_time(net: nn.Module, blocks: dict[str, Block], x: Tensor) -> Iterator[Run]:
    """Go through a network's blocks; what comes before a block is not computed again for each change of it.

    Args:
        net: the network.
        blocks: all, by their names.
        x: its input.

    Yields:
        A block's name, and a function that computes the network's output from where that block is.
    """
    parts = _parts_of(net)
    names = {block: name for name, block in blocks.items()}
    for i, part in enumerate(parts):
        inside = [names.pop(module) for module in (part.modules() if isinstance(part, nn.Module) else ()) if module in names]
        for name in inside:
            yield name, partial(_run, parts[i:], x)
        if names:
            x = part(x)


def _parts_of(net: nn.Module) -> list[Part]:
    """Divide a network into what runs one after the other; what does more, or has hooks or a forward of its own, is one part."""
    if not (net._forward_hooks or net._forward_pre_hooks or "forward" in vars(net)):
        if isinstance(net, nn.Sequential) and type(net).forward in (nn.Sequential.forward, Stage.forward, DenseBlock.forward):
            return [part for child in net for part in _parts_of(child)]
        if isinstance(net, Backbone) and (type(net).forward, type(net).forward_features) == _BACKBONE:
            return [*(part for module in net.path() for part in _parts_of(module)), net.forward_head]
    return [net]


def _run(parts: list[Part], x: Tensor) -> Tensor:
    for part in parts:
        x = part(x)
    return x
