"""Noise on inputs, weights and branches: against the normal distribution and naive loops."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from families import FAMILIES
from hand import Times, Wrapped, kept_exactly, logits_of, pairs
from scipy.stats import norm
from torch import Tensor, nn
from untouched import raises_inside, untouched

from resnetlib import Spec, build
from resnetlib.analysis import blocks_of, branch_noise, input_noise, weight_noise
from resnetlib.analysis.batches import generators, normal_like
from resnetlib.modules import Replace

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])
DATA = [(IMAGES[:4], LABELS[:4]), (IMAGES[4:], LABELS[4:])]
MANY = pairs((1, 0)).expand(20000, 2, 1, 1), torch.zeros(20000, dtype=torch.long)


class Seen(nn.Module):
    """A classifier that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.cat([torch.full((1, 5000), 3.0), torch.full((1, 5000), 0.5), torch.zeros(1, 5000)]))
        self.bias = nn.Parameter(torch.tensor([2.0, 0.0, -2.0]))
        self.scale = nn.Parameter(torch.tensor(-4.0))
        self.weights: list[Tensor] = []
        self.inputs: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.weights.append(torch.cat([self.weight.flatten(), self.bias, self.scale.view(1)]).detach().clone())
        self.inputs.append(x.clone())
        return x.flatten(1)[:, :3]


def test_accuracies_by_hand() -> None:
    """A normal number is below 1/2 in 69.15 % of all draws, below 1 in 84.13 %, and below 2 in 97.72 %."""
    found = input_noise(
        nn.Flatten(), MANY, [0.5**0.5, 0.5**1.5], draws=1
    )  # one logit ahead by 1, noise of 2^0.5 sigma between them
    assert found.mean_accuracy.tolist() == pytest.approx([84.13, 97.72], abs=0.8)
    assert found.drop.tolist() == pytest.approx([15.87, 2.28], abs=0.8)
    found = branch_noise(logits_of(Times(1.0)), MANY, [2, 1])  # ahead by 2; the branch, (1, 0), has a root mean square of 0.5^0.5
    assert found.mean_accuracy[0].tolist() == pytest.approx([84.13, 97.72], abs=0.8)
    assert found.drop[0].tolist() == pytest.approx([15.87, 2.28], abs=0.8)
    net = nn.Linear(1, 2, bias=False)
    net.weight.data = torch.tensor([[3.0], [0.0]])
    found = weight_noise(net, (torch.ones(1, 1), torch.tensor([0])), [1, 2], draws=1000)  # logits are 3 (1 + ratio noise), and 0
    assert found.mean_accuracy.tolist() == pytest.approx([84.13, 69.15], abs=3)
    assert found.drop.tolist() == pytest.approx([15.87, 30.85], abs=3)


def test_input_noise_is_as_the_normal_distribution_says() -> None:
    found = input_noise(nn.Flatten(), MANY, [0, 0.5, 2], draws=2)
    expected = [100, *(100 * norm.cdf(1 / (sigma * 2**0.5)) for sigma in (0.5, 2))]  # two channels, one ahead of the other by 1
    assert found.mean_accuracy.tolist() == pytest.approx(expected, abs=1)
    assert found.drop.tolist() == pytest.approx([100 - accuracy for accuracy in expected], abs=1)
    assert found.drop[0] == 0
    assert (found.kind, found.values, found.images, found.clean_accuracy, 100 - found.chance_error) == (
        "input_noise",
        (0, 0.5, 2),
        20000,
        100,
        50,
    )


