"""From tensors under any name to a network: everything in its place, or one error."""

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from families import FAMILIES

from resnetlib import build, create_model, spec_of
from resnetlib.models.catalog import SPECS
from resnetlib.weights import load_state
from resnetlib.weights.dialects import DIALECTS, Dialect, translate


def dialect(name: str) -> Dialect:
    return next(dialect for dialect in DIALECTS if dialect.name == name)


@pytest.mark.parametrize("name", SPECS)
def test_canonical_names_are_their_own_translation(name: str) -> None:
    state = build(spec_of(name), device="meta").state_dict()
    assert list(translate(state, state)) == list(state)


def test_the_rules_are_injective() -> None:
    peers = {
        "torchvision-0.2": [legacy(key) for key in create_model("densenet121", device="meta").state_dict()],
        "akamaster": [key.replace("fc.", "linear.") for key in create_model("cifar_resnet20", device="meta").state_dict()],
        "timm-resnetv2": list(timm.create_model("resnetv2_50", device="meta").state_dict()),
    }
    for name, keys in peers.items():
        assert len({dialect(name).canonical(key) for key in keys}) == len(keys)


def legacy(key: str) -> str:
    """Name a DenseNet's tensor as the published files do."""
    for part in ("norm1", "conv1", "norm2", "conv2"):
        key = key.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.") if "denselayer" in key else key
    return key


def test_the_published_densenet_names_load() -> None:
    peer = torchvision.models.densenet121(weights=None)
    old = {legacy(key): tensor for key, tensor in peer.state_dict().items() if "num_batches" not in key}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    net = create_model("densenet121")
    load_state(net, old)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(net.eval()(images), peer.eval()(images))


def test_akamaster_names_load() -> None:
    net, twin = build(FAMILIES["resnet-a"]), build(FAMILIES["resnet-a"])
    state = {key.replace("fc.", "linear."): tensor for key, tensor in net.state_dict().items() if "num_batches" not in key}
    twin.bn1.num_batches_tracked += 5
    load_state(twin, state)
    assert torch.equal(twin.fc.weight, net.fc.weight)
    assert twin.bn1.num_batches_tracked == 0


def test_all_problems_come_in_one_error_and_nothing_is_changed() -> None:
    net = build(FAMILIES["resnet"])
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    state = {key: tensor + 1 for key, tensor in net.state_dict().items()}
    del state["bn1.weight"], state["layer1.0.conv1.weight"]
    state["head.bias"] = torch.zeros(3)
    state["fc.weight"] = torch.zeros(3, 16)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        load_state(net, state, source="my.pth")
    message = str(caught.value)
    assert message.startswith("my.pth do not fit this ResNet:")
    assert "2 missing: bn1.weight, layer1.0.conv1.weight" in message
    assert "1 unexpected: head.bias" in message
    assert "1 of another shape: fc.weight (3, 16), not (10, 16)" in message
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


def test_a_name_cannot_hide_behind_another_dialects() -> None:
    net = build(FAMILIES["resnet"])
    state = dict(net.state_dict())
    state |= {"linear.weight": torch.zeros(10, 16), "linear.bias": state.pop("fc.bias")}
    with pytest.raises(ValueError, match=r"missing: fc.bias\n.*unexpected: linear.weight, linear.bias"):
        load_state(net, state)


def test_a_long_list_is_cut() -> None:
    with pytest.raises(ValueError, match=r"\.\.\. and \d+ more"):
        load_state(build(FAMILIES["resnet"]), {"conv1.weight": torch.zeros(8, 3, 3, 3)})


def test_half_precision_files_fill_float_parameters(tmp_path: Path) -> None:
    net = create_model("cifar_resnet20")
    torch.save(net.half().state_dict(), tmp_path / "w.pth")
    for dtype in (None, torch.float64):
        loaded = create_model("cifar_resnet20", weights=tmp_path / "w.pth", dtype=dtype)
        assert loaded.conv1.weight.dtype == (dtype or torch.float32)
        assert torch.equal(loaded.conv1.weight.half(), net.conv1.weight)
        assert loaded.bn1.num_batches_tracked.dtype == torch.int64
