"""From specs to networks: the right class, options, initialization, regularization."""

import math
from dataclasses import replace

import pytest
import torch
from families import FAMILIES
from torch import nn

from resnetlib import (
    Add,
    DenseNet,
    PlainNet,
    PreActResNet,
    Replace,
    ResNet,
    ResNetSpec,
    ScaledAdd,
    Spec,
    StochasticAdd,
    StochasticConcat,
    build,
    spec_of,
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("plain34", PlainNet),
        ("resnet50", ResNet),
        ("resnext50_32x4d", ResNet),
        ("preact_resnet18", PreActResNet),
        ("densenet121", DenseNet),
        ("cifar_plain20", PlainNet),
        ("cifar_densenet40_k12", DenseNet),
    ],
)
def test_the_class_says_the_family(name: str, kind: type) -> None:
    assert type(build(spec_of(name), device="meta")) is kind


def test_any_spec_can_be_made_plain() -> None:
    plain = build(replace(spec_of("resnet50"), join="replace"), device="meta")
    assert type(plain) is PlainNet
    assert all(type(block.join) is Replace for block in plain.blocks())
    assert not [key for key in plain.state_dict() if "downsample" in key]
    assert type(build(replace(spec_of("preact_resnet50"), join="replace"), device="meta")) is PlainNet


def test_a_class_refuses_the_spec_of_another() -> None:
    with pytest.raises(ValueError, match=r"join='add' and order='post' make a ResNet, not a PlainNet"):
        PlainNet(FAMILIES["resnet"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="make a ResNet, not a PreActResNet"):
        PreActResNet(FAMILIES["resnet"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="spec must be a ResNetSpec or a DenseNetSpec, got str"):
        build("resnet50")  # type: ignore[arg-type]


def test_classes_by_default_are_the_stems() -> None:
    assert build(spec_of("resnet18"), device="meta").num_classes == 1000
    assert build(spec_of("cifar_resnet20"), device="meta").num_classes == 10


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_and_device(spec: Spec, dtype: torch.dtype) -> None:
    net = build(spec, dtype=dtype, device="cpu")
    assert {parameter.dtype for parameter in net.parameters()} == {dtype}
    counters = [buffer for name, buffer in net.named_buffers() if name.endswith("num_batches_tracked")]
    assert all(counter.dtype == torch.int64 for counter in counters)
    meta = build(spec, device="meta", dtype=dtype)
    assert all(tensor.is_meta for tensor in meta.state_dict().values())


def test_he_initialization_is_by_fan_out_and_in_dense_networks_by_fan_in() -> None:
    for name in ("resnet50", "densenet121"):
        for module in build(spec_of(name)).modules():
            if isinstance(module, nn.Conv2d) and module.weight.numel() > 50_000:
                channels = module.in_channels if name == "densenet121" else module.out_channels
                fan = channels * module.kernel_size[0] ** 2
                assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan), rel=0.03)


def test_init_weights_draws_everything_anew(spec: Spec) -> None:
    net, fresh = build(spec), build(spec)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.fill_(7)
    torch.manual_seed(5)
    net.init_weights()  # type: ignore[operator]
    torch.manual_seed(5)
    fresh.init_weights()  # type: ignore[operator]
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), fresh.state_dict().values(), strict=True))


