"""The rules: total and injective, nearest dialects, prefixes, what cannot be expressed, strange names."""

import re
from dataclasses import fields, replace

import pytest
import torch
from families import known_state
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import densenet_specs, resnet_specs
from torch import Tensor

from resnetlib import DenseNetSpec, ResNetSpec, Spec, build
from resnetlib.models.catalog import SPECS
from resnetlib.weights.dialects.infer import infer_spec
from resnetlib.weights.dialects.rename import recognize_dialect, rename, to_dialect, unsupported_reason
from resnetlib.weights.dialects.rules import DIALECTS, Table

BASIC = ResNetSpec(block="basic", depths=(1, 2), widths=(16, 32))
DEEP = ResNetSpec(block="bottleneck", depths=(1, 2), widths=(16, 32))
DENSE = DenseNetSpec(growth=8, depths=(2, 3), stem_width=16)
PRE = replace(BASIC, order="pre")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rules_are_total_and_injective_on_every_known_network(dialect: str) -> None:
    expressible = [name for name, spec in SPECS.items() if unsupported_reason(spec, dialect) is None]
    assert expressible
    for name in expressible:
        ours = known_state(name)
        theirs = to_dialect(ours, SPECS[name], dialect)
        assert len(theirs) == len(ours)
        again = recognize_dialect(theirs, dialect=dialect)
        assert again.unknown == ()
        assert [(key, tensor.shape) for key, tensor in again.state.items()] == [(key, t.shape) for key, t in ours.items()]


TABLES = [(name, table) for name, tables in DIALECTS.items() for table in tables]


@given(data=st.data())
def test_there_and_back_is_the_identity(data: st.DataObject) -> None:
    dialect, table = data.draw(st.sampled_from(TABLES))
    specs = densenet_specs() if table.family == "densenet" else resnet_specs(most=12)
    settled = {field: data.draw(st.sampled_from(values)) for field, values in table.limits.items()}
    if table.family != "densenet":
        settled |= {"order": "pre" if table.family == "preact" else "post", "init": "he"}
        settled |= {} if table.family == "preact" else {"stem_norm": False}
    try:
        spec = replace(data.draw(specs), **settled)  # type: ignore[arg-type]
    except ValueError:
        assume(False)
    assume(unsupported_reason(spec, dialect) is None)
    ours = build(spec, num_classes=3, device="meta").state_dict()
    theirs = to_dialect(ours, spec, dialect)
    for again in (recognize_dialect(theirs, dialect=dialect), recognize_dialect(theirs)):
        assert dialect in again.dialects
        assert {key: tensor.shape for key, tensor in again.state.items()} == {key: tensor.shape for key, tensor in ours.items()}


@pytest.mark.parametrize(
    ("name", "dialect", "reason"),
    [
        ("plain18", "torchvision", "join must be 'add', got 'replace'"),
        ("cifar_resnet20", "chenyaofo", "shortcut must be 'B', got 'A'"),
        ("cifar_resnet20b", "akamaster", "shortcut must be 'A', got 'B'"),
        ("cifar_resnet20b", "transformers", "stem must be 'imagenet', got 'cifar'"),
        ("resnext50_32x4d", "pytorchcv", "groups must be 1, got 32"),
        ("preact_resnet50", "torchvision", "torchvision has no network of this family, preact"),
        ("preact_resnet50", "pytorchcv", "stem_norm must be True, got False"),
        ("cifar_densenet100_k12", "bearpaw", "compression must be 0.5, got 1.0"),
        ("densenet161", "akamaster", "akamaster has no network of this family, densenet"),
    ],
)
def test_what_a_dialect_cannot_express_is_said(name: str, dialect: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        to_dialect(known_state(name), SPECS[name], dialect)
    assert reason in str(caught.value)
    assert unsupported_reason(SPECS[name], dialect) == str(caught.value)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (replace(DEEP, stride_in="1x1"), "stride_in must be '3x3', got '1x1'"),
        (replace(BASIC, norm="group"), "norm must be 'batch', got 'group'"),
        (replace(PRE, widths=(12, 24)), "widths are multiples of 8, got (12, 24)"),
        (replace(DENSE, stem_width=20), "stem_width is always 2 * growth, got stem_width=20, growth=8"),
        (replace(DENSE, bottleneck=0), "a layer always has a 1x1 convolution, got bottleneck=0"),
    ],
)
def test_what_timm_cannot_express_is_said(spec: Spec, reason: str) -> None:
    assert reason in str(unsupported_reason(spec, "timm"))
    assert unsupported_reason(spec, "resnetlib") is None


def test_options_without_effect_do_not_matter() -> None:
    everywhere = ResNetSpec(block="bottleneck", depths=(1, 1), widths=(8, 16), shortcut="C", init="zero_init_residual")
    assert unsupported_reason(everywhere, "torchvision") is None
    assert unsupported_reason(ResNetSpec(block="basic", depths=(2,), widths=(8,), stem="cifar"), "akamaster") is None
    assert unsupported_reason(replace(everywhere, depths=(2, 1)), "torchvision") is not None


