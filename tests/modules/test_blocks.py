"""The block's equation, and the identities that follow from it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from families import FAMILIES
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from resnetlib import (
    Add,
    BasicBlock,
    Block,
    Bottleneck,
    Concat,
    DenseLayer,
    PadShortcut,
    PreActBasicBlock,
    PreActBottleneck,
    Replace,
    ResNetSpec,
    ScaledAdd,
    Stage,
    build,
)
from resnetlib.modules.block import PreActBlock
from resnetlib.modules.layers import FIXUP, GROUP_NORM, NO_NORM

BLOCKS: list[Callable[..., Block]] = [BasicBlock, Bottleneck, PreActBasicBlock, PreActBottleneck]
EVERY: dict[str, Callable[..., Block]] = {
    **{make.__name__: partial(make, 8, 8) for make in BLOCKS},
    **{f"{make.__name__}-stride": partial(make, 8, 8, stride=2) for make in BLOCKS},
    **{f"{make.__name__}-replace": partial(make, 8, 8, join=Replace) for make in BLOCKS},
    **{f"{make.__name__}-group": partial(make, 8, 8, layers=GROUP_NORM) for make in BLOCKS},
    "BasicBlock-fixup": partial(BasicBlock, 8, 8, layers=FIXUP),
    "Bottleneck-none": partial(Bottleneck, 8, 8, layers=NO_NORM),
    "DenseLayer": partial(DenseLayer, 8, 4),
    "DenseLayer-plain": partial(DenseLayer, 8, 4, bottleneck=0),
}


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
def test_forward_is_the_equation(make: Callable[[], Block]) -> None:
    block, x = make().eval(), torch.randn(2, 8, 6, 6)
    h = block.pre(x)
    assert torch.equal(block(x), block.out(block.join(block.skip(x, h), block.branch(h))))


@pytest.mark.parametrize("make", BLOCKS)
@given(data=st.data())
def test_shapes(make: Callable[..., Block], data: st.DataObject) -> None:
    in_channels, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    stride, size = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 9))
    block = make(in_channels, width, stride=stride).eval()
    assert block.out_channels == width * block.expansion
    expected = (2, block.out_channels, -(-size // stride), -(-(size + 1) // stride))
    assert block(torch.randn(2, in_channels, size, size + 1)).shape == expected


@pytest.mark.parametrize("make", BLOCKS)
def test_a_fresh_block_changes_no_shape_and_builds_no_projection(make: Callable[..., Block]) -> None:
    block = make(16, 16 // make.expansion)  # type: ignore[attr-defined]
    assert block.downsample is None
    assert block(torch.randn(2, 16, 5, 5)).shape == (2, 16, 5, 5)


@pytest.mark.parametrize("layers", [GROUP_NORM, NO_NORM, None], ids=["group", "none", "batch"])
@pytest.mark.parametrize("make", BLOCKS)
def test_a_zero_branch_is_the_identity_on_the_skip_path_bit_for_bit(make: Callable[..., Block], layers: Any) -> None:
    block = make(16, 16 // make.expansion, **({"layers": layers} if layers else {}))  # type: ignore[attr-defined]
    block.zero_branch_()
    x = torch.randn(4, 16, 5, 5)
    x = x.relu() if make in (BasicBlock, Bottleneck) else x  # what a post-activation block gets is never negative
    assert torch.equal(block(x), x)
    assert torch.equal(block.eval()(x), x)


def test_a_projection_that_is_a_convolution_alone_is_no_branch() -> None:
    class Projected(PreActBlock):
        def __init__(self) -> None:
            super().__init__(8, 8, stride=1)
            self.norm1, self.relu1 = nn.BatchNorm2d(8), nn.ReLU()
            self.conv1, self.join, self.downsample = nn.Conv2d(8, 8, 1), Add(), nn.Conv2d(8, 8, 1)

        def branch(self, h: Tensor) -> Tensor:
            y: Tensor = self.conv1(h)
            return y

    block, x = Projected().eval(), torch.randn(2, 8, 4, 4)
    block.zero_branch_()
    assert torch.equal(block(x), block.downsample(block.pre(x)))
    assert block(x).abs().max() > 0


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
def test_a_zero_branch_can_be_learned_away(make: Callable[[], Block]) -> None:
    block = make()
    block.zero_branch_()
    x = torch.randn(4, 8, 6, 6)
    assert not block.branch(block.pre(x)).any()
    target = torch.randn_like(block.branch(block.pre(x)))
    (block.branch(block.pre(x)) * target).sum().backward()
    weights = [p for n, p in block.named_parameters() if "weight" in n and not n.startswith("downsample") and p.grad is not None]
    assert any(weight.grad.any() for weight in weights)  # type: ignore[union-attr]  # and not only shifts


def test_a_zero_dense_layer_adds_zeros() -> None:
    layer, x = DenseLayer(8, 4), torch.randn(2, 8, 6, 6)
    layer.zero_branch_()
    y = layer(x)
    assert torch.equal(y[:, :8], x)
    assert not y[:, 8:].any()


@pytest.mark.parametrize("kind", ["A", "A_end", "B", "C"])
@pytest.mark.parametrize("make", BLOCKS)
def test_a_plain_block_has_no_shortcut_and_a_residual_ones_parameters_otherwise(make: Callable[..., Block], kind: str) -> None:
    plain = make(8, 8, stride=2, join=Replace, shortcut=kind)
    assert plain.downsample is None
    branch = [key for key in make(8, 8, stride=2, shortcut=kind).state_dict() if not key.startswith("downsample")]
    assert list(plain.state_dict()) == branch


def test_option_a_subsamples_and_pads() -> None:
    x = torch.randn(2, 4, 5, 5)
    both, end = PadShortcut(4, 7, stride=2), PadShortcut(4, 7, stride=2, at_end=True)
    assert both(x).shape == end(x).shape == (2, 7, 3, 3)
    assert torch.equal(both(x)[:, 1:5], x[:, :, ::2, ::2])
    assert torch.equal(end(x)[:, :4], x[:, :, ::2, ::2])
    assert not both(x)[:, [0, 5, 6]].any()
    assert not end(x)[:, 4:].any()
    with pytest.raises(ValueError, match="in_channels=4 and out_channels=2: use shortcut B"):
        PadShortcut(4, 2)


def test_shortcuts_have_the_parameters_that_their_letters_promise() -> None:
    def downsample(**options: Any) -> nn.Module | None:
        return BasicBlock(8, 16, **options).downsample

    assert not list(downsample(shortcut="A").parameters())  # type: ignore[union-attr]
    assert [tuple(p.shape) for p in downsample(shortcut="B").parameters()] == [(16, 8, 1, 1), (16,), (16,)]  # type: ignore[union-attr]
    assert BasicBlock(8, 8, shortcut="B").downsample is None
    assert BasicBlock(8, 8, shortcut="C").downsample is not None
    assert list(PreActBasicBlock(8, 16).downsample.state_dict()) == ["0.weight"]  # type: ignore[union-attr]


def test_a_preactivation_projection_reads_the_activated_input() -> None:
    block, x = PreActBasicBlock(4, 8), torch.randn(2, 4, 5, 5)
    seen: list[Tensor] = []
    assert block.downsample is not None
    block.downsample.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    block.eval()(x)
    assert torch.equal(seen[0], block.pre(x))


@pytest.mark.parametrize(("stride_in", "strides"), [("3x3", (1, 2, 1)), ("1x1", (2, 1, 1))])
@pytest.mark.parametrize("make", [Bottleneck, PreActBottleneck])
def test_stride_in(make: Callable[..., Block], stride_in: str, strides: tuple[int, ...]) -> None:
    assert tuple(conv.stride[0] for conv in make(8, 8, stride=2, stride_in=stride_in).convs) == strides


def test_groups_and_width() -> None:
    block = Bottleneck(256, 128, groups=32, base_width=4)
    assert block.conv2.groups == 32
    assert block.conv2.in_channels == 256
    assert block.out_channels == 512


@pytest.mark.parametrize("name", FAMILIES)
def test_each_block_of_a_stage_takes_what_the_one_before_it_gives(name: str) -> None:
    for stage in build(FAMILIES[name]).stages():
        blocks = [module for part in stage for module in part.modules() if isinstance(module, Block)]
        assert blocks
        assert [a.out_channels for a in blocks[:-1]] == [b.in_channels for b in blocks[1:]]


def test_norm_none_has_biases_and_no_norms() -> None:
    block = BasicBlock(8, 8, layers=NO_NORM)
    assert list(block.state_dict()) == ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"]


def test_fixup_has_its_scalars() -> None:
    shapes = {key: tuple(tensor.shape) for key, tensor in BasicBlock(8, 8, layers=FIXUP).state_dict().items()}
    assert shapes == {
        "conv1.weight": (8, 8, 3, 3),
        "conv1.shift": (),
        "bn1.shift": (),
        "conv2.weight": (8, 8, 3, 3),
        "conv2.shift": (),
        "bn2.shift": (),
        "bn2.scale": (),
    }


def test_group_norm_divides_any_number_of_channels() -> None:
    groups = {channels: GROUP_NORM.norm(channels).num_groups for channels in (64, 32, 24, 16, 12, 7, 1)}
    assert groups == {64: 32, 32: 16, 24: 8, 16: 8, 12: 4, 7: 1, 1: 1}


def test_blocks_compose_by_hand() -> None:
    stage = Stage(BasicBlock(8, 16, stride=2), Bottleneck(16, 8, join=ScaledAdd))
    net = nn.Sequential(nn.Conv2d(3, 8, 3), stage, DenseLayer(32, 4))
    y = net(torch.randn(2, 3, 16, 16))
    assert y.shape == (2, 36, 7, 7)


def test_a_block_of_ones_own_on_the_skeleton() -> None:
    from resnetlib import ResNet

    class Quiet(BasicBlock):
        def branch(self, h: Tensor) -> Tensor:
            return super().branch(h) * 0

    class QuietResNet(ResNet):
        block_types = {**ResNet.block_types, ("post", "basic"): Quiet}  # noqa: RUF012

    net = QuietResNet(ResNetSpec(block="basic", depths=(1,), widths=(8,), stem="cifar"))
    assert all(isinstance(block, Quiet) for block in net.blocks())
    assert isinstance(next(net.blocks()).join, Add)
    assert not isinstance(next(net.blocks()).join, Concat)
    x = torch.rand(2, 8, 4, 4)
    assert torch.equal(net.layer1(x), x)
