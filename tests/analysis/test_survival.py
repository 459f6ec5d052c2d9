"""Branches that shrink: by hand, and against copies whose branch ends in smaller weights."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from families import FAMILIES
from hand import Times, Wrapped, kept_exactly, logits_of, pairs
from torch import nn
from untouched import raises_inside, untouched

from resnetlib import Spec, build
from resnetlib.analysis import block_survival, blocks_of, lesion
from resnetlib.modules import PadShortcut, Replace

IMAGES = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 5
DATA = [(IMAGES[:5], LABELS[:5]), (IMAGES[5:], LABELS[5:])]


def test_by_hand() -> None:
    # x (1 - 3 f), x (1 + f), and both: the sign turns where f is below 1/3
    found = block_survival(logits_of(Times(-3.0), Times(1.0)), (pairs((1, 2), (2, 1)), torch.tensor([0, 0])))
    assert found.values == (1, 0.75, 0.5, 0.25, 0)
    assert found.changed.tolist() == [[0, 0, 0, 100, 100], [0] * 5]
    assert found.changed_all.tolist() == [0, 0, 0, 100, 100]
    assert found.error.tolist() == [[50] * 5] * 2
    found = block_survival(logits_of(Times(-3.0), Times(-3.0)), (pairs((1, 2), (1, 3)), torch.tensor([0, 1])), [1, 0.25])
    assert (found.clean_error, found.chance_error, found.images) == (50, 50, 2)
    assert found.changed.tolist() == [[0, 100]] * 2
    assert found.changed_all.tolist() == [0, 0]  # the sign turns twice
    assert found.error_all.tolist() == [50, 50]


def test_a_plain_block_by_hand() -> None:
    # x + f (-x - x): the sign turns at 1/2, and the other block's never
    found = block_survival(
        logits_of(Times(-1.0, Replace()), Times(2.0, Replace())), (pairs((1, 2)), torch.tensor([0])), [1, 0.75, 0.25, 0]
    )
    assert found.changed.tolist() == [[0, 0, 100, 100], [0] * 4]
    assert found.error.tolist() == [[0, 0, 100, 100], [0] * 4]
    assert found.deleted_output == ("its input", "its input")


def shrunk(net: nn.Module, names: list[str], factor: float) -> torch.Tensor:
    """The logits of a copy in which the named branches end in smaller weights; plain ones, in another join."""
    net = deepcopy(net).eval()
    for name in names:
        block = net.get_submodule(name)
        last = [child for child in block.children() if isinstance(child, nn.Conv2d | nn.BatchNorm2d | nn.GroupNorm)][-1]
        if block.join.uses_skip:
            with torch.no_grad():
                for parameter in last.parameters():
                    parameter.mul_(factor)
        else:
            block.join = Between(factor)
    with torch.no_grad():
        return net(IMAGES)


class Between(Replace):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, skip: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
        stride = skip.shape[2] // branch.shape[2]
        image = PadShortcut(skip.shape[1], branch.shape[1], stride=stride)(skip)
        return self.factor * branch + (1 - self.factor) * image


@pytest.mark.parametrize("key", [key for key in FAMILIES if "fixup" not in key])
def test_against_a_changed_copy(key: str) -> None:
    net = build(FAMILIES[key], num_classes=5)
    if key == "resnet-scaled":
        nn.init.constant_(net.layer1[0].join.alpha, 0.7)  # type: ignore[union-attr, index, arg-type]
    names = list(blocks_of(net))
    found = block_survival(net, DATA, [0.5])
    before = shrunk(net, [], 1).argmax(1)
    for row, some in [*enumerate([name] for name in names), (None, names)]:
        after = shrunk(net, some, 0.5).argmax(1)
        changed = found.changed_all if row is None else found.changed[row]
        error = found.error_all if row is None else found.error[row]
        assert float(changed) == pytest.approx(100 * float((after != before).double().mean()))
        assert float(error) == pytest.approx(100 * float((after != LABELS).double().mean()))


def test_at_its_ends_it_is_the_whole_network_and_the_lesion(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    found, without = block_survival(net, DATA, [0, 1]), lesion(net, DATA)
    assert torch.equal(found.error[:, 0], without.error)
    assert found.deleted_output == without.deleted_output
    assert (found.changed[:, 1] == 0).all()
    assert (found.error[:, 1] == found.clean_error).all()
    assert found.changed_all[1] == 0


def test_what_is_not_computed_again_makes_no_difference(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    one, other = (block_survival(each, DATA, [0.5]) for each in (net, Wrapped(net)))
    assert torch.equal(one.changed, other.changed)
    assert torch.equal(one.error_all, other.error_all)


def test_the_network_is_as_it_was(spec: Spec) -> None:
    net = build(spec, num_classes=5, memory_efficient=True)
    with untouched(net):
        block_survival(net, DATA, [0.5])
    raises_inside(net, lambda: block_survival(net, DATA, [0.5]))


def test_what_is_wrong_is_said() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    for wrong in ([], [float("nan")], [1, float("inf")], 0.5, "1"):
        with pytest.raises(ValueError, match="factors must be a sequence of finite numbers, 1 or more, got"):
            block_survival(net, DATA, wrong)
    with pytest.raises(ValueError, match="there are no images"):
        block_survival(net, [])
    with pytest.raises(ValueError, match="no blocks with joins"):
        block_survival(nn.Flatten(), DATA)


def test_it_is_kept_and_drawn(tmp_path: Path) -> None:
    found = block_survival(build(FAMILIES["resnet"], num_classes=5), DATA, [1, 0, 0.5])
    kept_exactly(found, tmp_path)
    axes = found.plot()
    assert list(axes.lines[-1].get_xdata()) == [0, 0.5, 1]
    assert list(axes.lines[-1].get_ydata()) == found.changed_all[[1, 2, 0]].tolist()
    assert found.plot(axes) is axes
