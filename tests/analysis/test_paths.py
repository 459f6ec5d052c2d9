"""Gradients through single paths: by hand, and their sum over all paths against autograd, in every family."""

from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES
from hand import Times, kept_exactly, logits_of, pairs
from scipy.stats import binom
from torch import Tensor, nn
from untouched import raises_inside, untouched

from resnetlib import Spec, build
from resnetlib.analysis import PathGradients, blocks_of, path_gradient, path_gradients, share_of_paths
from resnetlib.modules import Replace

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3])
BATCH = IMAGES, LABELS
FACTORS = (0.5, -2.0, 3.0)


def gradient(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Each image's gradient by autograd."""
    x = x.clone().requires_grad_()
    nn.functional.cross_entropy(net(x), y, reduction="sum").backward()
    assert x.grad is not None
    return x.grad


def outer_gradient(x: Tensor, factor: float) -> Tensor:
    """The gradient of the loss at logits `factor * x`, of label 0, by hand."""
    return (factor * x.flatten(1)).softmax(1) - torch.tensor([1.0, 0.0])


def test_by_hand() -> None:
    net = logits_of(*map(Times, FACTORS))
    x = pairs((0.3, -0.2))
    g = outer_gradient(x, 1.5 * -1 * 4)
    for names, product in {"": 1.0, "0": 0.5, "02": 1.5, "12": -6.0, "012": -3.0}.items():
        got = path_gradient(net, (x, torch.tensor([0])), through=list(names))
        torch.testing.assert_close(got.flatten(1), product * g)


def test_norms_by_hand() -> None:
    x = pairs((0.3, -0.2), (0.1, 0.4))
    found = path_gradients(logits_of(*(Times(-0.5) for _ in range(3))), (x, torch.tensor([0, 0])), draws=4)
    norm = outer_gradient(x, 0.5**3).norm(dim=1).double()
    powers = torch.tensor([1, 0.5, 0.25, 0.125], dtype=torch.float64)
    torch.testing.assert_close(found.norm, norm.mean() * powers, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.quartiles, torch.stack([norm.min(), norm.max()])[:, None] * powers, rtol=1e-6, atol=0)
    assert (found.lengths, found.forks, found.images, found.draws) == ((0, 1, 2, 3), 3, 2, 4)
    assert found.paths.tolist() == [1 / 8, 3 / 8, 3 / 8, 1 / 8]
    # contributions are as 8 : 12 : 6 : 1
    assert (found.contribution / found.contribution.sum()).tolist() == pytest.approx([8 / 27, 12 / 27, 6 / 27, 1 / 27])
    assert found.mean_length == pytest.approx(1)
    assert found.mean_length_of_all == 1.5
    assert found.effective(0.4) == (1, 1)
    assert found.effective(0.7) == (0, 1)
    assert found.effective(0.95) == (0, 2)
    assert found.effective(1) == (0, 3)
    assert found.share_of_paths(0, 1) == 0.5


def test_over_draws_it_is_the_mean_over_all_paths() -> None:
    x, y = pairs((0.3, -0.2)), torch.tensor([0])
    found = path_gradients(logits_of(*map(Times, FACTORS)), (x, y), [1, 2], draws=2000)
    g = float(outer_gradient(x, -6).norm())
    expected = [g * (0.5 + 2 + 3) / 3, g * (1 + 1.5 + 6) / 3]
    assert found.norm.tolist() == pytest.approx(expected, rel=0.05)
    torch.testing.assert_close(found.contribution, found.norm * 3 / 8)


@torch.no_grad()
def rough_(net: nn.Module) -> nn.Module:
    """Give a network weights at which no path's gradient is zero."""
    for parameter in net.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape))
    return net


def test_the_sum_over_all_paths_is_the_gradient(spec: Spec) -> None:
    net = rough_(build(spec, num_classes=5, dtype=torch.float64)).eval()
    names = [name for name, block in blocks_of(net).items() if block.join.uses_skip]
    subsets = [subset for k in range(len(names) + 1) for subset in combinations(names, k)]
    each = [path_gradient(net, BATCH, through=subset) for subset in subsets]
    assert len(each) == 2 ** len(names)
    assert all(part.norm() > 0 for part in each)
    torch.testing.assert_close(torch.stack(each).sum(0), gradient(net, IMAGES.double(), LABELS), rtol=1e-9, atol=1e-12)


