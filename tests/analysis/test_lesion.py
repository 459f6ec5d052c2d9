"""Deleted blocks: by hand, against networks whose branch is zero, one at a time and several at once."""

from copy import deepcopy
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import torch
from families import FAMILIES
from hand import Times, Wrapped, kept_exactly, logits_of, nll, pairs
from torch import nn
from untouched import raises_inside, untouched

from resnetlib import BasicBlock, Spec, build
from resnetlib.analysis import Perturbation, block_survival, blocks_of, lesion, lesion_many
from resnetlib.analysis.perturb import from_each_block, score
from resnetlib.modules import Block, PadShortcut, Replace

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])
DATA = [(IMAGES[:4], LABELS[:4]), (IMAGES[4:], LABELS[4:])]


class PlainImage(nn.Module):
    """What a deleted plain block does."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        same = block.in_channels == block.out_channels and block.stride == 1
        self.image = nn.Identity() if same else PadShortcut(block.in_channels, block.out_channels, stride=block.stride)
        self.out = block.out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.image(x))


def without(net: nn.Module, *names: str) -> nn.Module:
    """A copy of the network in which the named blocks do nothing."""
    net = deepcopy(net).eval()
    for name in names:
        block = net.get_submodule(name)
        assert isinstance(block, Block)
        if block.join.uses_skip:
            block.zero_branch_()
        else:
            net.set_submodule(name, PlainImage(block))
    return net


def scored(net: nn.Module) -> tuple[float, float]:
    with torch.no_grad():
        logits = net(IMAGES)
    return 100 * float((logits.argmax(1) != LABELS).float().mean()), float(nn.functional.cross_entropy(logits, LABELS))


def test_by_hand() -> None:
    # logits are 2 * -2 * x: without the first block -2 x, without the second one 2 x
    found = lesion(logits_of(Times(1.0), Times(-3.0)), (pairs((1, 2), (1, 0)), torch.tensor([0, 0])))
    assert found.blocks == ("0", "1")
    assert (found.clean_error, found.images, found.chance_error) == (50, 2, 50)
    assert found.clean_loss == pytest.approx((nll(4) + nll(-4)) / 2)
    assert found.error.tolist() == [50, 50]
    assert found.loss.tolist() == pytest.approx([(nll(2) + nll(-2)) / 2] * 2)
    found = lesion(logits_of(Times(1.0), Times(-3.0)), (pairs((1, 2)), torch.tensor([0])))
    assert found.error.tolist() == [0, 100]
    assert found.loss.tolist() == pytest.approx([nll(2), nll(-2)])


def test_a_plain_block_by_hand() -> None:
    found = lesion(logits_of(Times(-1.0, Replace()), Times(2.0, Replace())), (pairs((1, 2)), torch.tensor([0])))
    assert found.error.tolist() == [100, 0]  # 2 x, and -x
    assert found.deleted_output == ("its input", "its input")


def test_against_networks_without_the_branch(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    found = lesion(net, iter(DATA))
    whole = scored(deepcopy(net).eval())
    assert found.clean_error == pytest.approx(whole[0], rel=1e-6)
    assert found.clean_loss == pytest.approx(whole[1], rel=1e-5)
    assert found.chance_error == 80
    expected = [scored(without(net, name)) for name in blocks_of(net)]
    assert found.error.tolist() == pytest.approx([error for error, _ in expected], rel=1e-6)
    assert found.loss.tolist() == pytest.approx([loss for _, loss in expected], rel=1e-5)


def test_what_remains_is_said() -> None:
    remains = {key: lesion(build(FAMILIES[key], num_classes=5), DATA).deleted_output[1:] for key in ("plain", "resnet", "densenet")}
    assert remains["plain"] == ("its input", "shortcut A of its input")
    assert remains["resnet"] == ("its input", "its shortcut")
    assert set(remains["densenet"]) == {"its input and channels of zeros"}
    assert lesion(build(FAMILIES["resnet"], num_classes=5), DATA).changes_shape == (False, False, True)
    assert not any(lesion(build(FAMILIES["densenet"], num_classes=5), DATA).changes_shape)


def test_what_is_not_computed_again_makes_no_difference(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    assert torch.equal(lesion(net, DATA).loss, lesion(Wrapped(net), DATA).loss)


def test_hooks_of_others_are_heard() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    net.get_submodule("layer1").register_forward_hook(lambda module, arguments, y: 2 * y)
    assert torch.equal(lesion(net, DATA).loss, lesion(Wrapped(net), DATA).loss)


def test_a_block_that_runs_twice_is_deleted_twice() -> None:
    block = Times(-3.0)
    found = lesion(logits_of(block, block, Times(1.0)), (pairs((1, 2)), torch.tensor([1])))
    assert found.blocks == ("0", "2")
    assert found.loss.tolist() == pytest.approx([nll(2), nll(4)], rel=1e-5)


def test_a_network_that_overflows_knows_nothing() -> None:
    wrong, _, loss = score(torch.tensor([[float("nan"), 0.0], [1.0, 0.0]]), torch.tensor([0, 0]), torch.tensor([0, 0])).tolist()
    assert wrong == 1
    assert loss != loss


def test_several_by_hand() -> None:
    net = logits_of(*(Times(-3.0) for _ in range(4)))  # each turns the sign, whichever they are
    found = lesion_many(net, (pairs((1, 2)), torch.tensor([1])), range(5), draws=3)
    assert found.error.tolist() == [[0] * 3, [100] * 3, [0] * 3, [100] * 3, [0] * 3]
    assert found.quantile(0.5).tolist() == [0, 100, 0, 100, 0]
    assert lesion_many(net, (pairs((1, 2)), torch.tensor([1]))).values == (1, 2, 3, 4)


def test_what_has_no_draws_has_no_quantiles_over_draws() -> None:
    net = logits_of(Times(-3.0), Times(-3.0))
    with pytest.raises(ValueError, match=r"lesion has no draws, so use error\.quantile\(q, dim\)"):
        lesion(net, (pairs((1, 2)), torch.tensor([1]))).quantile(0.5)
    with pytest.raises(ValueError, match="block_survival has no draws"):
        block_survival(net, (pairs((1, 2)), torch.tensor([1]))).quantile(0.5)


def test_layers_before_a_block_run_once(spec: Spec) -> None:
    net, ran = build(spec).eval(), list[nn.Module]()
    blocks, expected = blocks_of(net), net(IMAGES)
    runs = from_each_block(net, blocks, IMAGES)
    first = next(runs)  # a hook that exists now would keep the network whole
    for block in blocks.values():
        block.register_forward_hook(lambda block, _, __: ran.append(block))
    for i, (_, _, logits) in enumerate(chain([first], runs)):
        ran.clear()
        assert torch.equal(logits(), expected)
        assert ran == [*blocks.values()][i:]


def test_all_and_one_against_networks_without_the_branch(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    names = list(blocks_of(net))
    found = lesion_many(net, DATA, [0, 1, len(names)], draws=4)
    assert found.error[0].tolist() == pytest.approx([scored(deepcopy(net).eval())[0]] * 4)
    assert found.error[2].tolist() == pytest.approx([scored(without(net, *names))[0]] * 4)
    singles = lesion(net, DATA).error.tolist()
    assert all(error in singles for error in found.error[1].tolist())


def test_draws_differ_and_are_the_same_again() -> None:
    net = logits_of(*(Times(factor) for factor in (-3.0, 1.0, 1.0, 1.0, 1.0, 1.0)))
    data = pairs((1, 2)), torch.tensor([0])
    found = lesion_many(net, data, [1, 3], draws=20)
    assert set(found.error[1].tolist()) == {0.0, 100.0}  # without the first block the sign is another
    assert (found.error[1] >= found.error[0]).all()  # what was deleted stays deleted
    assert torch.equal(found.error, lesion_many(net, data, [1, 3], draws=20).error)
    assert torch.equal(found.error[:, :5], lesion_many(net, data, [1, 3], draws=5).error)
    assert not torch.equal(found.error, lesion_many(net, data, [1, 3], draws=20, seed=1).error)


def test_blocks_that_change_the_shape_can_be_spared() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    found = lesion_many(net, DATA, draws=1, which="same shape")
    assert found.blocks == ("layer1.0", "layer1.1")
    assert found.values == (1, 2)


def test_the_network_is_as_it_was(spec: Spec) -> None:
    net = build(spec, num_classes=5, memory_efficient=True)
    with untouched(net):
        lesion(net, DATA)
        lesion_many(net, DATA, [2], draws=1)
    raises_inside(net, lambda: lesion(net, DATA))
    raises_inside(net, lambda: lesion_many(net, DATA, [2], draws=1))


def test_mixed_precision_is_the_callers() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    with torch.autocast("cpu", torch.bfloat16):
        found = lesion(net, DATA)
    exact = lesion(net, DATA)
    assert not torch.equal(found.loss, exact.loss)
    torch.testing.assert_close(found.loss, exact.loss, rtol=0.05, atol=0)


def test_what_is_wrong_is_said() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    with pytest.raises(ValueError, match="Linear has no blocks with joins"):
        lesion(nn.Linear(2, 2), (torch.zeros(1, 2), torch.tensor([0])))
    with pytest.raises(ValueError, match="there are no images"):
        lesion(net, [])
    with pytest.raises(ValueError, match="labels are missing"):
        lesion(net, IMAGES)
    with pytest.raises(ValueError, match="labels must be 0 to 1, the numbers of the network's logits, got 7"):
        lesion(logits_of(Times(1.0)), (pairs((1, 2)), torch.tensor([7])))
    with pytest.raises(ValueError, match=r"must return logits \(N, classes\), got a tensor of shape \(1, 2, 1, 1\)"):
        lesion(nn.Sequential(Times(1.0)), (pairs((1, 2)), torch.tensor([0])))
    with pytest.raises(ValueError, match="loss on these images must be a finite number, got nan"):
        lesion(net, (IMAGES * float("nan"), LABELS))
    with pytest.raises(ValueError, match=r"counts must be a sequence of different integers from 0 to 3, 1 or more, got \(4,\)"):
        lesion_many(net, DATA, [4])
    with pytest.raises(ValueError, match="draws must be an integer of at least 1, got 0"):
        lesion_many(net, DATA, draws=0)
    with pytest.raises(ValueError, match="which must be 'all' or 'same shape', got 'some'"):
        lesion_many(net, DATA, which="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"counts must be a sequence .* got 3$"):
        lesion_many(net, DATA, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no block keeps the shape of its input, so which='same shape' selects none of 0"):
        lesion_many(nn.Sequential(BasicBlock(3, 5, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), DATA, which="same shape")
    narrowing = nn.Sequential(BasicBlock(3, 2, join=Replace), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match=r"block 0 has no skip, and shortcut A cannot replace it from \(3, 16, 16\) to \(2, 1"):
        lesion(narrowing, (IMAGES, torch.zeros(6, dtype=torch.long)))


def test_they_are_kept_and_drawn(tmp_path: Path) -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    one, many = lesion(net, DATA), lesion_many(net, DATA, draws=3)
    kept_exactly(one, tmp_path)
    kept_exactly(many, tmp_path)
    axes = one.plot()
    assert [bar.get_height() for bar in axes.patches] == one.error.tolist()
    assert one.plot(axes) is axes
    axes = many.plot()
    assert list(axes.lines[0].get_ydata()) == many.quantile(0.5).tolist()
    assert many.plot(axes) is axes


def test_blocks_are_named_in_the_figure() -> None:
    result = Perturbation(
        kind="lesion", blocks=tuple(f"layer1.{i}" for i in range(9)), images=1000, clean_error=10.0, chance_error=90.0,
        error=torch.full((9,), 20.0), changes_shape=(False,) * 9,
    )  # fmt: skip
    axes = result.plot()
    assert [label.get_text() for label in axes.get_xticklabels()] == list(result.blocks)
    assert axes.get_title() == "Error without one block, on 1,000 images"
    many = replace(result, blocks=tuple(f"layer1.{i}" for i in range(54)), error=torch.ones(54), changes_shape=(False,) * 54)
    assert [label.get_text() for label in many.plot().get_xticklabels()] == list(many.blocks[::2])
