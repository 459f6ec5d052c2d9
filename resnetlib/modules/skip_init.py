"""Build modules on the meta device without initializing them."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_INITIALIZERS = {nn.init.kaiming_uniform_, nn.init.kaiming_normal_, nn.init.uniform_}
_INITIALIZERS |= {Tensor.fill_, Tensor.zero_, Tensor.normal_, Tensor.uniform_}
_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.tensor}


class SkipInit(TorchFunctionMode):
    """Context in which new tensors are on the meta device and initializers do nothing, in this thread.

    Faster than `torch.device("meta")`, which runs the initializers.

    Example:
        >>> with SkipInit():
        ...     layer = torch.nn.Linear(10**6, 10**6)
        >>> layer.weight.device
        device(type='meta')
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a torch function on the meta device, or skip it if it is an initializer."""
        kwargs = kwargs or {}
        if func in _INITIALIZERS:
            return args[0] if args else kwargs["tensor"]
        if func in _FACTORIES:
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)