def test_each_path_is_the_gradient_with_the_other_input_detached(spec: Spec) -> None:
    net = rough_(build(spec, num_classes=5)).eval()
    blocks = blocks_of(net)
    through = list(blocks)[::2]
    handles = [
        block.join.register_forward_pre_hook(
            lambda join, met, taken=name in through: (met[0].detach(), met[1]) if taken else (met[0], met[1].detach())
        )
        for name, block in blocks.items()
        if block.join.uses_skip
    ]
    expected = gradient(net, IMAGES, LABELS)
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(path_gradient(net, BATCH, through), expected, rtol=1e-4, atol=1e-7)


def test_lengths_are_those_of_single_paths(spec: Spec) -> None:
    net = rough_(build(spec, num_classes=5)).eval()
    blocks = blocks_of(net)
    forks = [name for name, block in blocks.items() if block.join.uses_skip]
    found = path_gradients(net, BATCH, draws=2)
    assert found.lengths == tuple(range(len(blocks) - len(forks), len(blocks) + 1))
    ends = [path_gradient(net, BATCH, through).double().flatten(1).norm(dim=1).mean() for through in ([], forks)]
    torch.testing.assert_close(found.norm[[0, -1]], torch.stack(ends), rtol=1e-5, atol=0)


def test_a_plain_network_has_one_path() -> None:
    net = build(FAMILIES["plain"], num_classes=5).eval()
    found = path_gradients(net, BATCH)
    assert (found.lengths, found.forks, found.draws, found.paths.tolist()) == ((3,), 0, 1, [1])
    assert found.norm.item() == pytest.approx(float(gradient(net, *BATCH).double().flatten(1).norm(dim=1).mean()))
    assert found.effective() == (3, 3)
    assert found.share_of_paths(3, 3) == 1
    assert found.mean_length == found.mean_length_of_all == 3
    mixed = path_gradients(logits_of(Times(1.0), Times(2.0, Replace()), Times(1.0)), (pairs((1, 2)), torch.tensor([0])))
    assert (mixed.lengths, mixed.forks, mixed.mean_length_of_all) == ((1, 2, 3), 2, 2)
    assert mixed.share_of_paths(2, 3) == 0.75


def test_the_division_into_batches_does_not_matter() -> None:
    net = build(FAMILIES["preact"], num_classes=5, dtype=torch.float64)
    whole = path_gradients(net, BATCH, draws=3)
    parts = path_gradients(net, iter([(IMAGES[:1], LABELS[:1]), (IMAGES[1:], LABELS[1:])]), draws=3)
    torch.testing.assert_close(whole.norm, parts.norm)
    again = path_gradients(net, BATCH, [2, 1], draws=3)
    torch.testing.assert_close(again.norm, whole.norm[[2, 1]])
    assert not torch.allclose(path_gradients(net, BATCH, draws=3, seed=1).norm, whole.norm)


def test_the_papers_share_of_paths() -> None:
    assert share_of_paths(54, 5, 17) == pytest.approx(0.0045366, abs=1e-7)
    assert share_of_paths(54, 19, 35) == pytest.approx(binom(54, 0.5).cdf(35) - binom(54, 0.5).cdf(18))
    assert share_of_paths(2000, 0, 2000) == 1


def decaying(ratio: float) -> PathGradients:
    """54 blocks, and norms that fall by one factor from length to length."""
    norm = torch.tensor([ratio**k for k in range(55)], dtype=torch.float64)
    paths = torch.tensor([comb(54, k) / 2**54 for k in range(55)], dtype=torch.float64)
    names = tuple(map(str, range(54)))
    return PathGradients(
        blocks=names,
        forks=54,
        lengths=tuple(range(55)),
        images=1,
        draws=1,
        norm=norm,
        quartiles=torch.stack([norm, norm]),
        paths=paths,
        contribution=paths * norm,
    )


def test_shares_of_numpys_integers() -> None:
    assert share_of_paths(300, 0, np.uint8(255)) == share_of_paths(300, 0, 255)  # type: ignore[arg-type]


def test_effective_lengths_of_54_blocks() -> None:
    found = decaying(0.241)
    assert found.effective(0.95) == (5, 16)
    assert found.effective(0.975) == (5, 17)
    held = float(found.contribution[5:18].sum() / found.contribution.sum())
    assert held == pytest.approx(0.976, abs=5e-4)
    chance = binom(54, 0.241 / 1.241)  # C(n, k) r^k are binomial weights
    assert held == pytest.approx(chance.cdf(17) - chance.cdf(4))
    assert found.mean_length == pytest.approx(chance.mean())
    assert found.share_of_paths(5, 17) == pytest.approx(0.0045366, abs=1e-7)
    assert found.mean_length_of_all == 27


