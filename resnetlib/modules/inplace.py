"""ReLUs and additions that work in place in inference, where that makes no visible difference.

A tensor is overwritten only if gradients are off, no compiler, tracer or mode records operations, and the module that computed it
has no hook and is of a type that always returns a new tensor. Everything else runs as written.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as hooks

from resnetlib.modules.frozen import FrozenBatchNorm2d, FrozenSyncBatchNorm
from resnetlib.modules.join import Add, Concat, ScaledAdd, StochasticAdd, StochasticConcat
from resnetlib.modules.layers import ScaleShift, Shift, ShiftedConv2d

_NEW_OUTPUT = frozenset((
    nn.Conv2d, ShiftedConv2d,
    nn.BatchNorm2d, nn.SyncBatchNorm, FrozenBatchNorm2d, FrozenSyncBatchNorm, nn.GroupNorm, Shift, ScaleShift,
    Add, Concat, ScaledAdd, StochasticAdd, StochasticConcat,
))  # fmt: skip
"""Types of modules whose output is a new tensor. Subclasses are excluded: they may keep the tensor that they return."""

_RELU = nn.ReLU.forward
"""PyTorch's own method, which a user may replace."""

Method = TypeVar("Method", bound=Callable[..., Tensor])


def ends_with(child: str) -> Callable[[Method], Method]:
    """Declare that a block's method returns the output of this child. A method that overrides it has to declare it again."""

    def declare(method: Method) -> Method:
        method.last_child = child  # type: ignore[attr-defined]
        return method

    return declare


def activate(module: nn.Module, x: Tensor, *, new: bool) -> Tensor:
    """Run a module; a ReLU works in place if `x` is `new`, a tensor that nothing else refers to."""
    if new and type(module) is nn.ReLU and _is_unrecorded(x) and is_unwatched(module) and nn.ReLU.forward is _RELU:
        return x.relu_()
    y: Tensor = module(x)
    return y


def chain(x: Tensor, *modules: nn.Module) -> Tensor:
    """Run modules one after the other; their ReLUs work in place if possible."""
    new = False
    for module in modules:
        following = returns_new_tensor(module)  # asked before the call, as a hook may remove itself
        x = activate(module, x, new=new)
        new = following
    return x


def branch_is_new(block: Any) -> bool:
    """Return whether a block's branch returns a new tensor. Call it before the branch runs."""
    return returns_new_tensor(_last_child(block, block.branch))


def join_and_activate(block: Any, skip: Tensor, branch: Tensor, *, new: bool) -> Tensor:
    """Return `block.out(block.join(skip, branch))`, computed in place if possible. `new` is the result of `branch_is_new`."""
    join = block.join
    if not _is_unrecorded(branch):
        return block.out(join(skip, branch))  # type: ignore[no-any-return]
    new_sum = returns_new_tensor(join)
    adds = new and type(join) is Add and new_sum and type(skip) is Tensor and _layout(skip) == _layout(branch)
    y = branch.add_(skip) if adds else join(skip, branch)
    relu = _last_child(block, block.out)
    return block.out(y) if relu is None else activate(relu, y, new=new_sum)


def _last_child(block: nn.Module, method: Any) -> nn.Module | None:
    return block._modules.get(getattr(method, "last_child", ""))


def _layout(x: Tensor) -> tuple[Any, ...]:
    return x.shape, x.stride(), x.dtype, x.device


def _is_unrecorded(x: Tensor) -> bool:
    """Return whether `x` is a plain tensor, and nothing records the operations on it."""
    return not (
        torch.is_grad_enabled()
        or type(x) is not Tensor
        or torch.compiler.is_compiling()
        or x.requires_grad
        or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        or torch._C._len_torch_function_stack()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._functorch.maybe_current_level() is not None
        or forward_ad._current_level >= 0
    )


def is_unwatched(module: nn.Module) -> bool:
    """Return whether a module has no hooks and runs its class's `forward`."""
    watched = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return not watched and "forward" not in vars(module)


def returns_new_tensor(module: nn.Module | None) -> bool:
    """Return whether a module's output is a tensor that nothing else refers to, and that no hook has seen."""
    return type(module) in _NEW_OUTPUT and is_unwatched(module) and not hooks._has_any_global_hook()  # type: ignore[arg-type]