def test_a_preactivated_stem_can_have_norm_and_relu() -> None:
    spec = FAMILIES["preact-stem-norm"]
    net, bare = build(spec), build(replace(spec, stem_norm=False))
    assert [type(part).__name__ for part in net.stem()] == ["Conv2d", "BatchNorm2d", "ReLU"]
    assert net.feature_info[0]["module"] == "relu1"
    assert [key for key in net.state_dict() if key not in bare.state_dict()] == [
        f"bn1.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    ]
    images = torch.randn(2, 3, 32, 32)
    assert net.forward_intermediates(images, [0], intermediates_only=True)[0].min() == 0
    assert bare.forward_intermediates(images, [0], intermediates_only=True)[0].min() < 0


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_zero_init_residual_makes_stages_the_identity_on_their_skip_path(order: str, norm: str, block: str) -> None:
    spec = ResNetSpec(
        block=block,  # type: ignore[arg-type]
        depths=(2, 3),
        widths=(8, 16),
        stem="cifar",
        order=order,  # type: ignore[arg-type]
        norm=norm,  # type: ignore[arg-type]
        init="zero_init_residual",
    )
    net = build(spec)
    x = net.forward_intermediates(torch.randn(2, 3, 16, 16), [0], intermediates_only=True)[0]
    for stage in (net.layer1, net.layer2):
        first = stage[0]
        expected = first.skip(x, first.pre(x))
        expected = first.out(expected) if order == "post" else expected
        x = stage(x)
        assert torch.equal(x, expected)


@pytest.mark.parametrize("name", ["resnet-scaled", "resnet-fixup"])
def test_skipinit_and_fixup_begin_with_zero_branches(name: str) -> None:
    net = build(FAMILIES[name])
    x = torch.rand(2, 8, 6, 6)
    second = net.layer1[1]
    assert torch.equal(second(x), x)
    if name == "resnet-scaled":
        assert all(isinstance(block.join, ScaledAdd) and block.join.alpha == 0 for block in net.blocks())


def test_fixup_scales_the_first_convolutions_and_zeroes_the_last_and_the_classifier() -> None:
    spec = ResNetSpec(block="basic", depths=(8, 8), widths=(64, 64), stem="cifar", norm="none", init="fixup")
    net = build(spec)
    for block in net.blocks():
        first, last = block.convs
        assert first.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)) * 16**-0.5, rel=0.05)
        assert not last.weight.any()
    assert not any(parameter.any() for parameter in net.get_classifier().parameters())
    deep = build(replace(spec, block="bottleneck", depths=(16,), widths=(64,)))
    first, middle, _ = next(deep.blocks()).convs
    assert middle.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)) * 16**-0.25, rel=0.05)


@pytest.mark.parametrize("name", ["resnet-scaled", "resnet-fixup"])
def test_networks_that_begin_at_zero_learn(name: str) -> None:
    net = build(FAMILIES[name], num_classes=2)
    images, labels = torch.randn(16, 3, 16, 16), torch.arange(16) % 2
    images[labels == 1] += 1
    sgd = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(net(images), labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    changed = [block for block in net.blocks() if block.branch(block.pre(torch.rand(2, block.in_channels, 8, 8))).any()]
    assert len(changed) == len(list(net.blocks()))


@pytest.mark.parametrize(("name", "kind"), [("resnet", StochasticAdd), ("preact", StochasticAdd), ("densenet", StochasticConcat)])
def test_stochastic_depth_decays_linearly_to_the_last_block(name: str, kind: type) -> None:
    net = build(FAMILIES[name], drop_path_rate=0.5)
    joins = [block.join for block in net.blocks()]
    assert all(type(join) is kind for join in joins)
    assert [join.p for join in joins] == pytest.approx([0.5 * i / len(joins) for i in range(1, len(joins) + 1)])  # type: ignore[union-attr]
    plain = build(FAMILIES[name])
    plain.load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(net.eval()(x), plain.eval()(x))


def test_a_network_of_one_block_can_have_stochastic_depth() -> None:
    spec = ResNetSpec(block="basic", depths=(1,), widths=(8,), stem="cifar")
    assert next(build(spec, drop_path_rate=0.3).blocks()).join.p == 0.3
    assert type(next(build(spec).blocks()).join) is Add


@pytest.mark.parametrize("name", ["plain", "resnet-scaled"])
def test_what_cannot_drop_its_branch_says_so(name: str) -> None:
    with pytest.raises(ValueError, match=r"drop_path_rate works with the joins Add and Concat, got drop_path_rate=0.1 with"):
        build(FAMILIES[name], drop_path_rate=0.1)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_probabilities_out_of_range_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="drop_path_rate must be at least 0 and below 1"):
        build(FAMILIES["resnet"], drop_path_rate=rate)
    with pytest.raises(ValueError, match="proj_drop_rate must be at least 0 and below 1"):
        build(FAMILIES["densenet"], proj_drop_rate=rate)
    with pytest.raises(ValueError, match="drop_rate must be at least 0 and below 1"):
        build(FAMILIES["resnet"], drop_rate=rate)


def test_dense_dropout_is_per_layer_and_for_densenets_alone() -> None:
    net = build(FAMILIES["densenet"], proj_drop_rate=0.2)
    assert [block.drop.p for block in net.blocks()] == [0.2] * 5
    with pytest.raises(ValueError, match=r"proj_drop_rate requires a DenseNet, got 0.2 with a ResNet"):
        build(FAMILIES["resnet"], proj_drop_rate=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar_resnet1202", "cifar_preact_resnet1001", "densenet264"])
def test_the_deepest_run_forward_and_backward(name: str) -> None:
    net = build(spec_of(name))
    size = max(net.smallest_input, 8)
    net(torch.randn(2, 3, size, size)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())