def test_the_network_is_as_it_was(spec: Spec) -> None:
    net = build(spec, num_classes=5, memory_efficient=True)
    with untouched(net):
        path_gradients(net, BATCH, draws=1)
        path_gradient(net, BATCH, [])
    raises_inside(net, lambda: path_gradients(net, BATCH, draws=1))
    raises_inside(net, lambda: path_gradient(net, BATCH, []))


def test_gradients_are_computed_also_where_the_caller_wants_none() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    expected = path_gradients(net, BATCH, draws=1).norm
    with torch.no_grad():
        assert torch.equal(path_gradients(net, BATCH, draws=1).norm, expected)
        assert not torch.is_grad_enabled()
    assert not IMAGES.requires_grad


def test_what_is_wrong_is_said() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    for wrong in (None, 3, [None], [["layer1.0"]]):
        with pytest.raises(ValueError, match="through must be a list of block names, got"):
            path_gradient(net, BATCH, wrong)  # type: ignore[arg-type]
    chosen = ["layer1.0", "layer2.0"]
    assert torch.equal(path_gradient(net, BATCH, iter(chosen)), path_gradient(net, BATCH, chosen))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"lengths must be a sequence of different integers from 0 to 3, 1 or more, got \(4,\)"):
        path_gradients(net, BATCH, [4])
    for wrong in (None, 3, [None], [["layer1.0"]]):
        with pytest.raises(ValueError, match="through must be a list of block names, got"):
            path_gradient(net, BATCH, wrong)  # type: ignore[arg-type]
    chosen = ["layer1.0", "layer2.0"]
    assert torch.equal(path_gradient(net, BATCH, iter(chosen)), path_gradient(net, BATCH, chosen))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"lengths must be a sequence of different integers from 3 to 3, 1 or more, got \(2,\)"):
        path_gradients(build(FAMILIES["plain"], num_classes=5), BATCH, [2])
    with pytest.raises(ValueError, match=r"got \(1, 1\)"):
        path_gradients(net, BATCH, [1, 1])
    with pytest.raises(ValueError, match="draws must be an integer of at least 1, got 0"):
        path_gradients(net, BATCH, draws=0)
    with pytest.raises(ValueError, match=r"through must name blocks of the network, .*'layer1.0'.*, got \['layer9'\]"):
        path_gradient(net, BATCH, ["layer1.0", "layer9"])
    with pytest.raises(ValueError, match=r"through must be a list of block names, got 'layer1\.0'"):
        path_gradient(net, BATCH, "layer1.0")
    for wrong in (None, 3, [None], [["layer1.0"]]):
        with pytest.raises(ValueError, match="through must be a list of block names, got"):
            path_gradient(net, BATCH, wrong)  # type: ignore[arg-type]
    chosen = ["layer1.0", "layer2.0"]
    assert torch.equal(path_gradient(net, BATCH, iter(chosen)), path_gradient(net, BATCH, chosen))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"lengths must be a sequence of different integers .* got 2$"):
        path_gradients(net, BATCH, 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch must be one pair of images and labels, got 2"):
        path_gradient(net, [BATCH, BATCH], ["layer1.0"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there are no images"):
        path_gradients(net, [])
    with pytest.raises(ValueError, match="no blocks with joins"):
        path_gradients(nn.Flatten(), BATCH)
    with pytest.raises(ValueError, match="must be a finite number, got nan"):
        path_gradients(net, (IMAGES * float("nan"), LABELS))
    found = path_gradients(net, BATCH, [0, 2], draws=1)
    with pytest.raises(ValueError, match=r"effective lengths need every length from 0 to 2, got \(0, 2\)"):
        found.effective()
    for share in (0, 1.5):
        with pytest.raises(ValueError, match=f"share must be above 0 and at most 1, got {share}"):
            found.effective(share)
    dead = path_gradients(logits_of(Times(-1.0), Times(0.0)), (pairs((1, 2)), torch.tensor([0])), [1, 2], draws=1)
    assert dead.norm[1] == 0
    with pytest.raises(ValueError, match=r"effective lengths need gradients: together the paths contribute 0\.0"):
        path_gradients(logits_of(Times(0.0)), (pairs((1, 2)), torch.tensor([0])), [1]).effective()


def test_it_is_kept_and_drawn(tmp_path: Path) -> None:
    found = path_gradients(build(FAMILIES["resnet"], num_classes=5), BATCH, draws=2)
    kept_exactly(found, tmp_path)
    axes = found.plot()
    assert list(axes.lines[0].get_ydata()) == found.norm.tolist()
    assert axes.get_yscale() == "log"
    assert found.plot(axes) is axes
    kept_exactly(path_gradients(build(FAMILIES["plain"], num_classes=5), BATCH), tmp_path)
