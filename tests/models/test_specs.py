"""Specs: validation, JSON, names."""

import dataclasses
import json
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from strategies import densenet_specs, resnet_specs

from resnetlib import DenseNetSpec, ResNetSpec, Spec, list_models, spec_from_json, spec_of
from resnetlib.models.catalog import SPECS


@given(spec=resnet_specs(most=40) | densenet_specs())
def test_json_and_pickle_round_trip(spec: Spec) -> None:
    again = spec_from_json(spec.to_json())
    assert again == spec
    assert hash(again) == hash(spec)
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize("name", SPECS)
def test_every_named_spec_round_trips(name: str) -> None:
    assert spec_from_json(spec_of(name).to_json()) == spec_of(name)


def test_specs_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec_of("resnet50").stem = "cifar"  # type: ignore[misc]
    with pytest.raises(TypeError):
        SPECS["mine"] = spec_of("resnet50")  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block": "wide"}, "block must be one of 'basic', 'bottleneck', got 'wide'"),
        ({"join": "concat"}, "join must be one of 'add', 'scaled_add', 'replace', got 'concat'"),
        ({"order": None}, "order must be one of 'post', 'pre', got None"),
        ({"shortcut": "D"}, "shortcut must be one of 'A', 'A_end', 'B', 'C', got 'D'"),
        ({"stride_in": "2x2"}, "stride_in must be one of '3x3', '1x1', got '2x2'"),
        ({"stem": "svhn"}, "stem must be one of 'imagenet', 'cifar', got 'svhn'"),
        ({"stem_norm": 1, "order": "pre"}, "stem_norm must be True or False, got 1"),
        ({"stem_norm": True}, "stem_norm=True is an option of order='pre', got order='post', whose stem always has norm and relu"),
        ({"norm": "layer"}, "norm must be one of 'batch', 'group', 'none', got 'layer'"),
        ({"init": "zero"}, "init must be one of 'he', 'zero_init_residual', 'fixup', got 'zero'"),
        ({"depths": [3, 4, 6, 3.0]}, "depths must be a tuple of ints of at least 1"),
        ({"depths": (3, 4, 6)}, "depths and widths must have the same length"),
        ({"depths": (3, 4, 6, 0)}, "depths must be a tuple of ints of at least 1, got (3, 4, 6, 0)"),
        ({"depths": ()}, "depths must be a tuple of ints of at least 1, got ()"),
        ({"widths": (64, 128, 256, 51.2)}, "widths must be a tuple of ints of at least 1"),
        ({"widths": 64}, "widths must be a tuple of ints of at least 1, got 64"),
        ({"groups": True}, "groups must be an int of at least 1, got True"),
        ({"base_width": 0}, "base_width must be an int of at least 1, got 0"),
        ({"base_width": 4, "widths": (8, 16, 32, 64)}, "base_width=4 leaves no channels at a width of 8"),
        ({"block": "basic", "groups": 2}, "groups, base_width and stride_in are options of block='bottleneck', got groups=2"),
        ({"init": "fixup"}, "init='fixup' needs norm='none', order='post' and join='add', got norm='batch'"),
        ({"init": "zero_init_residual", "join": "replace"}, "init='zero_init_residual' requires join='add', got join='replace'"),
        ({"init": "zero_init_residual", "join": "scaled_add"}, "'scaled_add' begins at zero by itself"),
        ({"shortcut": "A", "widths": (64, 32, 256, 512)}, "shortcut='A' can only add channels, got widths=(64, 32, 256, 512)"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        dataclasses.replace(spec_of("resnet50"), **change)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"growth": 0}, "growth must be an int of at least 1, got 0"),
        ({"bottleneck": -1}, "bottleneck must be an int of at least 0, got -1"),
        ({"bottleneck": 1.5}, "bottleneck must be an int of at least 0, got 1.5"),
        ({"compression": 0.0}, "compression must be above 0 and at most 1, got 0.0"),
        ({"compression": float("nan")}, "compression must be above 0 and at most 1, got nan"),
        ({"compression": "half"}, "compression must be above 0 and at most 1, got 'half'"),
        ({"compression": 0.001}, "compression=0.001 leaves a transition no channels"),
        ({"stem": "mnist"}, "stem must be one of"),
    ],
)
def test_a_wrong_value_of_a_densenet_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        dataclasses.replace(spec_of("densenet121"), **change)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a spec must be JSON"),
        ("[" * 100_000, "a spec must be JSON"),
        ("[]", "a spec must be a JSON object, got list"),
        ("{}", "family must be one of 'resnet', 'densenet', got None"),
        ('{"family": ["resnet"]}', "family must be one of"),
        ('{"family": "resnet"}', "a resnet spec is incomplete"),
        ('{"family": "resnet", "block": "basic", "depths": [1], "widths": [8], "cardinality": 2}', "got 'cardinality'"),
        ('{"family": "resnet", "block": "basic", "depths": [[1]], "widths": [8]}', "depths must be a tuple of ints"),
        ('{"family": "resnet", "block": "basic", "depths": {"a": 1}, "widths": [8]}', "depths must be a tuple of ints"),
        ('{"family": "densenet", "growth": "12", "depths": [1], "stem_width": 8}', "growth must be an int"),
    ],
)
def test_json_that_is_no_spec_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        spec_from_json(text)
    assert message in str(caught.value)


