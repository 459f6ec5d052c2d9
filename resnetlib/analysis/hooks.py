"""What passes through a network's blocks: what comes to them, what meets at their joins, and what they give out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from resnetlib.modules import Block

Look = Callable[[str, Tensor], None]
"""Sees a module's name and a tensor."""

Meeting = Callable[[str, Tensor, Tensor], tuple[Tensor, Tensor] | None]
"""Sees a block's name and what comes to its join, (skip, branch), and may return two others in their place."""


def incomes(blocks: Mapping[str, Block], see: Look) -> AbstractContextManager[None]:
    """Let a function see each block's input, in the order in which they run.

    Args:
        blocks: by their names.
        see: the function.

    Returns:
        A context.
    """

    def watch(name: str, block: Block) -> RemovableHandle:
        return block.register_forward_pre_hook(lambda block, arguments: see(name, arguments[0]))

    return _removed(watch(name, block) for name, block in blocks.items())


def meeting(blocks: Mapping[str, Block], see: Meeting) -> AbstractContextManager[None]:
    """Let a function see, and perhaps change, what comes to each join, in the order in which they run.

    Args:
        blocks: by their names.
        see: the function.

    Returns:
        A context.
    """

    def watch(name: str, block: Block) -> RemovableHandle:
        return block.join.register_forward_pre_hook(lambda join, arguments: see(name, *arguments))

    return _removed(watch(name, block) for name, block in blocks.items())


def outcomes(modules: Mapping[str, nn.Module], see: Look) -> AbstractContextManager[None]:
    """Let a function see each module's output, in the order in which they run.

    Args:
        modules: blocks or others, by their names.
        see: the function.

    Returns:
        A context.
    """

    def watch(name: str, module: nn.Module) -> RemovableHandle:
        return module.register_forward_hook(lambda module, arguments, y: see(name, y))

    return _removed(watch(name, module) for name, module in modules.items())


@contextmanager
def _removed(hooks: Iterable[RemovableHandle]) -> Iterator[None]:
    """Register hooks, one after the other, and remove them at the end."""
    with ExitStack() as stack:
        for hook in hooks:
            stack.callback(hook.remove)
        yield
