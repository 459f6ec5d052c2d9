"""Deeper networks begin as copies of shallower ones, and train on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from families import FAMILIES
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from untouched import raises_inside, untouched

from resnetlib import Backbone, Replace, ResNetSpec, Spec, build, create_model, spec_of
from resnetlib.analysis import deepen
from resnetlib.config import PretrainedConfig

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
IMPOSSIBLE = {"plain-preact": "x is signed", "plain-bottleneck": "32 channels have to pass 8"}
POSSIBLE = {name: spec for name, spec in FAMILIES.items() if name not in IMPOSSIBLE}
PLAIN = build(FAMILIES["plain"], num_classes=5)


def scrambled(spec: Spec) -> Backbone:
    """A network whose weights and statistics are nobody's initial ones."""
    net = build(spec, num_classes=5)
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                spread = float(tensor.std()) if tensor.numel() > 1 else 0.0
                noise = torch.randn(tensor.shape, generator=draws) * max(spread, 0.4) / 4
                tensor.add_(noise.abs() if name.endswith("running_var") else noise)
    return net.eval()


def test_by_hand() -> None:
    net = build(FAMILIES["plain"], num_classes=5).eval()
    for layer in (net.conv1, net.bn1, *net.layer1.modules()):
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight)
    last = net.layer1[1].bn2
    with torch.no_grad():
        last.weight[:3], last.bias[:3] = torch.tensor([2.0, 2.0, 1.0]), torch.tensor([3.0, 5.0, 4.0])
    image = torch.zeros(1, 3, 32, 32)
    image[:, 0], image[:, 0, ::2], image[:, 1], image[:, 2, :, ::2] = 1.0, 3.0, 5.0, 4.0
    block = deepen(net, (3, 1), batches=image).layer1[2]
    # In training the norms make -1 and 1 of the two values of channels 0 and 2, and 0 of channel 1: the last one makes
    # of them 1 and 5, 5, and 3 and 5, beside five channels of zeros.
    mean, variance = [3.0, 5.0, 4.0, *[0.0] * 5], [4.0, 0.0, 1.0, *[0.0] * 5]
    for norm in (block.bn1, block.bn2):
        assert norm.running_mean.tolist() == norm.bias.tolist() == pytest.approx(mean, abs=1e-3)
        assert norm.running_var.tolist() == pytest.approx(variance, abs=1e-3)
        assert norm.weight.tolist() == pytest.approx([2.0, 0.00316, 1.0, *[0.00316] * 5], abs=1e-3)  # sqrt(variance + 1e-5)
    for conv in (block.conv1, block.conv2):
        assert conv.weight[:, :, 1, 1].tolist() == [[float(i == j) for j in range(8)] for i in range(8)]
        assert conv.weight.sum() == 8
    norm = deepen(net, (3, 1)).layer1[2].bn1
    assert (norm.running_mean.tolist(), norm.running_var.tolist()) == ([0.0] * 8, pytest.approx([0.99999] * 8))
    assert (norm.bias.tolist(), norm.weight.tolist()) == ([0.0] * 8, [1.0] * 8)


@pytest.mark.parametrize("name", POSSIBLE)
def test_the_deeper_network_computes_the_same(name: str) -> None:
    net = scrambled(POSSIBLE[name])
    depths = tuple(depth + 2 - i for i, depth in enumerate(net.spec.depths))
    deeper = deepen(net, depths)
    assert deeper.spec == replace(net.spec, depths=depths)
    assert len(list(deeper.blocks())) == sum(depths)
    with torch.no_grad():
        logits, expected = deeper(IMAGES), net(IMAGES)
    if name.startswith(("plain", "densenet", "resnet-c")):
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    else:
        assert torch.equal(logits, expected)


@pytest.mark.parametrize("name", POSSIBLE)
def test_every_new_layer_learns(name: str) -> None:
    net = scrambled(POSSIBLE[name])
    deeper = deepen(net, [depth + 1 for depth in net.spec.depths]).train()
    sgd = torch.optim.SGD(deeper.parameters(), 0.05)
    begin = {key: tensor.clone() for key, tensor in deeper.named_parameters()}
    losses = []
    for _ in range(4):
        loss = functional.cross_entropy(deeper(IMAGES), torch.arange(4))
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    stuck = [key for key, tensor in deeper.named_parameters() if torch.equal(tensor, begin[key])]
    assert not stuck