def test_json_from_before_a_field_came_is_read() -> None:
    spec = spec_of("preact_resnet50")
    values = json.loads(spec.to_json())
    assert values.pop("stem_norm") is False
    assert spec_from_json(json.dumps(values)) == spec


def test_json_is_plain() -> None:
    values = json.loads(spec_of("cifar_plain20").to_json())
    assert values["family"] == "resnet"
    assert values["join"] == "replace"
    assert values["depths"] == [3, 3, 3]


@pytest.mark.parametrize(
    "change",
    [{"depths": (10**9, 1)}, {"widths": (10**30, 64)}, {"base_width": 10**400}, {"groups": 10**7}],
    ids=["depths", "widths", "base_width", "groups"],
)
def test_numbers_beyond_reason_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be at most [\d,]+ in all, got"):
        replace(ResNetSpec(block="bottleneck", depths=(1, 1), widths=(64, 64)), **change)  # type: ignore[arg-type]


def test_names_are_in_natural_order_and_matched_with_wildcards() -> None:
    names = list_models()
    assert len(names) == len(set(names)) == len(SPECS)
    assert names.index("cifar_resnet20") < names.index("cifar_resnet110") < names.index("cifar_resnet1202")
    assert list_models("cifar_plain*")[-1] == "cifar_plain110"
    assert list_models("resnet?0") == ["resnet50"]
    assert list_models("resnet[12]*") == ["resnet18", "resnet26", "resnet101", "resnet152", "resnet200"]
    assert list_models("ResNet*") == []


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match="no network named 'resnet5'; nearest: resnet50"):
        spec_of("resnet5")
    with pytest.raises(ValueError, match=r"^there is no network named 'transformer'; see list_models\(\)$"):
        spec_of("transformer")
    with pytest.raises(TypeError, match="name must be a str, got NoneType"):
        spec_of(None)  # type: ignore[arg-type]


def test_equal_specs_have_equal_json() -> None:
    one, other = (replace(spec_of("cifar_densenet40_k12"), compression=value) for value in (1, 1.0))
    assert (one, hash(one), one.to_json()) == (other, hash(other), other.to_json())


def test_the_channels_of_every_transition_are_checked() -> None:
    with pytest.raises(ValueError, match=r"compression=0.02 leaves a transition no channels"):
        DenseNetSpec(growth=1, depths=(1, 1, 1), stem_width=100, compression=0.02)
    assert DenseNetSpec(growth=1, depths=(10, 10), stem_width=1, compression=0.3).stage_widths() == [1, 3]
    assert DenseNetSpec(growth=1, depths=(1,), stem_width=1, compression=0.1).stage_widths() == [1]
