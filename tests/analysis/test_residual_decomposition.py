"""x_L = x_l + sum F(x_i): by hand, against a direct forward, in every family, and the network is as it was."""

from pathlib import Path

import pytest
import torch
from families import FAMILIES
from hand import Times
from torch import nn
from untouched import raises_inside, untouched

from resnetlib import BasicBlock, Concat, PreActBasicBlock, Spec, build
from resnetlib.analysis import ResidualDecomposition, residual_decomposition
from resnetlib.modules import Add

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_by_hand() -> None:
    found = residual_decomposition(
        nn.Sequential(Times(1.0, channels=1), Times(0.5, channels=1), Times(-2.0, channels=1)), torch.full((2, 1, 1, 1), 2.0)
    )
    # x = 2, 4, 6, -6: the branches give 2, 2, -12
    assert found.blocks == ("0", "1", "2")
    assert found.chains == ((0, 3),)
    assert found.branch_energy.tolist() == [4.0, 4.0, 144.0]
    assert found.share.tolist() == pytest.approx([-1 / 3, -1 / 3, 2])
    assert found.share_of_skip.tolist() == pytest.approx([-1 / 3])
    assert found.deviation == found.deviation_with_out == (0.0,)


def test_a_relu_behind_the_sum_is_what_deviates() -> None:
    found = residual_decomposition(
        nn.Sequential(Times(-3.0, relu=True, channels=1), Times(0.0, channels=1)), torch.full((1, 1, 1, 1), 2.0)
    )
    assert found.deviation == (float("inf"),)  # x_L is 0, and the sum without the relu -4
    found = residual_decomposition(
        nn.Sequential(Times(-3.0, relu=True, channels=1), Times(1.0, channels=1)), torch.tensor([2.0, -1.0]).view(2, 1, 1, 1)
    )
    # 2 -> -4 -> 0 -> 0, and -1 -> 2 -> 2 -> 4: the largest |x_L| is 4, and the relu took 4 away
    assert found.deviation == (1.0,)
    assert found.deviation_with_out == (0.0,)
    assert found.out_energy.tolist() == [8.0, 0.0]


def test_against_a_direct_forward() -> None:
    net = build(FAMILIES["preact"], num_classes=5).eval()
    found = residual_decomposition(net, [(IMAGES[:2], torch.zeros(2)), IMAGES[2:]])
    with torch.no_grad():
        x = net.conv1(IMAGES)
        first, second = net.layer1
        parts = [first.branch(first.pre(x))]
        parts.append(second.branch(second.pre(x + parts[0])))
        last = x + parts[0] + parts[1]
    expected = [float((last * part).sum() / last.square().sum()) for part in parts]
    torch.testing.assert_close(found.share[:2], torch.tensor(expected, dtype=torch.float64), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.branch_energy[0], parts[0].double().square().sum() / 4, rtol=1e-5, atol=0)
    assert found.images == 4


def test_it_holds_in_every_family_but_the_plain_ones(spec: Spec) -> None:
    found = residual_decomposition(build(spec, num_classes=5), IMAGES)
    if getattr(spec, "join", "concat") == "replace":
        assert max(found.deviation_with_out) > 0.1
        return
    assert max(found.deviation_with_out) < 1e-5
    starts = [first for first, _ in found.chains]
    for i, (first, last) in enumerate(zip(starts, [*starts[1:], len(found.blocks)], strict=True)):
        whole = found.share[first:last].sum() + found.share_of_skip[i] + found.share_of_out[i]
        torch.testing.assert_close(whole, torch.ones((), dtype=torch.float64), rtol=1e-4, atol=0)
    if getattr(spec, "order", "pre") == "pre":
        assert max(found.deviation) < 1e-5
    else:
        assert max(found.deviation) > 1e-2


def test_a_term_is_the_branch_and_not_what_is_left() -> None:
    """A join that loses something of the skip is found out."""

    class Leaky(Add):
        def forward(self, skip: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
            return 0.5 * skip + branch

    leaky = Times(1.0, channels=1)
    leaky.join = Leaky()
    found = residual_decomposition(nn.Sequential(Times(1.0, channels=1), leaky), torch.full((1, 1, 1, 1), 2.0))
    # x = 2, 4, then 2 + 4 = 6; the sum is 2 + 2 + 4 = 8
    assert found.deviation == (pytest.approx(1 / 3),)


def test_the_network_is_as_it_was(spec: Spec) -> None:
    net = build(spec, num_classes=5, memory_efficient=True)
    with untouched(net):
        residual_decomposition(net, IMAGES)
    raises_inside(net, lambda: residual_decomposition(net, IMAGES))


def test_a_mixture_of_blocks() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), PreActBasicBlock(8, 8), BasicBlock(8, 16, stride=2), BasicBlock(16, 16), nn.ReLU())
    found = residual_decomposition(net, IMAGES)
    assert found.chains == ((0, 1), (1, 3))
    assert found.deviation[0] < 1e-6 < found.deviation[1]


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="Sequential has no blocks with joins"):
        residual_decomposition(nn.Sequential(nn.Conv2d(3, 8, 3)), IMAGES)
    net = build(FAMILIES["resnet"], num_classes=5)
    with pytest.raises(ValueError, match="there are no images"):
        residual_decomposition(net, [])
    with pytest.raises(ValueError, match="there are no images"):
        residual_decomposition(net, IMAGES[:0])


@pytest.mark.parametrize("name", ["found.json", "found.safetensors"])
def test_it_is_saved_and_loaded_exactly(name: str, tmp_path: Path) -> None:
    found = residual_decomposition(build(FAMILIES["densenet"], num_classes=5), IMAGES)
    found.save(tmp_path / name)
    again = ResidualDecomposition.load(tmp_path / name)
    for field in ResidualDecomposition.__dataclass_fields__:
        one, other = getattr(found, field), getattr(again, field)
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other, field


def test_it_is_drawn() -> None:
    net = nn.Sequential(PreActBasicBlock(3, 3), PreActBasicBlock(3, 3, join=Add))
    found = residual_decomposition(net, IMAGES)
    axes = found.plot()
    assert [bar.get_height() for bar in axes.patches[:2]] == found.share.tolist()
    assert found.plot(axes) is axes
    assert isinstance(Concat(), nn.Module)
