"""Norms are folded into the convolutions before them where that is right, and only there."""

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from resnetlib import Spec, build
from resnetlib.analysis.landscape.folding import folded, pairs_in, without_norms
from resnetlib.analysis.landscape.points import Points, own

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def points_of(net: nn.Module, *, precision: str = "fp32", batch_norm: str = "running") -> Points:
    still = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters()}
    data = [(IMAGES.to(next(net.parameters()).dtype), torch.zeros(4, dtype=torch.long))]
    choices = {"batch_norm": batch_norm, "precision": precision, "loss": F.cross_entropy}
    return Points(net.eval(), [still], data, **choices)  # type: ignore[arg-type]


def folded_in(net: nn.Module) -> list[str]:
    return [f"{conv} {norm}" for conv, norm in points_of(net).pairs]


def test_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0)).eval()
    state = {"0.weight": torch.full((1, 1, 1, 1), 3.0), "0.bias": torch.tensor([5.0])}
    state |= {"1.weight": torch.tensor([7.0]), "1.bias": torch.tensor([11.0])}
    state |= {"1.running_mean": torch.tensor([1.0]), "1.running_var": torch.tensor([4.0]), "1.num_batches_tracked": torch.tensor(1)}
    without, pairs = without_norms(own(net), [("0", "1")])
    new = folded(state, pairs)
    assert {name: tensor.item() for name, tensor in new.items()} == {"0.weight": 3 * 7 / 2, "0.bias": (5 - 1) * 7 / 2 + 11}
    assert isinstance(without[1], nn.Identity)  # type: ignore[index]
    assert isinstance(net[1], nn.BatchNorm2d)


def test_all_norms_of_a_post_activation_network_are() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    norms = [name for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert sorted(pair.split()[1] for pair in folded_in(net)) == sorted(norms)


def test_what_a_skip_connection_reads_too_is_not() -> None:
    pairs = folded_in(build(FAMILIES["preact"], num_classes=5))
    assert pairs == [f"{block}.conv1 {block}.norm2" for block in ("layer1.0", "layer1.1", "layer2.0")]
    net = build(FAMILIES["preact"], num_classes=5)
    for block in net.blocks():  # type: ignore[operator]
        block.zero_branch_()  # hides what the norms do
    assert folded_in(net) == pairs


def test_the_output_is_the_same(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    with torch.no_grad():
        net(IMAGES + 0.5)
    found = points_of(net)
    state = {name: tensor.detach() for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        torch.testing.assert_close(torch.func.functional_call(found.without, folded(state, found.pairs), (IMAGES,)), net(IMAGES))


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.other = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.norm(self.conv(x)) + self.conv(x)).mean((2, 3))


def test_what_runs_twice_or_is_watched_or_shares_its_weight_is_not() -> None:
    assert folded_in(Shared()) == []
    net = nn.Sequential(
        nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    assert folded_in(net) == ["0 1", "2 3"]
    handle = net[1].register_forward_hook(lambda *_: None)
    assert folded_in(net) == ["2 3"]
    handle.remove()
    net[2].weight = net[0].weight
    assert folded_in(net) == []


def test_nothing_is_left_behind() -> None:
    net = build(FAMILIES["resnet"], num_classes=5).eval()
    assert len(pairs_in(net, IMAGES)) == 8
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())

    def fail(*_: object) -> None:
        raise ArithmeticError

    handle = net.fc.register_forward_hook(fail)  # type: ignore[union-attr]
    with pytest.raises(ArithmeticError):
        pairs_in(net, IMAGES)
    handle.remove()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_half_precision_and_batches_own_statistics_are_left_alone() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    assert points_of(net, batch_norm="batch").pairs == {}
    assert len(points_of(net, batch_norm="recalibrated").pairs) == 8
    assert len(points_of(net, precision="bf16").pairs) == 8
    assert points_of(net.bfloat16()).pairs == {}
