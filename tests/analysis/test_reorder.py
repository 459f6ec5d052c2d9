"""Blocks in other orders: by hand, against copies whose weights were exchanged, and Kendall's tau against scipy's."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from families import FAMILIES
from hand import Times, kept_exactly, logits_of, pairs
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau
from torch import nn
from untouched import raises_inside, untouched

from resnetlib import BasicBlock, PreActBasicBlock, build
from resnetlib.analysis import blocks_of, kendall_tau, reorder
from resnetlib.modules import Replace

IMAGES = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(5, (64,), generator=torch.Generator().manual_seed(1))
DATA = [(IMAGES[:40], LABELS[:40]), (IMAGES[40:], LABELS[40:])]


@given(st.permutations(range(12)))
def test_tau_is_scipys(order: list[int]) -> None:
    assert kendall_tau(order) == pytest.approx(kendalltau(range(12), order).statistic)


def test_tau_by_hand() -> None:
    assert kendall_tau([1, 0, 2]) == pytest.approx(1 / 3)
    assert kendall_tau([5, 7]) == 1
    assert kendall_tau(torch.tensor([1, 0, 2])) == pytest.approx(1 / 3)  # type: ignore[arg-type]
    for wrong in ([], [1], 3):
        with pytest.raises(ValueError, match="order must be a sequence of finite numbers, 2 or more"):
            kendall_tau(wrong)  # type: ignore[arg-type]
    for equal in ([1, 1], torch.tensor([1, 1])):
        with pytest.raises(ValueError, match=r"order must be different numbers, got \(1\.0, 1\.0\)"):
            kendall_tau(equal)  # type: ignore[arg-type]


class Affine(Times):
    """F(x) = factor x + (0, shift), with parameters, which are what changes places."""

    def __init__(self, factor: float, shift: float) -> None:
        super().__init__(factor, Replace())
        self.weight, self.bias = nn.Parameter(torch.tensor(factor)), nn.Parameter(torch.tensor([0.0, shift]).view(2, 1, 1))

    def branch(self, h: torch.Tensor) -> torch.Tensor:
        return self.weight * h + self.bias


def test_by_hand() -> None:
    net = logits_of(Affine(2.0, 0.0), Affine(1.0, 1.5))
    # (1, 0) -> (2, 0) -> (2, 1.5), and the other way round (1, 0) -> (1, 1.5) -> (2, 3)
    found = reorder(net, (pairs((1, 0), (1, 0)), torch.tensor([0, 1])), [0, 1, 2, 3], draws=2)
    assert found.error.tolist() == [[50, 50]] * 4
    found = reorder(net, (pairs((1, 0)), torch.tensor([0])), [0, 1, 2, 3], draws=2)
    assert found.error.tolist() == [[0, 0], [100, 100], [0, 0], [100, 100]]
    assert found.tau.tolist() == [[1, 1], [-1, -1], [1, 1], [-1, -1]]
    assert (found.clean_error, found.chance_error, found.groups) == (0, 50, (("0", "1"),))


@pytest.mark.parametrize("key", ["resnet", "plain", "preact", "resnet-fixup", "resnet-scaled", "plain-preact"])
def test_against_a_copy_with_exchanged_weights(key: str) -> None:
    net = build(FAMILIES[key], num_classes=5)
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_floating_point():
            tensor.data.add_(0.2 * torch.rand(tensor.shape))  # statistics and alphas of their own for each block
    other = deepcopy(net).eval()
    other.layer1[0].load_state_dict(net.layer1[1].state_dict())  # type: ignore[union-attr]
    other.layer1[1].load_state_dict(net.layer1[0].state_dict())  # type: ignore[union-attr]
    other.fc.bias.data = net.fc.bias.data = net.fc.bias.data - other(IMAGES).mean(0).detach()  # type: ignore[union-attr]
    with torch.no_grad():
        labels = other(IMAGES).argmax(1)  # in the other order all are right
    assert labels.unique().numel() > 1
    found = reorder(net, (IMAGES, labels), [0, 1, 2], draws=2)
    assert found.groups == (("layer1.0", "layer1.1"),)
    assert found.error[1].tolist() == [0, 0] != [found.clean_error] * 2
    assert found.error[0].tolist() == found.error[2].tolist() == [found.clean_error] * 2
    assert found.tau.tolist() == [[1, 1], pytest.approx([1 / 3, 1 / 3]), [1, 1]]


def test_it_makes_a_difference() -> None:
    net = nn.Sequential(*(BasicBlock(3, 3, join=Replace) for _ in range(6)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = reorder(net, (IMAGES, LABELS % 3), range(1, 8), draws=3)
    assert found.error.unique().numel() > 3
    assert (found.tau[0] < 1).all()
    assert found.tau.unique().numel() > 3
    assert torch.equal(found.error, reorder(net, (IMAGES, LABELS % 3), range(1, 8), draws=3).error)
    assert torch.equal(found.error[2:3, :2], reorder(net, (IMAGES, LABELS % 3), [3], draws=2).error)


def test_blocks_of_other_classes_shapes_and_structures_keep_their_places() -> None:
    dilated = BasicBlock(3, 3)
    dilated.conv1.dilation = dilated.conv1.padding = (2, 2)
    net = nn.Sequential(
        BasicBlock(3, 3), PreActBasicBlock(3, 3), BasicBlock(3, 3, shortcut="C"), dilated, BasicBlock(3, 3), nn.MaxPool2d(2),
        BasicBlock(3, 3), PreActBasicBlock(3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    found = reorder(net, (IMAGES[:4], LABELS[:4] % 3), [1], draws=1)
    assert found.groups == (("0", "4"),)
    assert found.blocks == tuple(blocks_of(net))


def test_the_first_plain_block_of_a_stage_keeps_its_place() -> None:
    net = build(replace(FAMILIES["plain-bottleneck"], depths=(3, 2)), num_classes=5)
    assert reorder(net, DATA, [1], draws=1).groups == (("layer1.1", "layer1.2"),)


def test_blocks_that_are_dropped_at_random_can_change_places() -> None:
    net = build(replace(FAMILIES["resnet"], depths=(3, 1)), num_classes=5, drop_path_rate=0.5)
    assert reorder(net, DATA, [1], draws=1).groups == (("layer1.0", "layer1.1", "layer1.2"),)


@pytest.mark.parametrize("key", ["resnet", "plain"])
def test_the_network_is_as_it_was(key: str) -> None:
    net = build(FAMILIES[key], num_classes=5, memory_efficient=True)
    with untouched(net):
        reorder(net, DATA, [1], draws=1)
    raises_inside(net, lambda: reorder(net, DATA, [1], draws=1))


def test_it_comes_back_also_when_it_fails_in_the_other_order() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    runs = []

    class LateError(RuntimeError):
        pass

    def fail(*_: object) -> None:
        runs.append(1)
        if len(runs) > 1 + len(DATA):  # one for the shapes, and the intact network's
            raise LateError

    handle = net.fc.register_forward_hook(fail)  # type: ignore[operator]
    with untouched(net), pytest.raises(LateError):
        reorder(net, DATA, [1], draws=1)
    handle.remove()


def test_what_is_wrong_is_said() -> None:
    for key in ("densenet", "resnet-c", "resnet-bottleneck"):
        with pytest.raises(ValueError, match="blocks can be swapped: none have the same structure and keep the shape"):
            reorder(build(FAMILIES[key], num_classes=5), DATA)
    net = build(FAMILIES["resnet"], num_classes=5)
    with pytest.raises(ValueError, match=r"swaps must be a sequence of different integers from 0 to 1000000, .* got \(-1,\)"):
        reorder(net, DATA, [-1])
    with pytest.raises(ValueError, match=r"swaps must be a sequence .* got 5$"):
        reorder(net, DATA, 5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="draws must be an integer of at least 1, got -2"):
        reorder(net, DATA, draws=-2)
    with pytest.raises(ValueError, match="there are no images"):
        reorder(net, [])
    with pytest.raises(ValueError, match="no blocks with joins"):
        reorder(nn.Flatten(), DATA)


def test_it_is_kept_and_drawn(tmp_path: Path) -> None:
    found = reorder(build(FAMILIES["resnet"], num_classes=5), DATA, [1, 2], draws=2)
    kept_exactly(found, tmp_path)
    axes = found.plot()
    assert list(axes.lines[0].get_ydata()) == found.error.flatten().tolist()
    assert found.plot(axes) is axes
