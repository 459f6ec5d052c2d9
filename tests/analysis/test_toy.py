"""Random scalar functions: their gradients by hand and against torch.func, and that depth shatters those of plain ones."""

import numpy as np
import pytest
import torch
from torch import Tensor

from resnetlib.analysis import toy_autocorrelation
from resnetlib.analysis.shattered import _toy_gradient, _toy_weights


def test_by_hand() -> None:
    x = torch.tensor([[-2.0], [0.5], [2.0]])
    two = [(torch.tensor([[1.0, -1.0]]), torch.tensor([-1.0, -1.0])), (torch.tensor([[3.0], [5.0]]), torch.tensor([7.0]))]
    # 3 relu(x - 1) + 5 relu(-x - 1) + 7
    assert _toy_gradient(x, two, beta=None, batch_norm=False).flatten().tolist() == [-5.0, 0.0, 3.0]
    one = (torch.ones(1, 1), torch.zeros(1))
    x = torch.tensor([[-2.0], [2.0]])
    # relu(x + relu(x) / 2), and without the skip relu(relu(x))
    assert _toy_gradient(x, [one, one, one], beta=0.5, batch_norm=False).flatten().tolist() == [0.0, 1.5]
    assert _toy_gradient(x, [one, one, one], beta=None, batch_norm=False).flatten().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("beta", [None, 0.3])
def test_against_differences(beta: float | None) -> None:
    weights = [(w.double(), b.double()) for w, b in _toy_weights(5, 30, torch.Generator().manual_seed(0))]
    x = torch.linspace(-2, 2, 50, dtype=torch.float64).view(-1, 1)

    def norm(h: Tensor) -> Tensor:
        return (h - h.detach().mean(0)) / (h.detach().var(0, correction=0) + 1e-5).sqrt()

    def summed(x: Tensor) -> Tensor:
        (w, b), *inner, (last, c) = weights
        h = x * w + b
        for i, (w, b) in enumerate(inner):
            branch = torch.relu(norm(h) if i else h) @ w + b
            h = branch if beta is None else h + beta * branch
        return (torch.relu(norm(h)) @ last + c).sum()

    expected = torch.func.grad(summed)(x)
    torch.testing.assert_close(_toy_gradient(x, weights, beta=beta, batch_norm=True), expected)


def test_it_is_the_mean_over_initializations() -> None:
    found = toy_autocorrelation((1, 3), width=8, betas=(0.5,), batch_norm=False, points=20, lags=4, inits=3, seed=5)
    generator, x = torch.Generator().manual_seed(5), torch.linspace(-2, 2, 20).view(-1, 1)
    for j, depth in enumerate((1, 3)):
        nets = [_toy_weights(depth, 8, generator) for _ in range(3)]
        for i, beta in enumerate((None, 0.5)):
            curves = []
            for weights in nets:
                series = _toy_gradient(x, weights, beta=beta, batch_norm=False).double().flatten().numpy()
                products = np.correlate(series - series.mean(), series - series.mean(), mode="full")[19:]
                curves.append(products[:5] / products[0])
            np.testing.assert_allclose(found.acf[i, j], np.mean(curves, 0), rtol=1e-6, atol=1e-9)
    assert (found.depths, found.inits) == ((1, 3), 3)


def test_weights_are_he_initialized() -> None:
    weights = _toy_weights(3, 200, torch.Generator().manual_seed(0))
    assert [tuple(w.shape) for w, _ in weights] == [(1, 200), (200, 200), (200, 200), (200, 1)]
    assert float(weights[1][0].var()) == pytest.approx(2 / 200, rel=0.05)
    assert float(weights[0][1].var()) == pytest.approx(2, rel=0.3)


def test_depth_shatters_plain_gradients_and_not_residual_ones() -> None:
    found = toy_autocorrelation((2, 16), width=100, inits=4, lags=5)
    shallow, deep = found.acf[:, 0, 1], found.acf[:, 1, 1]  # at lag 1
    assert found.kinds == ("plain", "residual, beta = 1", "residual, beta = 0.1")
    assert (shallow > 0.8).all()
    assert deep[0].abs() < 0.2  # white
    assert deep[1] > 0.5
    assert deep[2] > 0.8
    assert found.brown[1] > 0.9
    assert found.white[1:].abs().max() < 0.1


def test_seeds() -> None:
    one, again, other = (toy_autocorrelation((2,), width=10, inits=2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.acf, again.acf)
    assert not torch.equal(one.acf, other.acf)
    state = torch.get_rng_state()
    toy_autocorrelation((2,), width=10, inits=1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_inside_of_a_caller_that_wants_no_gradients(mode: type) -> None:
    expected = toy_autocorrelation((1, 2), width=10, inits=2)
    with mode():
        found = toy_autocorrelation((1, 2), width=10, inits=2)
    assert torch.equal(found.acf, expected.acf)


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match=r"depths must be a sequence of integers of at least 1, 1 or more, got \(2, 0\)"):
        toy_autocorrelation((2, 0))
    with pytest.raises(ValueError, match=r"depths must be .* got \(\)"):
        toy_autocorrelation(())
    with pytest.raises(ValueError, match="inits must be an integer of at least 1, got 0"):
        toy_autocorrelation(inits=0)
    for wrong in (3, "3", None):
        with pytest.raises(ValueError, match=f"depths must be a sequence of .* got {wrong!r}"):
            toy_autocorrelation(wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"betas must be a sequence of .* got {wrong!r}"):
            toy_autocorrelation(betas=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lags must be an integer of at least 1"):
        toy_autocorrelation(lags=0)
