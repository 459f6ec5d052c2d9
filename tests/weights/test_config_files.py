"""config.json: three schemas, and whatever else somebody may put there."""

import json
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from families import FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetlib import build, create_model, push_to_hub
from resnetlib.config import HubFile, PretrainedConfig
from resnetlib.errors import InputError
from resnetlib.models import spec_of
from resnetlib.weights import Preprocessing, write_state
from resnetlib.weights.config_files import config_of, pretrained_config_of


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


GOOD = json.loads(json.dumps({"architecture": "resnet18", "num_classes": 3, "pretrained_cfg": {
    "input_size": [3, 32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 1.0}}))  # fmt: skip
HF = {"model_type": "resnet"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "must be JSON"),
        ("[]", "must be a JSON object"),
        (deep(100_000), "must be JSON"),
        ('{"resnetlib": ' + deep(500) + "}", "must hold an object under"),
        ("{}", "unknown format"),
        ('{"a": "' + "x" * 17_000_000 + '"}', "is larger than the limit of 16,777,216 bytes$"),
        ({"resnetlib": {"spec": 5}}, "the pretrained config cannot be read"),
        ({"resnetlib": {"name": "x", "tag": "", "spec": {"family": "vgg"}}}, "family must be one of"),
        ({"resnetlib": {"nmae": "x"}}, "unknown fields: nmae"),
        (GOOD | {"architecture": "vit_base"}, "timm's 'vit_base' is not supported; supported: resnet.*, "),
        (GOOD | {"architecture": ["resnet18"]}, "config.json is invalid: "),
        (
            GOOD | {"model_args": {"num_classes": 3, "block_args": 1, "global_pool": "max"}},
            "resnet18 with the model_args {'block_args': 1, 'global_pool': 'max'} is not supported; supported: .*pool='avg'$",
        ),
        (GOOD | {"model_args": 7}, "config.json is invalid: "),
        (
            GOOD | {"pretrained_cfg": {"input_size": [3, 32, 32], "mean": "abc", "std": 5}},
            "config.json is invalid: |must be|could not",
        ),
        (GOOD | {"pretrained_cfg": {"input_size": [3, -1, -1], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 1.0}}, "size"),
        (
            GOOD | {"pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0}},
            "config.json is invalid: Zero",
        ),
        (HF | {"hidden_sizes": "big"}, "hidden_sizes must be a list"),
        (HF | {"depths": 5}, "config.json is invalid: "),
        (HF | {"hidden_act": "gelu"}, "a ResNet with hidden_act='gelu' is not supported; supported: 'relu'$"),
        (
            HF | {"downsample_in_first_stage": True},
            "a ResNet with downsample_in_first_stage=True is not supported; supported: False$",
        ),
        (HF | {"layer_type": "../../etc"}, "block must be one of"),
    ],
)
def test_a_hostile_config_is_an_error(tmp_path: Path, config: str | dict[str, object], message: str) -> None:
    (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        create_model(tmp_path)


SMALL = Preprocessing.named("cifar10", resize=9, size=8)
CONFIG = PretrainedConfig(name="resnet18", tag="x", spec=spec_of("resnet18"), classes=("a", "b"), preprocess=SMALL)
OURS = config_of(CONFIG, num_classes=2, in_chans=3, num_features=512)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=300)
@given(st.sampled_from([GOOD, OURS, HF | {"hidden_sizes": [64, 128], "depths": [1, 1]}]), st.data())
def test_a_config_with_anything_in_it_is_a_pretrained_config_or_a_value_error(
    config: dict[str, object], data: st.DataObject
) -> None:
    changed = json.loads(json.dumps(config))
    place = changed
    while True:
        key = data.draw(st.sampled_from(sorted(place)) if data.draw(st.booleans()) else st.text(max_size=8))
        if isinstance(place.get(key), dict) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(ANY)
        break
    with suppress(ValueError):
        assert isinstance(pretrained_config_of(changed, changed), PretrainedConfig)


def test_what_is_written_is_read() -> None:
    assert pretrained_config_of(OURS) == CONFIG
    without = {key: value for key, value in OURS.items() if key != "resnetlib"}
    assert pretrained_config_of(without).spec == spec_of("resnet18")
    assert pretrained_config_of(without).preprocess == pretrained_config_of(OURS).preprocess


HUGE = [
    HF | {"layer_type": "basic", "hidden_sizes": [64, 64, 64, 64], "depths": [200_000, 1, 1, 1]},
    HF | {"layer_type": "basic", "hidden_sizes": [4 * 10**15, 4 * 10**15], "embedding_size": 4 * 10**15, "depths": [1, 1]},
    HF | {"layer_type": "basic", "hidden_sizes": [4 * 10**30, 4 * 10**30], "embedding_size": 4 * 10**30, "depths": [1, 1]},
    {"resnetlib": {"name": "", "tag": "", "spec": {"family": "densenet", "growth": 10**400, "depths": [1], "stem_width": 8}}},
    {"resnetlib": {"name": "", "tag": "", "spec": {"family": "densenet", "growth": 8, "depths": [10**9], "stem_width": 8}}},
]


@pytest.mark.parametrize("config", HUGE, ids=["depths", "overflow", "no int64", "no float", "layers"])
def test_a_config_of_a_huge_network_is_refused_before_it_is_built(tmp_path: Path, config: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    names = ("conv1.weight", "layer1.0.conv1.weight", "layer2.0.conv1.weight", "fc.weight")
    write_state(
        {name: torch.zeros(8, 8, 3, 3) for name in names[:3]} | {"fc.weight": torch.zeros(3, 8)}, tmp_path / "model.safetensors"
    )
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"too few for the|no such network can be built|at most [\d,]+ in all"):
        create_model(tmp_path)
    assert time.perf_counter() - start < 10  # not the minutes and gigabytes that building them would take


@pytest.mark.parametrize("repo", ["org/name--x", "org/name.", "org/nam-", "org-/name", "a/b..c", f"org/{'n' * 100}", "org/naïve"])
def test_a_repository_that_the_hub_cannot_have_is_refused(repo: str) -> None:
    with pytest.raises(InputError, match="is called org/name"):
        HubFile(repo=repo)
    with pytest.raises(InputError):
        push_to_hub(build(FAMILIES["resnet"]), repo)


def test_numbers_of_channels_are_positive_ints() -> None:
    for wrong in ("x", 0, 1.5):
        with pytest.raises(InputError, match="channels must be an int"):
            Preprocessing.named("cifar10", resize=32, size=32).for_channels(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [["n01", "n02"], {"1": "n02", "0": "n01"}])
@pytest.mark.parametrize("inside", [(), ("label_names",), ("label_descriptions",), ("label_names", "label_descriptions")])
def test_timms_names_of_classes_wherever_they_are(names: object, inside: tuple[str, ...]) -> None:
    labels = {"label_names": names, "label_descriptions": {"n01": "a fox"}}
    pretrained = GOOD["pretrained_cfg"] | {key: value for key, value in labels.items() if key in inside}
    outside = {key: None if key in inside else value for key, value in labels.items()}
    assert pretrained_config_of(GOOD | {"pretrained_cfg": pretrained} | outside).classes == ("a fox", "n02")
