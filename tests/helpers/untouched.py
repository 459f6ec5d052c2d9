"""That a network is as it was before somebody looked into it, to the bit."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
PLAIN = (bool, int, float, str, tuple, type(None))


def picture(net: nn.Module) -> dict[str, Any]:
    """Everything about a network that somebody could have changed."""
    state: dict[str, Any] = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
    for name, module in net.named_modules():
        state[f"{name} mode"] = module.training
        state[f"{name} identity"] = id(module)
        state[f"{name} hooks"] = [list(getattr(module, kind)) for kind in HOOKS]
        state[f"{name} attributes"] = {key: value if isinstance(value, PLAIN) else None for key, value in vars(module).items()}
        state[f"{name} buffers"] = [id(buffer) for buffer in module._buffers.values()]
    for name, parameter in net.named_parameters():
        state[f"{name} identity"] = id(parameter)
        state[f"{name} requires_grad"] = parameter.requires_grad
        state[f"{name} gradient"] = None if parameter.grad is None else parameter.grad.clone()
    state["random"] = torch.get_rng_state()
    state["others' random"] = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - whoever uses it misses it
    state["gradients"] = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    state["threads"] = torch.get_num_threads()
    return state


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(
        torch.equal(value, right[key]) if isinstance(value, torch.Tensor) else value == right[key] for key, value in left.items()
    )


@contextmanager
def untouched(net: nn.Module) -> Iterator[None]:
    """Fail unless a network, put into a state that is easily lost, comes back in that state; also after an error."""
    modules = list(net.modules())
    net.train()
    modules[len(modules) // 2].eval()  # modes that differ
    parameters = list(net.parameters())
    parameters[0].requires_grad_(False)
    parameters[-1].grad = torch.ones_like(parameters[-1])
    handle = modules[-1].register_forward_hook(lambda *_: None)
    before = picture(net)
    try:
        yield
    finally:
        changed = [key for key, value in picture(net).items() if not same({key: value}, {key: before[key]})]
        handle.remove()
        assert not changed, changed


def raises_inside(net: nn.Module, call: Callable[[], object], error: type[BaseException] = RuntimeError, *, after: int = 0) -> None:
    """Call something while the last module of the network fails; the error must come out, and the network be as it was.

    It is an error of a subclass of `error`, and comes when the module has run `after` times.
    """

    class BrokenError(error):  # type: ignore[valid-type, misc]
        pass

    runs = iter(range(after))

    def fail(*_: object) -> None:
        if next(runs, None) is None:
            raise BrokenError

    with untouched(net):
        handle = list(net.modules())[-1].register_forward_hook(fail)
        try:
            call()
        except BrokenError:
            return
        finally:
            handle.remove()
    raise AssertionError("the error was swallowed")
