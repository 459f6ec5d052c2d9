"""Dilated networks are the same function on a finer grid, with the same weights under the same names."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from families import FAMILIES

from resnetlib import Spec, build, create_model, dilate, save_model, spec_of
from resnetlib.models import DenseNetSpec, ResNetSpec

_RES = ResNetSpec(block="basic", depths=(1, 2, 1, 2), widths=(4, 8, 8, 16))
SPECS: dict[str, Spec] = {
    "basic": _RES,
    "basic-a": replace(_RES, shortcut="A", stem="cifar"),
    "plain": replace(_RES, join="replace"),
    "bottleneck": replace(_RES, block="bottleneck"),
    "bottleneck-v1": replace(_RES, block="bottleneck", stride_in="1x1"),
    "groups": replace(_RES, block="bottleneck", groups=2, base_width=32, widths=(8, 8, 16, 16)),
    "preact": replace(_RES, order="pre"),
    "preact-bottleneck": replace(_RES, order="pre", block="bottleneck"),
    "densenet": DenseNetSpec(growth=4, depths=(2, 1, 2, 2), stem_width=8),
    "densenet-plain-layers": DenseNetSpec(growth=4, depths=(2, 2, 2), stem_width=8, stem="cifar", bottleneck=0),
}


@pytest.mark.parametrize("finer", [2, 4, 8])
@pytest.mark.parametrize("name", SPECS)
def test_the_finer_map_holds_the_old_one(name: str, finer: int) -> None:
    net = build(SPECS[name], num_classes=5).double()
    stride = net.output_stride
    if stride // finer not in {info["reduction"] for info in net.feature_info[1:]}:
        with pytest.raises(ValueError, match=f"output_stride must be one of .*, got {stride // finer}"):
            dilate(net, stride // finer)
        return
    images = torch.randn(2, 3, 4 * stride, 4 * stride, dtype=torch.float64)
    net.train()(images)  # statistics that are not those of a new network
    fine = build(SPECS[name], num_classes=5, output_stride=stride // finer).double().eval()
    assert list(fine.state_dict()) == list(net.state_dict())
    fine.load_state_dict(net.state_dict())
    got = fine.forward_features(images)
    expected = net.eval().forward_features(images)
    assert got.shape == (2, net.num_features, 4 * finer, 4 * finer)
    torch.testing.assert_close(got[:, :, ::finer, ::finer], expected)
    assert fine.output_stride == stride // finer
    for info, y in zip(fine.feature_info, fine.forward_intermediates(images, intermediates_only=True), strict=True):
        assert y.shape[-1] == images.shape[-1] // info["reduction"]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121"])
def test_a_stride_of_eight_gives_an_eighth(name: str) -> None:
    net = create_model(name, output_stride=8, num_classes=2, device="meta")
    assert net.forward_features(torch.empty(1, 3, 64, 96, device="meta")).shape == (1, net.num_features, 8, 12)
    assert net(torch.empty(1, 3, 64, 96, device="meta")).shape == (1, 2)


def test_torchvisions_dilated_resnet_computes_the_same() -> None:
    from torchvision.models import resnet50

    theirs = resnet50(replace_stride_with_dilation=[False, True, True], num_classes=5).eval()
    ours = create_model("resnet50", output_stride=8, num_classes=5).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours(images), theirs(images))


def test_timms_dilated_basic_blocks_compute_the_same() -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("resnet18", output_stride=8, num_classes=5).eval()
    ours = create_model("resnet18", output_stride=8, num_classes=5).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(ours(images), theirs(images))


def test_the_natural_stride_changes_nothing(spec: Spec) -> None:
    net = build(spec)
    before = repr(net)
    dilate(net, net.output_stride)
    assert repr(net) == before


def test_a_dilated_network_trains_in_both_modes() -> None:
    net = build(SPECS["densenet"], output_stride=8, num_classes=5).double()
    twin = deepcopy(net)
    twin.set_grad_checkpointing()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    for model in (net, twin):
        model(images).sum().backward()
    for (name, parameter), other in zip(net.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-7, atol=1e-9, msg=name)


def test_it_is_dilated_once() -> None:
    net = build(SPECS["basic"], output_stride=16)
    with pytest.raises(ValueError, match="dilated already, to a stride of 16: create it again with output_stride="):
        dilate(net, 8)
    for wrong in (7, 64, 2, 0, -8, None, "8", 8.0, True):
        with pytest.raises(ValueError, match=f"output_stride must be one of 4, 8, 16, 32, got {wrong!r}"):
            dilate(build(SPECS["basic"]), wrong)  # type: ignore[arg-type]
    net = build(SPECS["basic"], output_stride=np.int64(8))  # type: ignore[arg-type]
    assert type(net.output_stride) is int


def test_the_smallest_input_still_passes(spec: Spec) -> None:
    net = build(spec, output_stride=build(spec, device="meta").feature_info[1]["reduction"]).eval()
    size = net.smallest_input
    assert net(torch.randn(1, 3, size, size)).shape[0] == 1


def test_saving_keeps_the_weights_and_not_the_dilation(tmp_path: object) -> None:
    net = build(FAMILIES["resnet"], num_classes=5, output_stride=1).eval()
    save_model(net, f"{tmp_path}/net")
    images = torch.randn(1, 3, 32, 32)
    assert create_model(f"{tmp_path}/net").output_stride == 2
    assert torch.equal(create_model(f"{tmp_path}/net", output_stride=1).eval()(images), net(images))
    assert spec_of("resnet18") == build(spec_of("resnet18"), output_stride=8, device="meta").spec
