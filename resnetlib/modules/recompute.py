"""Trade time for memory: forget what a module computed, and compute it again when the backward pass asks for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@contextmanager
def untouched_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms below `module` count and average into copies, which are thrown away.

    Args:
        module: any module.

    Yields:
        Nothing.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.training]
    originals = [(norm, name, buffer) for norm in norms for name, buffer in norm.named_buffers()]
    for norm, name, buffer in originals:
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, name, buffer in originals:
            setattr(norm, name, buffer)


def recompute(function: Callable[..., Tensor], *inputs: Tensor, module: nn.Module) -> Tensor:
    """Return function(*inputs), keeping the inputs alone for the backward pass.

    Outputs, gradients, random draws and running statistics are those of the plain call: the second run replays the random state of
    the first, and does not update batch norms twice, as `torch.utils.checkpoint` by itself would. Forward hooks fire in both runs.

    Args:
        function: computes one tensor.
        *inputs: of the function.
        module: what the function runs, for its batch norms.

    Returns:
        The function's output.
    """
    output: Tensor = checkpoint(
        function, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), untouched_statistics(module))
    )
    return output