def test_unknown_dialects_and_names_are_named() -> None:
    with pytest.raises(ValueError, match=r"dialect must be one of 'resnetlib', 'torchvision', .*'timm-resnetv2', got 'keras'"):
        recognize_dialect({"a": torch.zeros(1)}, dialect="keras")
    with pytest.raises(ValueError, match="dialect must be one of"):
        to_dialect({}, BASIC, ["timm"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"1 names are not canonical, or timm has none for them: head.weight"):
        to_dialect({"head.weight": torch.zeros(1)}, BASIC, "timm")
    with pytest.raises(ValueError, match="no tensors"):
        recognize_dialect({})


def test_the_nearest_dialect_lists_what_it_does_not_know() -> None:
    state = {**to_dialect(known_state("resnet18"), SPECS["resnet18"], "transformers"), "resnet.neck.weight": torch.zeros(1)}
    found = recognize_dialect(state)
    assert (found.dialects, found.unknown) == (("transformers",), ("resnet.neck.weight",))
    assert len(found.state) == len(state) - 1
    assert recognize_dialect(known_state("resnet18"), dialect="kuangliu").unknown == tuple(
        key for key in known_state("resnet18") if "downsample" in key or "fc" in key
    )
    with pytest.raises(ValueError, match=r"transformers has no tensors with these names: resnet.neck.weight"):
        infer_spec(found)


def headless(name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in known_state(name).items() if not key.startswith(("fc", "classifier"))}


@pytest.mark.parametrize("prefix", ["backbone.", "model.encoder.", "module.net.features."])
@pytest.mark.parametrize("name", ["resnet18", "densenet121", "preact_resnet18"])
def test_a_common_prefix_comes_off_where_it_helps(prefix: str, name: str) -> None:
    ours = headless(name)
    assert list(recognize_dialect(ours).state) == list(ours)
    assert list(recognize_dialect({prefix + key: tensor for key, tensor in ours.items()}).state) == list(ours)
    assert infer_spec({prefix + key: tensor for key, tensor in ours.items()}).num_classes == 0


def test_a_transformers_backbone_is_read_without_its_prefix() -> None:
    ours = headless("resnet18")
    theirs = to_dialect(ours, SPECS["resnet18"], "transformers")
    bare = {key.removeprefix("resnet."): tensor for key, tensor in theirs.items()}
    assert list(recognize_dialect(bare).state) == list(recognize_dialect(theirs).state) == list(ours)


def test_the_networks_of_others_that_cannot_be_expressed_are_refused() -> None:
    def unit(name: str, *last: str) -> list[str]:
        return [f"{name}.{part}.weight" for part in ("bn1", "conv1", "bn2", "conv2", *last)]

    preact = ["conv1.weight", *unit("layer1.0"), *unit("layer2.0")]
    files = {
        "bearpaw's preresnet": [*preact, "layer2.0.downsample.0.weight", "bn.weight", "fc.weight"],
        "kuangliu's PreActResNet": [*preact, "layer2.0.shortcut.0.weight", "linear.weight"],
        "kuangliu's DenseNet": [
            "conv1.weight",
            *unit("dense1.0"),
            "trans1.bn.weight",
            "trans1.conv.weight",
            *unit("dense2.0"),
            "bn.weight",
            "linear.weight",
        ],
    }
    for keys in files.values():
        state = {f"module.{key}": torch.zeros((8, 8, 3, 3) if "conv" in key else (8,)) for key in keys}
        with pytest.raises(ValueError, match=r"no tensors with these names|do not fit|the classifier must be a matrix"):
            infer_spec(state)


@pytest.mark.parametrize(
    "key", ["layer01.0.conv1.weight", "layer1.1000000000.conv1.weight", f"layer{'1' * 10**6}.0.conv1.weight", "x" * 10**6]
)
def test_strange_names_are_nobodys(key: str) -> None:
    assert all(rename(key, table.rules) is None for _, table in TABLES)
    assert recognize_dialect({"conv1.weight": torch.zeros(1), key: torch.zeros(1)}).unknown == (key,)


@pytest.mark.parametrize("rule", sorted({rule for _, table in TABLES for rule in table.rules}))
def test_both_sides_of_a_rule_hold_the_same_letters(rule: tuple[str, str]) -> None:
    foreign, canonical = (set(re.findall(r"\{([a-z])", side)) for side in rule)
    assert foreign == canonical


@pytest.mark.parametrize(("dialect", "table"), [pair for pair in TABLES if pair[0] != "resnetlib"])
def test_a_dialect_settles_what_names_cannot_tell(dialect: str, table: Table) -> None:
    kind = DenseNetSpec if table.family == "densenet" else ResNetSpec
    assert set(table.limits) <= {field.name for field in fields(kind)}
    assert set(table.limits) >= (
        {"stem", "norm"} if table.family == "densenet" else {"stem", "norm", "join", "shortcut", "stride_in"}
    )
