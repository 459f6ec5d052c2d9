"""Random numbers that are the same for every network and on every device."""

import torch
from torch import Tensor

from resnetlib.modules.arguments import check_count


def streams(seed: int, draws: int) -> list[torch.Generator]:
    """Make one stream of random numbers for each draw; each is the same whatever number of draws follows it.

    Args:
        seed: of all of them.
        draws: how many.

    Returns:
        The streams, on the CPU.

    Raises:
        ValueError: for fewer than one.
    """
    check_count("draws", draws, least=1)
    first = torch.Generator().manual_seed(seed)
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
