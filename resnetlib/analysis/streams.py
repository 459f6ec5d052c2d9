"""Random numbers that are the same for every network and on every device."""

from operator import index

import torch
from torch import Tensor

from resnetlib.modules.arguments import check_count


def seeded(seed: int) -> torch.Generator:
    """Return a generator of random numbers, on the CPU; raise ValueError for a seed that is no integer of at least 0."""
    check_count("seed", seed, least=0)
    return torch.Generator().manual_seed(index(seed))


def streams(seed: int, draws: int) -> list[torch.Generator]:
    """Make one stream of random numbers for each draw; each is the same whatever number of draws follows it.

    Args:
        seed: of all of them.
        draws: how many.

    Returns:
        The streams, on the CPU.

    Raises:
        ValueError: for fewer than one, or a seed that is no integer of at least 0.
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
