"""Autocorrelation: by hand, against numpy, and along lines whose gradients are known."""

import numpy as np
import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn

from resnetlib import build
from resnetlib.analysis import gradient_autocorrelation
from resnetlib.analysis.shattered import autocorrelation

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Squares(nn.Module):
    """Logit k is x_k^2 / 2, whose gradient is x_k, at place k alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).square() / 2


def by_numpy(series: Tensor, lags: int) -> Tensor:
    """Of series `(points, dimensions)`, pooled over the dimensions."""
    centered = (series - series.mean(0)).double().numpy()
    full = sum(np.correlate(column, column, mode="full") for column in centered.T)
    middle = len(series) - 1
    return torch.from_numpy(full[middle : middle + lags + 1] / full[middle])


def test_by_hand() -> None:
    assert autocorrelation(torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]), 3).tolist() == [1.0, -0.75, 0.5, -0.25]
    assert autocorrelation(torch.tensor([[8.0, 5.0], [6.0, 5.0]]), 1).tolist() == [1.0, -0.5]


def test_a_line_by_hand() -> None:
    found = gradient_autocorrelation(Squares(), torch.tensor([[0.0, 1.0], [2.0, 9.0]]).view(2, 1, 1, 2), points=3, lags=2)
    # the second logit is the first at (0, 1); its gradient is 1, 5, 9 on the line, and -4, 0, 4 around its mean
    assert found.by_line.tolist() == [[1.0, 0.0, -0.5]]
    assert (found.logits, found.points) == ((1,), 3)


def test_against_numpy() -> None:
    series = torch.randn(40, 7).cumsum(0)
    torch.testing.assert_close(autocorrelation(series, 15), by_numpy(series, 15))


def test_along_a_line_whose_gradients_are_known() -> None:
    ends = torch.tensor([[0.0, 1.0], [2.0, 9.0], [3.0, -1.0], [3.5, 7.0]]).view(4, 1, 1, 2)
    found = gradient_autocorrelation(Squares(), ends, points=20, lags=5, batch_size=7)
    assert found.logits == (1, 0)
    ramp = by_numpy(torch.arange(20.0).view(-1, 1), 5)
    torch.testing.assert_close(found.by_line, torch.stack([ramp, ramp]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.mean, ramp, rtol=1e-5, atol=1e-6)


def test_against_gradients_one_by_one() -> None:
    net = build(FAMILIES["resnet"], num_classes=5).eval()
    found = gradient_autocorrelation(
        net, iter([(IMAGES[:1], torch.zeros(1)), IMAGES[1:2]]), points=9, lags=4, logit=3, batch_size=4
    )
    gradients = []
    for t in torch.linspace(0, 1, 9):
        x = (IMAGES[0] + t * (IMAGES[1] - IMAGES[0])).requires_grad_()
        net(x[None])[0, 3].backward()
        gradients.append(x.grad.flatten())
    torch.testing.assert_close(found.by_line[0], by_numpy(torch.stack(gradients), 4), rtol=1e-3, atol=1e-4)
    assert found.logits == (3,)


def test_noises_are_what_they_are_called() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    found = gradient_autocorrelation(net, IMAGES[:2], points=64, lags=3)
    assert found.white[1:].abs().max() < 0.05
    assert found.brown[1] > 0.85
    again, other = (gradient_autocorrelation(net, IMAGES[:2], points=64, lags=3, seed=seed) for seed in (0, 1))
    assert torch.equal(found.white, again.white)
    assert not torch.equal(found.white, other.white)
    assert torch.equal(found.by_line, other.by_line)


def test_what_is_wrong_is_said() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    with pytest.raises(ValueError, match="even number of images, got 3"):
        gradient_autocorrelation(net, IMAGES[:3])
    with pytest.raises(ValueError, match="there are no images"):
        gradient_autocorrelation(net, IMAGES[:0])
    with pytest.raises(ValueError, match="lags must be below the number of points, 8, got 8"):
        gradient_autocorrelation(net, IMAGES, points=8, lags=8)
    for number in (8.0, True, "8"):
        with pytest.raises(ValueError, match=f"points must be an integer of at least 2, got {number!r}"):
            gradient_autocorrelation(net, IMAGES, points=number)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"lags must be an integer of at least 1, got {number!r}"):
            gradient_autocorrelation(net, IMAGES, lags=number)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, got 0"):
        gradient_autocorrelation(net, IMAGES, batch_size=0)
    with pytest.raises(ValueError, match=r"seed must be an integer from 0 to 2\^63 - 1, got None"):
        gradient_autocorrelation(net, IMAGES, seed=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"has no classifier \(num_classes=0\)"):
        gradient_autocorrelation(build(FAMILIES["resnet"], num_classes=0), IMAGES)
    with pytest.raises(ValueError, match=r"logit must be 0 to 4.*got 5"):
        gradient_autocorrelation(net, IMAGES, logit=5)
    broken = IMAGES.clone()
    broken[3] = torch.nan  # at the end of the second line
    with pytest.raises(ValueError, match="not finite"):
        gradient_autocorrelation(net, broken, points=8, lags=2)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    with pytest.raises(ValueError, match="the gradient is the same at all points"):
        gradient_autocorrelation(linear, IMAGES, points=20)