def test_input_noise_is_the_same_in_every_size() -> None:
    net = Seen()
    input_noise(net, (IMAGES, LABELS % 3), [1, 3], draws=2)
    clean, one, three, other, _ = net.inputs
    assert torch.equal(clean, IMAGES)
    torch.testing.assert_close(three - IMAGES, 3 * (one - IMAGES), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(one, other)
    assert float((one - IMAGES).std()) == pytest.approx(1, abs=0.05)


def test_input_noise_against_a_naive_loop(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    found = input_noise(net, iter(DATA), [0.5, 1], draws=2, seed=3)
    net = deepcopy(net).eval()
    for j, stream in enumerate(generators(3, 2)):
        added = normal_like(IMAGES, stream)  # all images at once: the division into batches does not matter
        for i, sigma in enumerate((0.5, 1)):
            with torch.no_grad():
                right = net(IMAGES + sigma * added).argmax(1) == LABELS
            assert float(found.accuracy[i, j]) == pytest.approx(100 * float(right.double().mean()))


def test_draws_are_the_same_again_however_many_follow() -> None:
    first, second = (normal_like(torch.zeros(2, 3, 4, 4), stream) for stream in generators(0, 2))
    (alone,) = (normal_like(torch.zeros(2, 3, 4, 4), stream) for stream in generators(0, 1))
    (other,) = (normal_like(torch.zeros(2, 3, 4, 4), stream) for stream in generators(1, 1))
    assert torch.equal(first, alone)
    assert not torch.allclose(first, second)
    assert not torch.allclose(second, other)
    small, (stream, again) = torch.zeros(9, 2, 1, 1), (generators(0, 1)[0] for _ in range(2))
    pieces = [normal_like(piece, again) for piece in small.split(4)]
    assert torch.equal(normal_like(small, stream), torch.cat(pieces))
    assert normal_like(torch.zeros(1, 2, dtype=torch.bfloat16), generators(0, 1)[0]).dtype == torch.bfloat16


def test_weight_noise_is_relative_to_each_filter() -> None:
    net = Seen()
    weight_noise(net, (IMAGES, LABELS % 3), [0.5, 1], draws=2)
    clean, half, one, other, _ = net.weights
    torch.testing.assert_close(one - clean, 2 * (half - clean), rtol=1e-3, atol=1e-5)
    assert not torch.allclose(half, other)
    noise = half - clean
    assert [float(of_filter.norm()) for of_filter in noise[:15000].split(5000)] == pytest.approx(
        [0.5 * 3 * 5000**0.5, 0.5 * 0.5 * 5000**0.5, 0], rel=0.05
    )
    shared = [generators(0, 1)[0]]
    drawn = [torch.randn(shape, generator=shared[0]) for shape in ((3, 5000), (3,), ())]
    torch.testing.assert_close(noise[15000:15003], 0.5 * (8 / 3) ** 0.5 * drawn[1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(noise[15003], 0.5 * 4 * drawn[2], rtol=1e-4, atol=1e-6)


def test_weight_noise_against_a_changed_copy(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    found = weight_noise(net, DATA, [0, 0.5], draws=1)
    assert found.kind == "weight_noise"
    assert found.drop[0] == 0
    other, (stream,) = deepcopy(net).eval(), generators(0, 1)
    with torch.no_grad():
        for weight in other.parameters():
            each = weight.flatten(1) if weight.ndim > 1 else weight.view(1, -1)
            rms = each.norm(dim=1) / each.shape[1] ** 0.5
            rms = rms.view(-1, *[1] * (weight.ndim - 1)) if weight.ndim > 1 else rms.view(())
            weight.add_(0.5 * rms * torch.randn(weight.shape, generator=stream))
        right = (other(IMAGES).argmax(1) == LABELS).double()
    assert float(found.accuracy[1, 0]) == pytest.approx(100 * float(right.mean()))


def test_branch_noise_is_as_the_normal_distribution_says() -> None:
    net = logits_of(Times(1.0), Times(0.0), Times(-2.0, Replace()))  # x -> 2 x -> 2 x -> -4 x
    images, labels = MANY
    found = branch_noise(net, (images, labels + 1), [0.5, 2], draws=2)
    for i, ratio in enumerate((0.5, 2)):
        rms = 0.5**0.5  # of (1, 0), times what multiplies x
        assert float(found.mean_accuracy[0, i]) == pytest.approx(100 * norm.cdf(2 / (ratio * rms * 2**0.5)), abs=1)
        assert found.mean_accuracy[1, i] == 100  # there is nothing to be noisy
        assert float(found.mean_accuracy[2, i]) == pytest.approx(100 * norm.cdf(1 / (ratio * rms * 2**0.5)), abs=1)
    assert (found.blocks, found.values, found.clean_accuracy, 100 - found.chance_error) == (("0", "1", "2"), (0.5, 2), 100, 50)
    torch.testing.assert_close(found.drop, 100 - found.mean_accuracy)


def test_branch_noise_against_a_naive_loop(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    found = branch_noise(net, DATA, [0.5, 1], draws=2)
    net = deepcopy(net).eval()
    for n, block in enumerate(blocks_of(net).values()):
        for j, stream in enumerate(generators(0, 2)):
            state = stream.get_state()
            for i, ratio in enumerate((0.5, 1)):
                stream.set_state(state)

                def noisy(
                    join: nn.Module, met: tuple[Tensor, Tensor], ratio: float = ratio, stream: torch.Generator = stream
                ) -> tuple[Tensor, Tensor]:
                    rms = met[1].flatten(1).norm(dim=1) / met[1][0].numel() ** 0.5
                    return met[0], met[1] + ratio * rms[:, None, None, None] * normal_like(met[1], stream)

                handle = block.join.register_forward_pre_hook(noisy)
                with torch.no_grad():
                    right = net(IMAGES).argmax(1) == LABELS
                handle.remove()
                assert float(found.accuracy[n, i, j]) == pytest.approx(100 * float(right.double().mean()))


def test_what_is_not_computed_again_makes_no_difference() -> None:
    net = build(FAMILIES["densenet"], num_classes=5)
    assert torch.equal(branch_noise(net, DATA, [1.0]).accuracy, branch_noise(Wrapped(net), DATA, [1.0]).accuracy)


@pytest.mark.parametrize("analysis", [input_noise, weight_noise, branch_noise])
def test_the_network_is_as_it_was(analysis, spec: Spec) -> None:  # type: ignore[no-untyped-def]
    net = build(spec, num_classes=5, memory_efficient=True)
    with untouched(net):
        analysis(net, DATA, [0.5], draws=1)
    raises_inside(net, lambda: analysis(net, DATA, [0.5], draws=1))


@pytest.mark.parametrize(
    ("analysis", "name"),
    [(input_noise, "sigmas"), (weight_noise, "ratios"), (branch_noise, "ratios")],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_wrong_is_said(analysis, name: str) -> None:  # type: ignore[no-untyped-def]
    net = build(FAMILIES["resnet"], num_classes=5)
    for wrong in ([-0.1], [float("inf")], [float("nan")], [], 0.1, "0.1", None, [None]):
        with pytest.raises(ValueError, match=f"{name} must be a sequence of finite numbers of at least 0, 1 or more, got"):
            analysis(net, DATA, wrong)
    with pytest.raises(ValueError, match="draws must be an integer of at least 1, got -1"):
        analysis(net, DATA, draws=-1)
    with pytest.raises(ValueError, match="there are no images"):
        analysis(net, [])
    with pytest.raises(ValueError, match="labels are missing"):
        analysis(net, IMAGES)
    with pytest.raises(ValueError, match="loss on these images must be a finite number, got nan"):
        analysis(net, (IMAGES * float("nan"), LABELS))


def test_weights_are_those_of_a_network_that_has_some() -> None:
    with pytest.raises(ValueError, match="Flatten has no parameters"):
        weight_noise(nn.Flatten(), MANY)


def test_branches_are_those_of_blocks() -> None:
    with pytest.raises(ValueError, match="Flatten has no blocks with joins"):
        branch_noise(nn.Flatten(), MANY)


def test_they_are_kept_and_drawn(tmp_path: Path) -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    for found in (input_noise(net, DATA, [0.5, 0.1], draws=2), weight_noise(net, DATA, [0.5, 0.1], draws=2)):
        kept_exactly(found, tmp_path)
        axes = found.plot()
        assert list(axes.lines[0].get_xdata()) == [0.1, 0.5]
        assert list(axes.lines[0].get_ydata()) == found.mean_accuracy[[1, 0]].tolist()
        assert found.plot(axes) is axes
    noisy = branch_noise(net, DATA, [0.5, 1], draws=2)
    kept_exactly(noisy, tmp_path)
    axes = noisy.plot()
    assert list(axes.lines[1].get_ydata()) == noisy.mean_accuracy[:, 1].tolist()
    assert noisy.plot(axes) is axes
