"""What comes to the blocks of a network."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from resnetlib.modules import Block


@contextmanager
def incomes(blocks: dict[str, Block], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Let a function see each block's input, in the order in which they run.

    Args:
        blocks: by their names.
        see: the function.

    Yields:
        Nothing.
    """

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda block, arguments: see(name, arguments[0])

    with ExitStack() as stack:
        for name, block in blocks.items():
            stack.callback(block.register_forward_pre_hook(hook(name)).remove)
        yield
