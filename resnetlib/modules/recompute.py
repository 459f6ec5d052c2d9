"""Trade time for memory: forget what a module computed, and compute it again when the backward pass asks for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms below `module` normalise as they would, but leave their running statistics and counters alone.

    Args:
        module: any module.

    Yields:
        Nothing.
    """
    tracking = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.track_running_stats]
    for norm in tracking:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True


def recompute(module: nn.Module, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Return function(*inputs), keeping the inputs alone for the backward pass.

    Outputs, gradients, random draws and running statistics are those of the plain call: the second run replays the random state of
    the first, and does not update batch norms twice, as `torch.utils.checkpoint` by itself would. Forward hooks fire in both runs.

    Args:
        module: what `function` runs, for its batch norms.
        function: computes one tensor.
        inputs: of the function.

    Returns:
        The function's output.
    """
    output: Tensor = checkpoint(
        function, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), frozen_statistics(module))
    )
    return output
