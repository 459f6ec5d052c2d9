"""Norms are folded into the convolutions before them where that is right, and only there."""

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn

from resnetlib import Spec, build
from resnetlib.deploy import find_conv_norm_pairs, fold_norms, fold_state, remove_norms

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def folded_in(net: nn.Module) -> list[str]:
    return [f"{conv} {norm}" for conv, norm in fold_norms(net.eval(), IMAGES)[1]]


def test_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0)).eval()
    state = {"0.weight": torch.full((1, 1, 1, 1), 3.0), "0.bias": torch.tensor([5.0])}
    state |= {"1.weight": torch.tensor([7.0]), "1.bias": torch.tensor([11.0])}
    state |= {"1.running_mean": torch.tensor([1.0]), "1.running_var": torch.tensor([4.0]), "1.num_batches_tracked": torch.tensor(1)}
    without, pairs = remove_norms(net, {("0", "1"): 0.0}), {("0", "1"): 0.0}
    new = fold_state(state, pairs)
    assert {name: tensor.item() for name, tensor in new.items()} == {"0.weight": 3 * 7 / 2, "0.bias": (5 - 1) * 7 / 2 + 11}
    assert isinstance(without[1], nn.Identity)  # type: ignore[index]
    assert isinstance(net[1], nn.BatchNorm2d)


def test_a_network_in_training_mode_is_left_alone() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    net[1].train()
    with pytest.raises(ValueError, match=r"^fold_norms needs norms in evaluation mode: call net.eval\(\) first$"):
        fold_norms(net, IMAGES)
    assert net[1].num_batches_tracked == 0


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
    without, pairs = fold_norms(net.eval(), IMAGES)
    state = fold_state(net.state_dict(), pairs)
    with torch.no_grad():
        torch.testing.assert_close(torch.func.functional_call(without, state, (IMAGES,)), net(IMAGES))


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
    assert len(find_conv_norm_pairs(net, IMAGES)) == 8
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())

    def fail(*_: object) -> None:
        raise ArithmeticError

    handle = net.fc.register_forward_hook(fail)  # type: ignore[union-attr]
    with pytest.raises(ArithmeticError):
        find_conv_norm_pairs(net, IMAGES)
    handle.remove()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_half_precision_is_left_alone() -> None:
    net = build(FAMILIES["resnet"], num_classes=5).eval()
    assert len(fold_norms(net, IMAGES)[1]) == 8
    assert fold_norms(net.bfloat16(), IMAGES.bfloat16())[1] == {}
