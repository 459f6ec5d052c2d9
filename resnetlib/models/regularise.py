"""Joins that drop branches, and by how much at which depth."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from resnetlib.modules import Add, Concat, Join, StochasticAdd, StochasticConcat
from resnetlib.modules.arguments import check_probability

STOCHASTIC: Mapping[Callable[[], Join], Callable[[float], Join]] = {Add: StochasticAdd, Concat: StochasticConcat}
"""The join that drops its branch at random, for the joins that can do without it."""


def join_makers(join: Callable[[], Join], blocks: int, *, drop_path_rate: float) -> Sequence[Callable[[], Join]]:
    """Return what makes each block's join, with stochastic depth that grows linearly with depth.

    Block l of L is left out with probability `drop_path_rate * l / L`, so the last one survives with p_L = 1 - drop_path_rate
    (arXiv 1603.09382, eq. 4).

    Args:
        join: makes the join of a block that always runs.
        blocks: L.
        drop_path_rate: the probability at the last block, in [0, 1).

    Returns:
        One maker for each block.

    Raises:
        ValueError: for a probability outside its range, or a join that cannot leave its branch out.

    Example:
        >>> [make().p for make in join_makers(Add, 4, drop_path_rate=0.2)]
        [0.05, 0.1, 0.15000000000000002, 0.2]
    """
    check_probability("drop_path_rate", drop_path_rate)
    if drop_path_rate == 0:
        return [join] * blocks
    if join not in STOCHASTIC:
        name = getattr(join, "__name__", join)
        raise ValueError(f"drop_path_rate works with the joins Add and Concat, got drop_path_rate={drop_path_rate} with {name}")
    return [partial(STOCHASTIC[join], drop_path_rate * i / blocks) for i in range(1, blocks + 1)]
