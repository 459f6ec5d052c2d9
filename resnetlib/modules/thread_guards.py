"""Guards for networks that several threads use at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import RLock, get_ident

from torch import nn

from resnetlib.errors import InUseError


@dataclass(slots=True, eq=False)
class _Use:
    exclusive: bool
    thread: int = field(default_factory=get_ident)
    modes: dict[nn.Module, bool] = field(default_factory=dict)


_LOCK = RLock()
_USES: list[_Use] = []
"""Current uses, oldest first. The lock guards the list and all changes of modes."""


@contextmanager
def in_use(net: nn.Module, *, exclusive: bool, training: bool | None = None) -> Iterator[None]:
    """Put a network into a mode (None: leave it), and restore each module's mode when no thread uses it any more.

    With `exclusive`, no other thread can use the network meanwhile; otherwise others can, unless they need it exclusively. Raise
    RuntimeError if another thread's use forbids this one, or at the end if another thread called `net.train()`. A thread may nest
    its own uses.
    """
    use = _Use(exclusive)
    try:
        with _LOCK:
            _check_not_in_use(net, exclusive)
            use.modes = {module: module.training for module in net.modules()}
            _USES.append(use)
            if training is not None:
                net.train(training)
            inside = {module: module.training for module in use.modes} if training is False else {}
        yield
        if not exclusive and any(module.training and not mode for module, mode in inside.items()):
            raise InUseError(
                "the network was put into training mode while it was evaluated, and the result would be wrong: let other threads "
                "train a copy (copy.deepcopy(net))"
            )
    finally:
        with _LOCK:
            _end(use)


@contextmanager
def changing(net: nn.Module) -> Iterator[None]:
    """Change a network while all other threads wait; raise RuntimeError if one of them uses it."""
    with _LOCK:
        _check_not_in_use(net, True)
        yield


def _check_not_in_use(net: nn.Module, exclusive: bool) -> None:
    modules, thread = set(net.modules()), get_ident()
    for use in _USES:
        if use.thread != thread and (exclusive or use.exclusive) and not modules.isdisjoint(use.modes):
            raise InUseError(
                f"another thread is {'analyzing' if use.exclusive else 'evaluating'} this network, which must not change now: "
                "give each thread a copy of its own, made before (copy.deepcopy(net))"
            )


def _end(use: _Use) -> None:
    """Restore each module's mode, or leave that to the next use of the module."""
    if use not in _USES:
        return
    later = _USES[_USES.index(use) + 1 :]
    for module, mode in use.modes.items():
        next_use = next((other for other in later if module in other.modes), None)
        if next_use is None:
            module.training = mode
        else:
            next_use.modes[module] = mode
    _USES.remove(use)
