"""From a bare state dict to the spec, where there is only one; hostile state dicts."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import product
from typing import get_args

import pytest
import torch
from families import FAMILIES, known_state
from hypothesis import given, settings
from pytorchcv.model_provider import get_model
from strategies import densenet_specs, resnet_specs
from torch import Tensor

from resnetlib import ResNetSpec, Spec, build, spec_of
from resnetlib.config import Shortcut, StrideIn
from resnetlib.models.catalog import SPECS
from resnetlib.weights.dialects.compare import canonical_spec, same_network
from resnetlib.weights.dialects.infer import fitting_specs, infer_spec, nearest_name
from resnetlib.weights.dialects.rename import RecognizedState, recognize_dialect, to_dialect, unsupported_reason


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def check_inference(found: RecognizedState, spec: Spec, classes: int) -> None:
    """The spec is inferred, or it is one of the choices that the error names; and a dialect that leaves one choice settles it."""
    fitting = fitting_specs(found)
    assert canonical_spec(spec) in fitting
    if len(fitting) == 1:
        inferred = infer_spec(found)
        assert (inferred.spec, inferred.num_classes, inferred.in_chans) == (canonical_spec(spec), classes, 3)
    else:
        with pytest.raises(ValueError, match=f"the same for {len(fitting)} networks") as caught:
            infer_spec(found)
        for field in ("stride_in", "join", "shortcut", "order", "stem_norm"):
            assert (field in str(caught.value)) == (len({getattr(one, field) for one in fitting}) > 1)
    for dialect in found.dialects:
        left = [one for one in fitting if unsupported_reason(one, dialect) is None]
        if len(left) == 1:
            assert infer_spec(found, dialect=dialect).spec == left[0]
        else:
            with pytest.raises(ValueError, match=f"the same for {len(left)} networks" if left else "has no such network"):
                infer_spec(found, dialect=dialect)


@pytest.mark.parametrize("name", SPECS)
def test_every_known_network_is_inferred_or_named_among_the_choices(name: str) -> None:
    state, spec = known_state(name), spec_of(name)
    found = recognize_dialect(state)
    check_inference(found, spec, 10 if spec.stem == "cifar" else 1000)
    assert nearest_name(found) == name.replace("cifar_plain", "cifar_resnet")


def test_every_family_is_inferred_or_named_among_the_choices(spec: Spec) -> None:
    state = build(spec, num_classes=7, device="meta").state_dict()
    check_inference(recognize_dialect(state), spec, 7)
    for same in fitting_specs(recognize_dialect(state)):
        assert shapes_of(build(same, num_classes=7, device="meta").state_dict()) == shapes_of(state)


@given(spec=resnet_specs(most=12) | densenet_specs())
def test_any_network_is_inferred_or_named_among_the_choices(spec: Spec) -> None:
    check_inference(recognize_dialect(build(spec, num_classes=3, device="meta").state_dict()), spec, 3)


def variants(spec: ResNetSpec) -> list[ResNetSpec]:
    """Return the specs with other shortcuts and strides that are the same network."""
    found = []
    for shortcut, stride_in in product(get_args(Shortcut), get_args(StrideIn)):
        with suppress(ValueError):
            found.append(replace(spec, shortcut=shortcut, stride_in=stride_in))
    return [variant for variant in found if same_network(variant, spec)]


@settings(max_examples=12)
@given(spec=resnet_specs(most=6))
def test_specs_of_the_same_network_compute_the_same(spec: ResNetSpec) -> None:
    net = build(spec, num_classes=2).eval()
    images = torch.randn(1, 3, 16, 16)
    assert canonical_spec(canonical_spec(spec)) == canonical_spec(spec)
    for same in variants(spec):
        twin = build(same, num_classes=2).eval()
        twin.load_state_dict(net.state_dict())
        assert torch.equal(twin(images), net(images))


@pytest.mark.parametrize(("widths", "choices"), [((4, 4), 1), ((4, 5), 1), ((4, 6), 2)])
def test_the_padding_matters_from_two_new_channels_on(widths: tuple[int, ...], choices: int) -> None:
    specs = {canonical_spec(ResNetSpec(block="basic", depths=(1, 1), widths=widths, shortcut=kind)) for kind in ("A", "A_end")}
    assert len(specs) == choices


def test_without_norms_the_order_is_not_to_be_seen() -> None:
    spec = ResNetSpec(block="basic", depths=(1, 1), widths=(8, 16), order="pre", norm="none")
    fitting = fitting_specs(recognize_dialect(build(spec, device="meta").state_dict()))
    assert [(one.order, one.stem_norm) for one in fitting] == [("post", False), ("pre", False), ("pre", True)]  # type: ignore[union-attr]


def test_what_is_ambiguous_and_what_settles_it() -> None:
    bottlenecks, padded = known_state("resnet50"), known_state("cifar_resnet20")
    for dialect in ("torchvision", "timm"):
        assert infer_spec(bottlenecks, dialect=dialect).spec == spec_of("resnet50")
    with pytest.raises(ValueError, match=r"stride_in='3x3' \(resnet50; dialect='torchvision' or 'timm'\)\n  stride_in='1x1'\n"):
        infer_spec(bottlenecks)
    with pytest.raises(
        ValueError, match=r"shortcut='A_end'\n  join='replace', shortcut='B' \(cifar_plain20\)\nSay which one it is"
    ):
        infer_spec(padded)
    with pytest.raises(ValueError, match="chenyaofo has no such network: shortcut must be 'B', got 'A'"):
        infer_spec(padded, dialect="chenyaofo")
    theirs = to_dialect(padded, spec_of("cifar_resnet20"), "akamaster")
    assert infer_spec(theirs).spec == spec_of("cifar_resnet20")
    assert nearest_name(recognize_dialect(theirs)) == "cifar_resnet20"
    with pytest.raises(ValueError, match="these are the names of resnetlib, not of dialect='akamaster'"):
        infer_spec(recognize_dialect(known_state("preact_resnet18")), dialect="akamaster")


CV = {
    "resnet18": "resnet18", "resnet50": "resnet50", "resnet50b": "resnet50", "resnet20_cifar10": "cifar_resnet20b",
    "resnet164bn_cifar10": "cifar_resnet164", "preresnet164bn_cifar10": "cifar_preact_resnet164", "densenet121": "densenet121",
    "densenet100_k12_bc_cifar10": "cifar_densenet_bc100_k12",
    "preresnet18": None, "preresnet50b": None, "preresnet20_cifar10": None, "densenet40_k12_cifar10": None,
}  # fmt: skip


@pytest.mark.parametrize(("theirs", "ours"), CV.items())
def test_pytorchcvs_networks_are_ours(theirs: str, ours: str | None) -> None:
    with torch.device("meta"):
        found = recognize_dialect(get_model(theirs).state_dict())
    assert found.dialects == ("pytorchcv",)
    assert nearest_name(found) == ours
    with_norm = {"preresnet18": "preact_resnet18", "preresnet50b": "preact_resnet50"}
    if theirs in with_norm:
        assert replace(fitting_specs(found)[0], stem_norm=False) == spec_of(with_norm[theirs])
        assert fitting_specs(found)[0].stem_norm  # type: ignore[union-attr]
    assert len(fitting_specs(found)) == (2 if "50" in theirs else 1)


def test_the_nearest_name_is_that_of_the_same_network_or_of_the_likest() -> None:
    state = dict(build(spec_of("resnet34"), num_classes=3, in_chans=1, device="meta").state_dict())
    assert nearest_name(recognize_dialect(state)) == "resnet34"
    assert nearest_name(recognize_dialect({**state, "bn2.weight": torch.zeros(1)})) == "resnet34"
    del state["layer3.2.conv1.weight"]
    assert nearest_name(recognize_dialect(state)) == "resnet34"
    wide = dict(build(spec_of("wide_resnet50_2"), device="meta").state_dict())
    del wide["bn1.weight"]
    assert nearest_name(recognize_dialect(wide)) == "wide_resnet50_2"
    dense = dict(build(spec_of("densenet169"), device="meta").state_dict())
    del dense["features.norm0.weight"]
    assert nearest_name(recognize_dialect(dense)) == "densenet169"
    assert nearest_name(recognize_dialect({"layer1.0.conv1.weight": torch.zeros(4, 4, 3, 3)})) is None


Changes = dict[str, tuple[int, ...] | None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer1.0.bn1.weight": None}, "1 missing: layer1.0.bn1.weight"),
        ({"bn1.weight": (9,)}, r"1 of another shape: bn1.weight \(9,\), not \(8,\)"),
        ({"layer1.0.bn3.weight": (8,)}, "1 unexpected: layer1.0.bn3.weight"),
        ({"layer0.0.conv1.weight": (8, 8, 3, 3)}, "stages are numbered 1, 2, ..., got 0, 1, 2"),
        ({"layer999999.0.conv1.weight": (8, 8, 3, 3)}, "stages are numbered 1, 2, ..., got 1, 2, 999999"),
        ({"layer2.7.conv1.weight": (8, 8, 3, 3)}, "the blocks of stage 2 are numbered 0, 1, ..., got 0, 7"),
        ({"layer2.1000000000.conv1.weight": (8, 8, 3, 3)}, "no tensors with these names: layer2.1000000000.conv1.weight"),
        ({"conv1.weight": (8, 3, 5, 5)}, r"conv1.weight must be a convolution of 7x7 or 3x3, got \(8, 3, 5, 5\)"),
        ({"conv1.weight": (8,)}, r"conv1.weight must have the four dimensions of a convolution, none of them 0, got \(8,\)"),
        ({"conv1.weight": None}, "there is no conv1.weight"),
        ({"conv1.weight": (16, 3, 3, 3)}, r"of another shape: conv1.weight \(16, 3, 3, 3\), not \(8, 3, 3, 3\)"),
        ({"conv1.weight": (8, 0, 3, 3)}, "in_chans must be an integer of at least 1, got 0"),
        ({"layer1.0.conv2.weight": (0, 8, 3, 3)}, "none of them 0"),
        ({"layer1.0.conv2.weight": (10**15, 8, 3, 3)}, "must be at most 1,000,000 in all, got 1000000000000"),
        ({"layer1.1.downsample.0.weight": (8, 8, 1, 1)}, "not so at 1 blocks: layer1.1"),
        ({"fc.weight": (10,)}, r"the classifier must be a matrix \(classes, features\), got \(10,\)"),
        ({"fc.weight": ()}, r"the classifier must be a matrix \(classes, features\), got \(\)"),
        ({"layer1.0.conv3.weight": (32, 8, 1, 1)}, "there is no layer2.0.conv3.weight"),
    ],
)
def test_a_state_dict_of_no_network_is_a_clear_error(changes: Changes, message: str) -> None:
    state = dict(build(FAMILIES["resnet"], device="meta").state_dict())
    for key, shape in changes.items():
        if shape is None:
            del state[key]
        else:
            state[key] = torch.empty(shape, device="meta")
    found = recognize_dialect(state)
    with pytest.raises(ValueError, match=message):
        infer_spec(RecognizedState(dialects=("resnetlib",), family="resnet", state=found.state, unknown=found.unknown))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"features.transition1.conv.weight": (7, 16, 1, 1)},
            r"of another shape: features.denseblock2.denselayer1.norm1.weight \(8,\), not \(7,\)",
        ),
        ({"features.transition1.conv.weight": (99, 16, 1, 1)}, "no compression makes transitions of these channels in and out"),
        (
            {"features.denseblock1.denselayer0.conv1.weight": (4, 8, 1, 1)},
            "the blocks of stage 1 are numbered 1, 2, ..., got 0, 1, 2",
        ),
        ({"features.denseblock1.denselayer2.conv2.weight": None}, "1 missing: features.denseblock1.denselayer2.conv2.weight"),
    ],
)
def test_a_state_dict_of_no_densenet_is_a_clear_error(changes: Changes, message: str) -> None:
    state = dict(build(FAMILIES["densenet"], device="meta").state_dict())
    for key, shape in changes.items():
        if shape is None:
            del state[key]
        else:
            state[key] = torch.empty(shape, device="meta")
    with pytest.raises(ValueError, match=message):
        infer_spec(state)


def test_huge_state_dicts_are_refused_fast() -> None:
    one = torch.empty((1, 1, 3, 3), device="meta")
    stages = {f"layer{i}.0.conv{k}.weight": one for i in range(1, 5000) for k in (1, 2)}
    blocks = {f"layer1.{i}.conv{k}.weight": one for i in range(5000) for k in (1, 2)}
    long = {f"layer1.{'9' * 10**6}.conv{k}.weight": one for k in (1, 2)}
    started = time.monotonic()
    for more, message in (
        (stages, "at most 32 stages, got 4999"),
        (blocks, "no known network has more than"),
        (long, "no tensors with these names: layer1.9999"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            infer_spec({"conv1.weight": one, **more})
        assert len(str(caught.value)) < 2000
    assert time.monotonic() - started < 20
