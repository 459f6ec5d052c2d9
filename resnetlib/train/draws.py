"""Random numbers that depend on a seed and a place in the training alone, so that nothing random needs to be kept."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def mixed(*numbers: int) -> int:
    """Mix numbers into one seed, such that neighbours have nothing in common.

    Args:
        *numbers: each 0 or more.

    Returns:
        A seed of 32 bits.

    Example:
        >>> mixed(0, 1) == mixed(0, 1), mixed(0, 1) == mixed(1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def generator(*numbers: int) -> torch.Generator:
    """Return a generator on the CPU, seeded by `mixed`.

    Args:
        *numbers: each 0 or more.

    Returns:
        A new generator.
    """
    return torch.Generator().manual_seed(mixed(*numbers))


@contextmanager
def own_draws(device: torch.device) -> Iterator[None]:
    """Give torch's generators back as they were, on the CPU and on the device.

    Args:
        device: the device in use.

    Yields:
        nothing.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        yield
