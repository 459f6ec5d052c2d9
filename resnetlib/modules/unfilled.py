"""Networks without numbers, made fast: for shapes alone, and for weights that come from elsewhere."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_FILLS = frozenset(
    {
        nn.init.kaiming_uniform_,
        nn.init.kaiming_normal_,
        nn.init.uniform_,
        Tensor.fill_,
        Tensor.zero_,
        Tensor.normal_,
        Tensor.uniform_,
    }
)
"""What draws or sets numbers when layers are made."""

_MAKES = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.tensor})
"""What makes tensors when layers are made."""


class Unfilled(TorchFunctionMode):
    """Inside this context, new tensors are on the meta device, and nothing fills them.

    Random numbers are not drawn either. Other threads make their tensors as ever.

    Example:
        >>> with Unfilled():
        ...     layer = torch.nn.Linear(10**6, 10**6)
        >>> layer.weight.device
        device(type='meta')
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a function of torch, or leave it out."""
        if func in _FILLS:
            return args[0] if args else (kwargs or {})["tensor"]
        if func in _MAKES:
            return func(*args, **{**(kwargs or {}), "device": "meta"})
        return func(*args, **(kwargs or {}))
