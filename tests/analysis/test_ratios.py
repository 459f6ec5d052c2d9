"""||F(x)|| / ||skip||: by hand, and against a direct forward."""

from math import nan, sqrt

import pytest
import torch
from families import FAMILIES
from hand import Times
from torch import nn

from resnetlib import Add, Concat, Replace, ScaledAdd, build
from resnetlib.analysis import branch_ratio
from resnetlib.modules import Join

IMAGES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("join", "ratio"), [(Add(), 3.0), (ScaledAdd(-0.5), 1.5), (Replace(), 3.0), (Concat(), 3.0)], ids=lambda v: str(v)
)
def test_by_hand(join: Join, ratio: float) -> None:
    found = branch_ratio(nn.Sequential(Times(-3.0, join=join)), torch.randn(3, 2, 4, 4))
    assert found.ratio.tolist() == pytest.approx([ratio])


def test_it_is_the_mean_of_the_images_ratios() -> None:
    class Shift(Times):
        def branch(self, h: torch.Tensor) -> torch.Tensor:
            return torch.ones_like(h)

    x = torch.tensor([1.0, 1.0, 2.0, 0.0]).view(2, 2, 1, 1)
    found = branch_ratio(nn.Sequential(Shift(0.0)), (x[:1], torch.zeros(1)))
    assert found.ratio.tolist() == [1.0]
    found = branch_ratio(nn.Sequential(Shift(0.0)), iter([x[:1], x[1:]]))
    assert found.ratio.tolist() == pytest.approx([(1 + sqrt(2) / 2) / 2])  # and not sqrt(4) / sqrt(6)
    assert found.images == 2


def test_against_a_direct_forward() -> None:
    net = build(FAMILIES["resnet"]).eval()
    found = branch_ratio(net, [IMAGES[:2], IMAGES[2:]])
    expected = []
    with torch.no_grad():
        x = net.relu(net.bn1(net.conv1(IMAGES)))
        for block in (*net.layer1, *net.layer2):
            skip = x if block.downsample is None else block.downsample(x)
            expected.append((block.branch(x).flatten(1).norm(dim=1) / skip.flatten(1).norm(dim=1)).mean())
            x = block(x)
    torch.testing.assert_close(found.ratio, torch.stack(expected).double(), rtol=1e-5, atol=0)


def test_a_plain_block_is_compared_with_its_input_where_shapes_allow() -> None:
    found = branch_ratio(build(FAMILIES["plain"]), IMAGES)
    assert [value > 0 for value in found.ratio.tolist()] == [True, True, False]
    assert found.ratio[2].isnan()
    assert found.median == pytest.approx(float(found.ratio[:2].mean()))
    assert found.plot(descending=True).lines[0].get_ydata().tolist() == sorted(found.ratio[:2].tolist(), reverse=True)
    assert found.plot().lines[0].get_ydata().tolist() == pytest.approx([*found.ratio[:2].tolist(), nan], nan_ok=True)


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="Sequential has no blocks with joins"):
        branch_ratio(nn.Sequential(nn.Conv2d(3, 3, 1)), IMAGES)
    with pytest.raises(ValueError, match="there are no images"):
        branch_ratio(build(FAMILIES["resnet"]), IMAGES[:0])
