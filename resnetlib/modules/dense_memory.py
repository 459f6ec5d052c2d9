"""norm-relu-conv of a concatenation that keeps neither the concatenation nor its activation for the backward pass."""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function, forward_ad
from torch.nn import functional

from resnetlib.modules.inplace import is_unwatched


class Step(NamedTuple):
    """The modules of norm-relu-conv."""

    norm: nn.BatchNorm2d
    relu: nn.ReLU
    conv: nn.Conv2d

    @property
    def parameters(self) -> tuple[Tensor, Tensor, Tensor]:
        """Scale, shift and weight."""
        return self.norm.weight, self.norm.bias, self.conv.weight

    def is_supported(self) -> bool:
        """Return whether the modules compute what `norm_relu_conv` does, and have no hooks."""
        norm, conv = self.norm, self.conv
        return (
            all(type(module) is kind and is_unwatched(module) for module, kind in zip(self, _KINDS, strict=True))
            and norm.affine
            and norm.running_mean is not None
            and norm.track_running_stats
            and norm.momentum is not None
            and conv.bias is None
            and conv.padding_mode == "zeros"
            and not isinstance(conv.padding, str)
        )


_KINDS = (nn.BatchNorm2d, nn.ReLU, nn.Conv2d)


def is_supported(steps: Sequence[Step], pieces: Sequence[Tensor]) -> bool:
    """Return whether `norm_relu_conv` can replace the modules of the steps, if there are any."""
    if torch._C._are_functorch_transforms_active() or nn.modules.module._has_any_global_hook():
        return False
    if not steps or not all(step.is_supported() for step in steps):
        return False
    tensors = [*pieces, *(parameter for step in steps for parameter in step.parameters)]
    if not all(type(t) in (Tensor, nn.Parameter) and forward_ad.unpack_dual(t).tangent is None for t in tensors):
        return False
    x = pieces[0]
    return x.ndim == 4 and x.numel() > x.shape[1]  # one value has no variance


def norm_relu_conv(steps: Sequence[Step], pieces: Sequence[Tensor]) -> Tensor:
    """Concatenate along the channels, then apply the steps one after the other.

    Autograd keeps the pieces and the statistics of the norms. The backward pass repeats the concatenation, the normalization, the
    relu, and all convolutions but the last. With `create_graph=True` it is differentiable.

    Args:
        steps: the modules, for which `is_supported` is True.
        pieces: tensors `(N, C_i, H, W)`.

    Returns:
        The last convolution's output.

    Source:
        arXiv 1707.06990, sec. 3.
    """
    output: Tensor = _NormReluConv.apply(steps, *(parameter for step in steps for parameter in step.parameters), *pieces)
    return output


class _Saved(NamedTuple):
    """State of a step for the backward pass. In training, `spread` is the inverse standard deviation, else the variance."""

    conv: nn.Conv2d
    eps: float
    training: bool
    scale: Tensor
    shift: Tensor
    weight: Tensor
    mean: Tensor
    spread: Tensor

    def activation(self, x: Tensor) -> Tensor:
        """Compute norm-relu by the statistics of the forward pass."""
        variance = self.spread.pow(-2) - self.eps if self.training else self.spread
        return functional.batch_norm(x, self.mean, variance, self.scale, self.shift, False, 0.0, self.eps).relu_()

    def differentiable_activation(self, x: Tensor) -> Tensor:
        """Compute norm-relu, differentiably in its input, scale, shift and batch statistics."""
        mean, variance = (None, None) if self.training else (self.mean, self.spread)
        return functional.batch_norm(x, mean, variance, self.scale, self.shift, self.training, 0.0, self.eps).relu()

    def convolve(self, h: Tensor, dtype: torch.dtype) -> Tensor:
        """Convolve in the dtype that autocast chose in the forward pass."""
        return _convolve(self.conv, h.to(dtype), self.weight.to(dtype))

    def convolution_backward(self, grad: Tensor, h: Tensor, needs_weight: bool) -> tuple[Tensor, Tensor | None]:
        """Return the gradients of the convolution's input and weight."""
        conv, dtype = self.conv, grad.dtype
        shape = (conv.stride, conv.padding, conv.dilation, False, [0, 0], conv.groups)
        grad_h, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad, h.to(dtype), self.weight.to(dtype), None, *shape, [True, needs_weight, False]
        )
        return grad_h.to(h.dtype), grad_weight.to(self.weight.dtype) if needs_weight else None

    def norm_backward(self, grad: Tensor, x: Tensor, needs: list[bool]) -> list[Tensor | None]:
        """Return the gradients of the norm's input, scale and shift."""
        statistics = (None, None, self.mean, self.spread) if self.training else (self.mean, self.spread, None, None)
        grads = torch.ops.aten.native_batch_norm_backward(grad, x, self.scale, *statistics, self.training, self.eps, needs)
        return [found if needed else None for found, needed in zip(grads, needs, strict=True)]


