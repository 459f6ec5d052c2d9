"""timm's own tools work on these networks, and answer as for timm's networks."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from families import FAMILIES
from timm.models import FeatureInfo, group_parameters
from timm.models._features import FeatureGetterNet, FeatureListNet
from timm.models._hub import save_for_hf
from timm.optim import create_optimizer_v2

import resnetlib.timm_models
from resnetlib import Backbone, Spec, build, create_model, save_model
from resnetlib.config import MEAN_STD, Preprocessing
from resnetlib.modules.stage import Recomputing

IMAGES = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
PEERS = {"resnet18": "resnet18", "preact_resnet18": "resnetv2_18", "densenet121": "densenet121"}


def test_the_weights_preprocessing_is_timms_data_config() -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    config = timm.data.resolve_model_data_config(net)
    mean, std = MEAN_STD["cifar10"]
    assert config == {
        "input_size": (3, 32, 32), "interpolation": "bilinear", "mean": mean, "std": std, "crop_pct": 1.0, "crop_mode": "center",
    }  # fmt: skip
    pixels = torch.randint(0, 256, (40, 30, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).numpy()
    from PIL import Image

    image = Image.fromarray(pixels)
    assert net.preprocess is not None
    torch.testing.assert_close(timm.data.create_transform(**config)(image), net.preprocess(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 4])
def test_the_data_config_has_the_channels_that_weights_were_adapted_to(channels: int) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10", in_chans=channels)
    config = timm.data.resolve_model_data_config(net)
    assert net.preprocess is not None
    assert config["input_size"] == (channels, 32, 32)
    assert (config["mean"], config["std"]) == (net.preprocess.mean, net.preprocess.std)


@pytest.mark.parametrize("name", ["cifar_resnet20", "plain18"])
def test_timm_reads_preprocessing_and_classes_of_a_folder_as_for_its_own_networks(name: str, tmp_path: Path) -> None:
    steps = Preprocessing(resize=40, size=36, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), interpolation="bicubic")
    for each in (name, "resnet18"):
        net = create_model(each, num_classes=3)
        net.preprocess, net.classes = steps, ("a", "b", "c")
        save_model(net, tmp_path / each)
    ours, theirs = (timm.create_model(f"local-dir:{tmp_path / each}", pretrained=True) for each in (name, "resnet18"))
    assert ours.preprocess == steps
    assert ours.classes == ("a", "b", "c")
    config = timm.data.resolve_model_data_config(ours)
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()} == {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in timm.data.resolve_model_data_config(theirs).items()
    }
    changed = timm.create_model(f"local-dir:{tmp_path / name}", pretrained_cfg_overlay={"num_classes": 5, "std": (0.1, 0.1, 0.1)})
    assert (changed.num_classes, changed.classes, changed.preprocess.std) == (5, None, (0.1, 0.1, 0.1))
    one = timm.create_model(f"local-dir:{tmp_path / name}", pretrained=True, in_chans=1)
    assert one.preprocess.mean == pytest.approx((0.2,))
    assert timm.create_model(f"local-dir:{tmp_path / name}", pretrained=True, num_classes=0).classes is None
    for overlay in ({"interpolation": "lanczos"}, {"crop_pct": 1.1}, {"std": None}):  # which this library does not have
        assert timm.create_model(f"local-dir:{tmp_path / name}", pretrained_cfg_overlay=overlay).preprocess is None
    overlay = {"label_names": {"1": "x", "0": "y", "2": "z"}, "label_descriptions": {"x": "a fox"}}
    assert timm.create_model(f"local-dir:{tmp_path / name}", pretrained_cfg_overlay=overlay).classes == ("y", "a fox", "z")


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_without_weights_the_data_config_is_the_usual_one(name: str) -> None:
    ours, theirs = create_model(name, device="meta"), timm.create_model(name)
    config = timm.data.resolve_model_data_config(ours)
    assert config == timm.data.resolve_data_config({}, pretrained_cfg={"input_size": (3, 224, 224)})
    assert ours.default_cfg["pool_size"] == theirs.default_cfg["pool_size"] == (7, 7)
    assert {key: ours.pretrained_cfg[key] for key in ("first_conv", "classifier", "architecture", "num_classes")} == {
        key: theirs.pretrained_cfg[key] for key in ("first_conv", "classifier", "architecture", "num_classes")
    }


def test_the_data_config_of_maps_and_of_another_preprocessing() -> None:
    net = create_model("cifar_resnet20", pretrained=True)
    expected = timm.data.resolve_model_data_config(net)
    assert timm.data.resolve_model_data_config(create_model("cifar_resnet20", pretrained=True, features_only=True)) == expected
    net.preprocess = Preprocessing.named("imagenet", resize=40, size=36)
    config = timm.data.resolve_model_data_config(net)
    assert (config["input_size"], config["crop_pct"], config["mean"][0]) == ((3, 36, 36), 0.9, 0.485)


def test_without_weights_a_cifar_network_takes_cifars_images() -> None:
    config = timm.data.resolve_model_data_config(create_model("cifar_densenet40_k12", device="meta"))
    assert config["input_size"] == (3, 32, 32)
    assert (config["mean"], config["std"]) == MEAN_STD["cifar10"]
    assert create_model("cifar_densenet40_k12", device="meta").pretrained_cfg["pool_size"] == (8, 8)


@pytest.mark.parametrize("name", PEERS)
def test_feature_info_has_timms_methods(name: str) -> None:
    ours = create_model(name, device="meta").feature_info
    theirs = FeatureInfo(timm.create_model(PEERS[name]).feature_info, (0, 1, 2, 3, 4))
    for idx in (None, 2, -1, [1, 3], (0,)):
        assert ours.channels(idx) == theirs.channels(idx)
        assert ours.reduction(idx) == theirs.reduction(idx)
        assert ours.get_dicts(["num_chs", "reduction"], idx) == theirs.get_dicts(["num_chs", "reduction"], idx)
    assert ours.module_name(1) == ours[1]["module"] == ours.module_name()[1]
    assert ours.get_dicts(idx=[1]) == [ours[1]]


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("name", PEERS)
def test_parameters_fall_into_timms_layers(name: str, coarse: bool) -> None:
    ours, theirs = create_model(name), timm.create_model(PEERS[name])
    got, expected = (group_parameters(net, net.group_matcher(coarse=coarse), reverse=True) for net in (ours, theirs))
    assert sorted(Counter(got.values()).items()) == sorted(Counter(expected.values()).items())
    if name == PEERS[name]:
        assert got == expected


def test_layer_decay(spec: Spec) -> None:
    net = build(spec, num_classes=3)
    optimizer = create_optimizer_v2(net, opt="adamw", lr=1e-3, weight_decay=0.1, layer_decay=0.75)
    scale = {parameter: group["lr_scale"] for group in optimizer.param_groups for parameter in group["params"]}
    assert set(scale) == set(net.parameters())
    assert all(scale[parameter] == 1 for parameter in net.get_classifier().parameters())
    deepest = 0.0
    for block in net.blocks():
        (of_block,) = {scale[parameter] for parameter in block.parameters()}
        assert of_block > deepest
        deepest = of_block
    decayed = {p for group in optimizer.param_groups for p in group["params"] if group["weight_decay"]}
    assert decayed == {parameter for parameter in net.parameters() if parameter.ndim > 1}


@pytest.mark.parametrize("name", PEERS)
def test_a_feature_network_recomputes_as_timms_does(name: str) -> None:
    nets = create_model(name, features_only=True), timm.create_model(PEERS[name], features_only=True)
    for net in nets:
        net.set_grad_checkpointing()
    assert all(module.checkpointing is True for module in nets[0].modules() if isinstance(module, Recomputing))
    x = IMAGES.clone().requires_grad_()
    sum(each.sum() for each in nets[0](x)).backward()
    assert x.grad is not None
    with pytest.raises(ValueError, match="must be True, False or 'max', got 2"):
        nets[0].set_grad_checkpointing(2)


@pytest.mark.parametrize("prune_norm", [True, False])
@pytest.mark.parametrize("name", PEERS)
def test_a_pruned_network_is_timms(name: str, prune_norm: bool) -> None:
    nets = create_model(name).eval(), timm.create_model(PEERS[name]).eval()
    for net in nets:
        net.prune_intermediate_layers([2], prune_norm=prune_norm)
    assert nets[0].num_features == nets[1].num_features == nets[0](IMAGES).shape[1]
    assert nets[0](IMAGES).shape == nets[1](IMAGES).shape


def test_the_classifiers_name() -> None:
    assert create_model("resnet18", device="meta").get_classifier(name_only=True) == "fc"
    assert create_model("densenet121", device="meta").get_classifier(True) == "classifier"


@pytest.mark.parametrize("name", PEERS)
def test_an_unpooled_head_is_timms(name: str) -> None:
    spec = create_model(name, device="meta").spec
    ours = build(spec, num_classes=0, global_pool="").eval()
    theirs = timm.create_model(PEERS[name], num_classes=0, global_pool="").eval()
    assert ours(IMAGES).shape == theirs(IMAGES).shape
    features = ours.forward_features(IMAGES)
    assert torch.equal(ours(IMAGES), features)
    assert torch.equal(ours.forward_head(features, pre_logits=True), features)
    for net in (ours, theirs):
        net.reset_classifier(3, "avg")
        assert net(IMAGES).shape == (1, 3)
        net.reset_classifier(0)
        assert net(IMAGES).shape == (1, net.num_features)
        net.reset_classifier(0, "")
        net.reset_classifier(0)
        assert net(IMAGES).ndim == 4
    assert ours.head_hidden_size == theirs.head_hidden_size


def test_a_map_has_no_classifier() -> None:
    spec = FAMILIES["resnet"]
    with pytest.raises(ValueError, match=r"global_pool='' returns the last feature map.*num_classes=0, got 10"):
        build(spec, global_pool="")
    with pytest.raises(ValueError, match=r"global_pool must be 'avg', or '' for no pooling, got 'max'"):
        build(spec, global_pool="max")  # type: ignore[arg-type]
    net = build(spec, num_classes=0, global_pool="")
    with pytest.raises(ValueError, match="set global_pool='avg'"):
        net.reset_classifier(5)
    assert "global_pool=''" in repr(net)
    assert (net.num_classes, net.global_pool) == (0, "")


def test_feature_wrappers(spec: Spec) -> None:
    net = build(spec).eval()
    expected = net.forward_intermediates(IMAGES, [0, 1], intermediates_only=True)
    channels = net.feature_info.channels([0, 1])
    getter = FeatureGetterNet(net, out_indices=(0, 1))
    assert getter.feature_info.channels() == channels
    assert all(torch.equal(y, z) for y, z in zip(getter(IMAGES), expected, strict=True))
    assert not any(parameter.shape for block in net.stages()[-1] for parameter in block.parameters())  # nothing is left


def test_a_feature_list_of_a_resnet() -> None:
    net = create_model("resnet18").eval()
    expected = net.forward_intermediates(IMAGES, [2, 4], intermediates_only=True)
    maps = FeatureListNet(net, out_indices=(2, 4))(IMAGES)
    assert all(torch.equal(y, z) for y, z in zip(maps, expected, strict=True))


@pytest.mark.parametrize("name", ["resnet18", "plain18", "cifar_preact_resnet20", "cifar_densenet40_k12"])
@pytest.mark.parametrize("save", [lambda net, folder: save_for_hf(net, folder, safe_serialization=True), save_model])
def test_timm_loads_what_timm_and_we_saved(save: Any, name: str, tmp_path: Path) -> None:
    net = create_model(name, num_classes=5, in_chans=1).eval()
    save(net, tmp_path)
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = IMAGES.mean(1, keepdim=True)
    torch.testing.assert_close(again(images), net(images), rtol=1e-4, atol=1e-4)
    assert isinstance(again, Backbone) == (name != "resnet18")
    torch.testing.assert_close(create_model(tmp_path).eval()(images), net(images), rtol=1e-4, atol=1e-4)
    other = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=2, in_chans=3).eval()
    assert other(IMAGES).shape == (1, 2)


def test_transformers_loads_our_folders(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    net = create_model("cifar_plain20", num_classes=3).eval()
    net.classes = ("a", "b", "c")
    save_model(net, tmp_path)
    again = transformers.AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(IMAGES).logits, net(IMAGES), rtol=1e-4, atol=1e-4)
    assert again.config.id2label[1] == "b"


def test_timm_builds_our_names() -> None:
    net = timm.create_model("cifar_resnet20", num_classes=4, drop_rate=0.2)
    assert isinstance(net, resnetlib.ResNet)
    assert (net.num_classes, net.drop_rate) == (4, 0.2)
    assert type(timm.create_model("resnet18")) is timm.models.ResNet
    with pytest.raises(TypeError, match=r"timm.create_model\(\) has no norm_layer: write build\(replace\(spec_of\(\"plain18\"\)"):
        timm.create_model("plain18", norm_layer=torch.nn.Identity)
    with pytest.raises(ValueError, match=r"timm has no weights of this name: use resnetlib.create_model"):
        timm.create_model("cifar_resnet20", pretrained=True)
    with pytest.raises(ValueError, match=r"timm has no weights of this name: use resnetlib.create_model"):
        timm.create_model("cifar_resnet20.nonsense")
    with pytest.raises(ValueError, match=r"use resnetlib.features.pyramid"):
        timm.create_model("cifar_resnet20", features_only=True)


def test_the_config_is_a_mapping_of_timms_keys() -> None:
    cfg = create_model("resnet18", device="meta").pretrained_cfg
    assert dict(cfg) == {**cfg} == cfg.to_timm()
    assert "test_input_size" not in cfg
    assert cfg.get("hf_hub_id") is None
    assert set(cfg) <= {*timm.models.PretrainedCfg.__dataclass_fields__}
