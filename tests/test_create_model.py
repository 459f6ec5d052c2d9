"""`create_model`: the one call that most users make."""

from pathlib import Path

import pytest
import torch

import resnetlib
from resnetlib import create_model


def test_embedded_weights() -> None:
    net = create_model("cifar_resnet20", weights="resnetlib_c10")
    assert net.training
    assert net.num_classes == 10
    assert net.classes is not None
    assert net.classes[3] == "cat"
    assert net.preprocess is not None
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    again = resnetlib.cifar_resnet20(weights="resnetlib_c10")
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))


def test_without_weights_nothing_is_claimed() -> None:
    net = create_model("cifar_resnet20")
    assert net.preprocess is None
    assert net.classes is None


@pytest.mark.parametrize("num_classes", [3, 0])
def test_other_classes_get_a_new_head_on_the_same_body(num_classes: int) -> None:
    full = create_model("cifar_resnet20", weights="resnetlib_c10").eval()
    net = create_model("cifar_resnet20", weights="resnetlib_c10", num_classes=num_classes).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(net.forward_features(images), full.forward_features(images))
    assert net(images).shape == (2, num_classes or 64)
    assert net.classes is None
    assert net.preprocess == full.preprocess


def test_the_weights_own_classes_are_the_default(tmp_path: Path) -> None:
    torch.save(create_model("cifar_plain20", num_classes=7).state_dict(), tmp_path / "seven.pth")
    net = create_model("cifar_plain20", weights=str(tmp_path / "seven.pth"))
    assert net.num_classes == 7
    torch.save(create_model("cifar_plain20", num_classes=0).state_dict(), tmp_path / "headless.pth")
    assert create_model("cifar_plain20", weights=tmp_path / "headless.pth").num_classes == 0
    assert create_model("cifar_plain20", weights=tmp_path / "headless.pth", num_classes=4).num_classes == 4


def test_options_reach_the_network() -> None:
    net = create_model("resnet50", num_classes=10, in_channels=1, device="meta", dtype=torch.bfloat16)
    assert net.conv1.weight.shape == (64, 1, 7, 7)
    assert net.conv1.weight.dtype == torch.bfloat16
    assert net.fc.weight.shape == (10, 2048)
    dense = create_model(
        "cifar_densenet40_k12", drop_path=0.1, drop_rate=0.2, proj_drop_rate=0.3, memory_efficient=True, device="meta"
    )
    assert dense.head_drop.p == 0.2
    assert list(dense.blocks())[-1].join.p == 0.1
    assert next(dense.blocks()).drop.p == 0.3


def test_errors_say_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"cifar_resnet20 has the tags 'resnetlib_c10', and there is no file imagenet"):
        create_model("cifar_resnet20", weights="imagenet")
    with pytest.raises(ValueError, match=r"resnet50 has no tags, and there is no file resnetlib_c10"):
        create_model("resnet50", weights="resnetlib_c10")
    with pytest.raises(ValueError, match="no network named 'resnet20'"):
        create_model("resnet20")


def test_weights_have_no_place_on_meta() -> None:
    with pytest.raises(ValueError, match="weights cannot be loaded on device='meta'"):
        create_model("cifar_resnet20", weights="resnetlib_c10", device="meta")


def test_weights_of_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1 of another shape: conv1.weight \(16, 3, 3, 3\), not \(16, 1, 3, 3\)"):
        create_model("cifar_resnet20", weights="resnetlib_c10", in_channels=1)