class _NormReluConv(Function):
    @staticmethod
    def forward(ctx: Any, steps: Sequence[Step], *inputs: Tensor) -> Tensor:
        end = 3 * len(steps)
        pieces, statistics = inputs[end:], list[Tensor]()
        for step in steps:
            h, *of_norm = _normalize(step.norm, _concatenate(pieces))
            pieces = (_convolve(step.conv, h.relu_(), step.conv.weight),)
            statistics += of_norm
            del h
        ctx.save_for_backward(*inputs, *statistics)
        ctx.steps = [(step.conv, step.norm.eps, step.norm.training) for step in steps]
        return pieces[0]

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        n, (_, *needed) = len(ctx.steps), ctx.needs_input_grad
        saved = ctx.saved_tensors  # read once, as hooks on saved tensors may unpack them only once
        inputs, statistics = saved[: -2 * n], saved[-2 * n :]
        again = torch.is_grad_enabled()  # create_graph=True
        if again:  # views, since one piece may depend on another
            inputs = tuple(tensor.view_as(tensor) for tensor in inputs)
        pieces = inputs[3 * n :]
        steps = [_Saved(*step, *inputs[3 * i : 3 * i + 3], *statistics[2 * i : 2 * i + 2]) for i, step in enumerate(ctx.steps)]
        device = grad.device.type
        with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():  # not on meta
            if again:
                return None, *_differentiable_grads(steps, pieces, inputs, needed, grad)
            x = _concatenate(pieces)
            known = [(x, steps[0].activation(x))]
            for before, step in pairwise(steps):
                x = before.convolve(known[-1][1], grad.dtype)
                known.append((x, step.activation(x)))
            of_parameters: list[Tensor | None] = []
            for i, step in reversed([*enumerate(steps)]):
                x, h = known.pop()
                needs_scale, needs_shift, needs_weight = needed[3 * i : 3 * i + 3]
                grad, of_weight = step.convolution_backward(grad, h, needs_weight)
                grad = torch.ops.aten.threshold_backward(grad, h, 0)
                del h
                grad, *of_norm = step.norm_backward(grad, x, [i > 0 or any(needed[3 * n :]), needs_scale, needs_shift])
                of_parameters = [*of_norm, of_weight, *of_parameters]
        sizes = [piece.shape[1] for piece in pieces]
        return None, *of_parameters, *(grad.split(sizes, 1) if grad is not None else [None] * len(sizes))


def _concatenate(pieces: Sequence[Tensor]) -> Tensor:
    return torch.cat(tuple(pieces), 1) if len(pieces) > 1 else pieces[0]


def _convolve(conv: nn.Conv2d, h: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(h, weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)


def _normalize(norm: nn.BatchNorm2d, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a norm's output, mean and spread (see `_Saved`)."""
    if not norm.training:
        return norm(x), norm.running_mean, norm.running_var  # type: ignore[return-value]
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    state = norm.weight, norm.bias, norm.running_mean, norm.running_var
    options = norm.momentum or 0.0, norm.eps, torch.backends.cudnn.enabled
    h, mean, spread, *_ = torch._batch_norm_impl_index(x, *state, True, *options)  # what functional.batch_norm calls
    return h, mean, spread


def _differentiable_grads(
    steps: Sequence[_Saved], pieces: Sequence[Tensor], inputs: Sequence[Tensor], needed: Sequence[bool], grad: Tensor
) -> list[Tensor | None]:
    """Return the gradients of the inputs that need one, with a graph of their own."""
    x = _concatenate(pieces)
    for step in steps:
        x = step.convolve(step.differentiable_activation(x), grad.dtype)
    wanted = [tensor for tensor, needs in zip(inputs, needed, strict=True) if needs]
    found = iter(torch.autograd.grad(x, wanted, grad, create_graph=True))
    return [next(found) if needs else None for needs in needed]
