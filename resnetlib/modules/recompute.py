"""Trade time for memory: forget what a module computed, and compute it again when the backward pass asks for it."""

from collections.abc import Callable
from contextlib import nullcontext

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class UntouchedStatistics:
    """A context in which batch norms count and average into copies, which are thrown away.

    It can be entered again and again, as a second backward pass does.

    Args:
        module: holds the batch norms.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.originals: list[list[tuple[nn.Module, str, Tensor]]] = []

    def __enter__(self) -> None:
        norms = [norm for norm in self.module.modules() if isinstance(norm, _BatchNorm) and norm.training]
        self.originals.append([(norm, name, buffer) for norm in norms for name, buffer in norm.named_buffers()])
        for norm, name, buffer in self.originals[-1]:
            setattr(norm, name, buffer.clone())

    def __exit__(self, *error: object) -> None:
        for norm, name, buffer in self.originals.pop():
            setattr(norm, name, buffer)


def recompute(function: Callable[..., Tensor], *inputs: Tensor, module: nn.Module) -> Tensor:
    """Return `function(*inputs)`, keeping the inputs alone for the backward pass.

    Outputs, gradients, random draws and running statistics are those of the plain call: the second run replays the random state of
    the first, and does not update batch norms twice, as `torch.utils.checkpoint` by itself would. Forward hooks fire in the
    second run too, as far as it must go.

    Args:
        function: computes one tensor.
        *inputs: of the function.
        module: what the function runs, for its batch norms.

    Returns:
        The function's output.
    """
    output: Tensor = checkpoint(
        function, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), UntouchedStatistics(module))
    )
    return output
