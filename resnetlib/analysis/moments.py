"""Mean and variance of more numbers than fit into memory at once."""

import torch
from torch import Tensor


class Moments:
    """Mean and variance of columns whose rows come in batches.

    Sums of squared deviations are merged, rather than squares summed, so that nothing cancels.

    Source:
        Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979, eq. 1.5.

    Example:
        >>> moments = Moments()
        >>> for batch in ([[1.0], [2.0]], [[6.0]]):
        ...     moments.add(torch.tensor(batch))
        >>> moments.mean.tolist(), moments.variance.tolist()
        ([3.0], [4.666666666666667])
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self._squares = torch.zeros((), dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Add a batch of rows `(n, columns)`."""
        rows = rows.detach().double()
        mean = rows.mean(0)
        squares = (rows - mean).square().sum(0)
        n, m = self.count, len(rows)
        self.count = n + m
        ours = self.mean.to(mean.device)
        self.mean = ours + (mean - ours) * (m / self.count)
        self._squares = self._squares.to(mean.device) + squares + (mean - ours).square() * (n * m / self.count)

    @property
    def variance(self) -> Tensor:
        """The biased variance of each column."""
        return self._squares / self.count


def channel_rows(x: Tensor) -> Tensor:
    """Reshape a feature `(N, C, ...)` to rows `(N * ..., C)`."""
    return x.movedim(1, -1).reshape(-1, x.shape[1])
