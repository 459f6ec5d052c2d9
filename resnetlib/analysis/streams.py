"""Random numbers that are the same for every network and on every device."""

import torch
from torch import Tensor

from resnetlib.modules.arguments import as_integer, check_count


def seeded(seed: int) -> torch.Generator:
    """Return a generator of random numbers, on the CPU; raise ValueError for a seed that `check_seed` refuses."""
    return torch.Generator().manual_seed(check_seed(seed))


def check_seed(seed: int) -> int:
    """Return a seed as Python's integer; raise ValueError unless it is one from 0 to 2^63 - 1."""
    number = as_integer(seed)
    if number is None or not 0 <= number < 2**63:
        raise ValueError(f"seed must be an integer from 0 to 2^63 - 1, got {seed!r}")
    return number


def streams(seed: int, draws: int) -> list[torch.Generator]:
    """Make one stream of random numbers for each draw; each is the same whatever number of draws follows it.

    Args:
        seed: of all of them.
        draws: how many.

    Returns:
        The streams, on the CPU.

    Raises:
        ValueError: for fewer than one, or a seed that is none.
    """
    check_count("draws", draws, least=1)
    first = seeded(seed)
    seeds = [int(torch.randint(2**62, (), generator=first)) for _ in range(draws)]
    return [torch.Generator().manual_seed(own) for own in seeds]


def normal_like(x: Tensor, stream: torch.Generator) -> Tensor:
    """Draw N(0, 1), image by image, so that the division into batches does not matter.

    Args:
        x: of the shape, dtype and device that are wanted.
        stream: where the numbers come from.

    Returns:
        The numbers.
    """
    return torch.stack([torch.randn(x.shape[1:], generator=stream) for _ in x]).to(x)
