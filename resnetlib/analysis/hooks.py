"""What passes through a network's blocks: what comes to them, what meets at their joins, and what they give out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from resnetlib.modules import Block

Income = Callable[[str, Tensor], None]
"""Sees a block's name and its input."""

Outcome = Callable[[str, Tensor], Tensor | None]
"""Sees a module's name and its output, and may return another in its place."""

Meeting = Callable[[str, Tensor, Tensor], tuple[Tensor, Tensor] | None]
"""Sees a block's name and what comes to its join, (skip, branch), and may return two others in their place."""


def incomes(blocks: Mapping[str, Block], see: Income) -> AbstractContextManager[None]:
    """Let a function see each block's input, in the order in which they run.

    Args:
        blocks: by their names.
        see: the function.

    Returns:
        A context.
    """

    def watch(name: str, block: Block) -> RemovableHandle:
        def look(block: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            see(name, *(*arguments, *named.values())[:1])

        return block.register_forward_pre_hook(look, with_kwargs=True)

    return _registered(watch(name, block) for name, block in blocks.items())


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

    return _registered(watch(name, block) for name, block in blocks.items())


def outcomes(modules: Mapping[str, nn.Module], see: Outcome) -> AbstractContextManager[None]:
    """Let a function see, and perhaps change, each module's output, in the order in which they run.

    Args:
        modules: blocks or others, by their names.
        see: the function.

    Returns:
        A context.
    """

    def watch(name: str, module: nn.Module) -> RemovableHandle:
        return module.register_forward_hook(lambda module, arguments, y: see(name, y))

    return _registered(watch(name, module) for name, module in modules.items())


@contextmanager
def _registered(hooks: Iterable[RemovableHandle]) -> Iterator[None]:
    """Register hooks on entering, and remove them on leaving."""
    with ExitStack() as stack:
        for hook in hooks:
            stack.callback(hook.remove)
        yield
