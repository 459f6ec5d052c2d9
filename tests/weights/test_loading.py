"""From tensors under any name to a network: everything in its place, or one error."""

from pathlib import Path

import pytest
import torch
from families import FAMILIES
from torch import nn

from resnetlib import build, create_model, save_model, spec_of
from resnetlib.models.catalog import SPECS
from resnetlib.weights import load_state
from resnetlib.weights.dialects.rename import recognize_dialect
from resnetlib.weights.load import assign_state


@pytest.mark.parametrize("name", SPECS)
def test_canonical_names_stay_as_they_are(name: str) -> None:
    state = build(spec_of(name), device="meta").state_dict()
    assert list(recognize_dialect(state).state) == list(state)


def test_counters_that_are_missing_begin_at_zero() -> None:
    net, twin = build(FAMILIES["resnet"]), build(FAMILIES["resnet"])
    twin.bn1.num_batches_tracked += 5
    load_state(twin, {key: tensor for key, tensor in net.state_dict().items() if "num_batches" not in key})
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
    assert message.startswith("cannot load my.pth into this ResNet:")
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


@pytest.mark.parametrize("classes", [3, 4, 5, 6, 7, 8])
def test_mapped_classifiers_lie_as_straight_as_pytorchs_own(classes: int, tmp_path: Path) -> None:
    """Where they do not, a matrix product may be rounded otherwise; at which place in the file they lie depends on its header."""
    save_model(create_model("cifar_resnet20", num_classes=classes), tmp_path / "net")
    net = create_model(tmp_path / "net", mmap=True)
    assert net.fc.weight.data_ptr() % 64 == 0
    assert torch.equal(net.fc.weight, create_model(tmp_path / "net", mmap=False).fc.weight)


def test_a_network_takes_its_own_state_whatever_its_classifier_is() -> None:
    for head in (nn.Sequential(nn.Dropout(), nn.Linear(64, 4)), nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 4))):
        net = create_model("cifar_resnet20", num_classes=4)
        net.fc = head
        state = {key: tensor + 1 for key, tensor in net.state_dict().items()}
        load_state(net, state)
        assert torch.equal(net.fc[-1].bias, state[f"fc.{len(head) - 1}.bias"])


def test_a_head_beside_an_encoder_is_its_classifier(tmp_path: Path) -> None:
    state = create_model("resnet18", num_classes=7).state_dict()
    body = {key: tensor for key, tensor in state.items() if not key.startswith("fc.")}
    torch.save({"encoder": body, "head": {"weight": state["fc.weight"], "bias": state["fc.bias"]}}, tmp_path / "w.pth")
    net = create_model("resnet18", weights=tmp_path / "w.pth")
    assert torch.equal(net.fc.weight, state["fc.weight"])


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
@pytest.mark.parametrize("head", ["no bias", "more features", "a convolution"])
def test_a_new_classifier_replaces_any_other(name: str, head: str, tmp_path: Path) -> None:
    net = create_model(name, num_classes=7)
    state, fc = net.state_dict(), net.classifier_name
    if head == "no bias":
        del state[f"{fc}.bias"]
    else:
        state[f"{fc}.weight"] = torch.randn(7, 3) if head == "more features" else torch.randn(7, net.num_features, 3, 3)
    torch.save(state, tmp_path / "w.pth")
    for num_classes in (0, 2):
        again = create_model(name, weights=tmp_path / "w.pth", num_classes=num_classes)
        assert again.num_classes == num_classes
        body = {key: tensor for key, tensor in again.state_dict().items() if not key.startswith(fc)}
        assert all(torch.equal(tensor, state[key]) for key, tensor in body.items())
    with pytest.raises(ValueError, match=f"{fc}|classifier") as caught:
        create_model(name, weights=tmp_path / "w.pth")
    assert "These names and shapes are" not in str(caught.value)


def test_numbers_must_be_finite_in_the_network_s_dtype() -> None:
    net = create_model("cifar_resnet20", num_classes=2)
    state = net.state_dict()
    state["bn1.running_var"] = state["bn1.running_var"] * 1e6
    load_state(net, state)
    net.half()
    before = net.fc.weight.clone()
    with pytest.raises(ValueError, match=r"not all finite:\n.*1 with NaN or infinity: bn1.running_var"):
        load_state(net, state)
    assert torch.equal(net.fc.weight, before)


def test_trusted_numbers_that_overflow_are_found() -> None:
    net = create_model("cifar_resnet20")
    state = net.state_dict()
    state["bn1.running_var"] = state["bn1.running_var"] * 1e6
    found = recognize_dialect(state)
    with torch.device("meta"):
        target = build(net.spec)
    with pytest.raises(ValueError, match=r"with NaN or infinity: bn1.running_var"):
        assign_state(target, found, dtype=torch.float16, source="w", trusted=True)