@pytest.mark.parametrize("name", ["plain", "resnet-c"])
def test_norms_that_undo_themselves_do_so_in_training_too(name: str) -> None:
    """On the images whose statistics they have; the network's running statistics are others."""
    net = scrambled(FAMILIES[name])
    deeper, unmeasured = deepen(net, (4, 2), batches=IMAGES), deepen(net, (4, 2))
    with torch.no_grad():
        expected = net(IMAGES)
        torch.testing.assert_close(deeper(IMAGES), expected, rtol=1e-5, atol=1e-5)
        expected = net.train()(IMAGES)
        torch.testing.assert_close(deeper.train()(IMAGES), expected, rtol=1e-4, atol=1e-4)
        assert (unmeasured.train()(IMAGES) - expected).abs().max() > 0.05


def test_statistics_of_several_batches() -> None:
    net = scrambled(FAMILIES["plain"])
    norms = [deepen(net, (3, 1), batches=batches).layer1[2].bn1 for batches in (IMAGES[:2], IMAGES[2:], IMAGES.split(2))]
    first, second, both = (norm.running_mean for norm in norms)
    torch.testing.assert_close(both, (first + second) / 2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(dtype: torch.dtype) -> None:
    for name in ("plain", "resnet", "densenet"):
        net = scrambled(FAMILIES[name]).to(dtype)
        deeper = deepen(net, (4, 3), batches=IMAGES)
        assert {tensor.dtype for tensor in deeper.state_dict().values() if tensor.is_floating_point()} == {dtype}
        with torch.no_grad():
            logits, expected = deeper(IMAGES.to(dtype)), net(IMAGES.to(dtype))
        if name == "resnet":
            assert torch.equal(logits, expected)
        assert (logits - expected).abs().max() < 0.1 * expected.abs().max()
    net = create_model("cifar_plain20.resnetlib_c10", dtype=dtype)
    assert len(list(deepen(net, (18, 18, 18), batches=IMAGES).blocks())) == 54  # however much is rounded


@given(depths=st.tuples(st.integers(2, 4), st.integers(1, 4)), order=st.sampled_from(["post", "pre"]))
def test_any_depths(depths: tuple[int, int], order: str) -> None:
    spec = ResNetSpec(block="basic", depths=(2, 1), widths=(4, 8), stem="cifar", order=order)
    net = build(spec, num_classes=3).eval()
    with torch.no_grad():
        assert torch.equal(deepen(net, depths)(IMAGES), net(IMAGES))


def test_what_it_takes_over() -> None:
    net = create_model("cifar_resnet20.resnetlib_c10", drop_rate=0.25, dtype=torch.float64).eval()
    deeper = deepen(net, (4, 3, 3))
    assert not deeper.training
    assert deeper.classes == net.classes
    assert deeper.preprocess == net.preprocess
    assert deeper.pretrained_cfg == PretrainedConfig(name="", tag="", spec=deeper.spec, preprocess=net.preprocess)
    assert deeper.drop_rate == 0.25
    assert next(deeper.parameters()).dtype == torch.float64
    images = IMAGES.double()
    dilated = build(FAMILIES["densenet"], num_classes=5, output_stride=1).double().eval()
    with torch.no_grad():
        torch.testing.assert_close(deepen(dilated, (3, 3))(images), dilated(images))
    assert deepen(dilated, (3, 3)).output_stride == 1


def test_a_bit_equal_copy_of_trained_weights_with_more_layers() -> None:
    net = create_model("cifar_resnet20.resnetlib_c10").eval()
    deeper = deepen(net, spec_of("cifar_resnet56").depths)
    assert deeper.spec == spec_of("cifar_resnet56")
    with torch.no_grad():
        assert torch.equal(net(IMAGES), deeper(IMAGES))


def test_the_network_is_as_it_was(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    with untouched(net):
        try:
            deepen(net, [depth + 1 for depth in net.spec.depths])
        except ValueError:
            assert spec in [FAMILIES[name] for name in IMPOSSIBLE]


def test_measuring_leaves_the_network_as_it_was() -> None:
    with untouched(PLAIN):
        deepen(PLAIN, (3, 2), batches=IMAGES)
    raises_inside(PLAIN, lambda: deepen(PLAIN, (3, 2), batches=IMAGES))


def test_networks_that_are_not_what_their_spec_says() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    net.layer1[1].join = Replace()
    with pytest.raises(ValueError, match="does not match its spec"):
        deepen(net, (3, 1))
    net = build(FAMILIES["resnet"], num_classes=5)
    net.fc = nn.Linear(16, 7)
    assert deepen(net, (3, 1)).num_classes == 7
    net.fc = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 7))
    with pytest.raises(ValueError, match="does not match its spec"):
        deepen(net, (3, 1))
    with pytest.raises(ValueError, match="is on the meta device"):
        deepen(build(FAMILIES["resnet"], device="meta"), (3, 1))
    net = scrambled(FAMILIES["resnet"])
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eps = 1e-3
    with pytest.raises(ValueError, match="does not match its spec"):
        deepen(net, (3, 1))
    with pytest.raises(ValueError, match="its skip has passed a relu"):
        deepen(build(replace(FAMILIES["preact"], shortcut="C"), num_classes=5), (3, 1))


