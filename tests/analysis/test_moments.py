"""Moments that come in batches are those of everything at once."""

import torch

from resnetlib.analysis.forward import Moments, channel_rows


def test_batches_are_merged_exactly() -> None:
    x = torch.randn(50, 3, dtype=torch.float64) * torch.tensor([1.0, 1e-3, 1e3]) + torch.tensor([0.0, 1e4, -5.0])
    moments = Moments()
    for batch in x.split([1, 7, 30, 12]):
        moments.add(batch)
    torch.testing.assert_close(moments.mean, x.mean(0), rtol=1e-12, atol=1e-12)
    # the squares of 1e4 would have swallowed deviations of 1e-3
    torch.testing.assert_close(moments.variance, x.var(0, correction=0), rtol=1e-10, atol=0)
    assert moments.count == 50


def test_single_precision_is_left_at_once() -> None:
    moments = Moments()
    moments.add(torch.tensor([[1e4], [1e4 + 1.0]]))
    assert moments.variance.tolist() == [0.25]


def test_channels_are_columns() -> None:
    x = torch.arange(24.0).view(2, 3, 2, 2)
    assert channel_rows(x)[:, 1].tolist() == x[:, 1].flatten().tolist()
    assert channel_rows(x[:, :, 0, 0]).shape == (2, 3)