def test_the_layout_is_taken_over() -> None:
    net = create_model("cifar_resnet20.resnetlib_c10").eval().to(memory_format=torch.channels_last)
    deeper = deepen(net, (4, 3, 3))
    assert not deeper.layer1[3].conv1.weight.is_contiguous()
    with torch.no_grad():
        assert torch.equal(net(IMAGES), deeper(IMAGES))


def test_checkpointing_is_taken_over() -> None:
    assert deepen(build(FAMILIES["resnet"], num_classes=5, memory_efficient=True), (3, 1)).layer1.checkpointing
    assert not deepen(build(FAMILIES["resnet"], num_classes=5), (3, 1)).layer1.checkpointing
    dense = deepen(build(FAMILIES["densenet"], num_classes=5, memory_efficient="max"), (3, 3))
    assert dense.features.denseblock1.checkpointing == "max"


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_blocks_that_cannot_be_the_identity(name: str) -> None:
    net = build(FAMILIES[name], num_classes=5)
    with pytest.raises(ValueError, match=IMPOSSIBLE[name]):
        deepen(net, [depth + 1 for depth in net.spec.depths])


def test_group_norms_and_wider_features() -> None:
    with pytest.raises(ValueError, match="a dense network without a classifier cannot be deepened"):
        deepen(build(FAMILIES["densenet"], num_classes=0), (3, 3))
    with pytest.raises(ValueError, match="GroupNorm cannot be the identity"):
        deepen(build(replace(FAMILIES["plain"], norm="group"), num_classes=5), (3, 1))
    with pytest.raises(ValueError, match="new channels change"):
        deepen(build(replace(FAMILIES["densenet"], norm="group"), num_classes=5), (3, 3))
    assert isinstance(deepen(build(replace(FAMILIES["plain"], norm="none"), num_classes=5), (3, 1)), nn.Module)


@pytest.mark.parametrize("depths", [(1, 1), (2,), (2, 1, 1), (2, 0)])
def test_fewer_blocks(depths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="depths must be"):
        deepen(PLAIN, depths)


def test_depths_of_other_kinds() -> None:
    assert deepen(PLAIN, np.array([3, 1])).spec.depths == (3, 1)
    for wrong in (9, [2.0, 1], ["2", 1], None):
        with pytest.raises(ValueError, match="depths must be a sequence of integers of at least 1"):
            deepen(PLAIN, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("std", [0.003, 0.1])
def test_biases_of_dense_transitions_that_keep_their_width(std: float) -> None:
    spec = replace(spec_of("cifar_densenet40_k12"), depths=(2, 1, 2), norm="none")
    net = build(spec).eval()
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.normal_(module.bias, std=std)
    x = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(deepen(net, (3, 2, 3))(x), net(x), rtol=1e-4, atol=1e-5)
