"""Whole networks from a hub, and to it."""

import io
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from families import FAMILIES
from loopback import Hub
from torch import Tensor, nn

from resnetlib import Backbone, build, create_model, push_to_hub, save_model
from resnetlib.weights import MEAN_STD, Preprocessing
from resnetlib.weights.errors import DownloadError


def folder_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def outputs(net: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = net.eval()(images)
    return found


@pytest.fixture
def net() -> Backbone:
    net = build(FAMILIES["resnet"], num_classes=2)
    net.preprocess = Preprocessing.named("cifar10", resize=32, size=32)
    net.classes = ("cat", "dog")
    return net


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 32, 32)


@pytest.mark.filterwarnings("ignore:Use 'content=")
def test_what_is_pushed_is_pulled(hub: Hub, net: Backbone, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token, hub.private = "hf_secret", {"org/name"}
    with pytest.raises(OSError, match="401"):
        push_to_hub(net, "org/name")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    first = push_to_hub(net, "org/name")
    again = create_model("hf-hub:org/name")
    assert torch.equal(outputs(again, images), outputs(net, images))
    assert (again.classes, again.preprocess) == (net.classes, net.preprocess)
    with torch.no_grad():
        net.fc.bias += 1
    push_to_hub(net, "org/name", message="warmer")
    assert torch.equal(outputs(create_model("hf-hub:org/name"), images), outputs(net, images))
    old = create_model(f"hf-hub:org/name@{first}")
    assert torch.equal(outputs(old, images), outputs(again, images))
    assert 'create_model("hf-hub:org/name")' in hub.repos["org/name"].commits[first]["README.md"].decode()
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(DownloadError, match="HF_TOKEN"):
        create_model(f"hf-hub:org/name@{'0' * 40}")


@pytest.mark.filterwarnings("ignore:Use 'content=")
@pytest.mark.parametrize("branch", ["main", "v1"])
def test_a_card_of_the_user_s_is_kept(hub: Hub, net: Backbone, branch: str) -> None:
    hub.add("org/name", {"README.md": b"mine"})
    commit = push_to_hub(net, "org/name", revision=branch)
    assert hub.repos["org/name"].commits[commit]["README.md"] == b"mine"


@pytest.mark.filterwarnings("ignore:Use 'content=")
def test_a_card_that_cannot_be_read_is_not_replaced(hub: Hub, net: Backbone) -> None:
    before = hub.add("org/name", {"README.md": b"mine"})
    hub.fail("503", method="HEAD", path="README.md")
    with pytest.raises(OSError, match=r"the README.md of org/name cannot be read"):
        push_to_hub(net, "org/name")
    assert [*hub.repos["org/name"].commits] == [before]


def test_nothing_is_made_on_the_hub_for_what_cannot_be_uploaded(hub: Hub, net: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_any")
    torch.nn.init.constant_(net.fc.bias, torch.nan)
    with pytest.raises(ValueError, match=r"fc.bias holds numbers that are not finite"):
        push_to_hub(net, "org/name")
    assert "org/name" not in hub.repos


def test_config_and_weights_are_of_one_commit(hub: Hub, net: Backbone, tmp_path: Path, images: Tensor) -> None:
    save_model(net, tmp_path / "old")
    old = folder_files(tmp_path / "old")
    hub.add("org/name", old)
    create_model("hf-hub:org/name")
    other = build(FAMILIES["densenet"], num_classes=3)
    save_model(other, tmp_path / "new")
    hub.add("org/name", folder_files(tmp_path / "new"))
    assert torch.equal(outputs(create_model("hf-hub:org/name"), images), outputs(other, images))


def test_what_is_cached_is_loaded_without_the_hub(hub: Hub, net: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(net, tmp_path / "w")
    commit = hub.add("org/name", folder_files(tmp_path / "w"))
    create_model("hf-hub:org/name")
    asked = len(hub.seen)
    create_model(f"hf-hub:org/name@{commit}")
    assert len(hub.seen) == asked
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    create_model("hf-hub:org/name")
    assert len(hub.seen) == asked


def test_a_pickle_is_taken_only_where_the_hub_says_that_there_are_no_safetensors(
    hub: Hub, net: Backbone, tmp_path: Path, images: Tensor
) -> None:
    save_model(net, tmp_path / "w")
    files = folder_files(tmp_path / "w")
    pickled = io.BytesIO()
    torch.save(build(FAMILIES["resnet"], num_classes=2).state_dict(), pickled)
    hub.add("org/both", files | {"pytorch_model.bin": pickled.getvalue()})
    for kind, method in (("503", ""), ("404", "GET"), ("404", "HEAD"), ("no-repo", "HEAD")):
        hub.fail(kind, method=method, path="model.safetensors")
        with pytest.raises(DownloadError):
            create_model("hf-hub:org/both")
        assert hub.count("GET", "pytorch_model.bin") == hub.count("HEAD", "pytorch_model.bin") == 0
        hub.faults.clear()
    torch.save(net.state_dict(), pickled := io.BytesIO())
    del files["model.safetensors"]
    hub.add("org/pickle", files | {"pytorch_model.bin": pickled.getvalue()})
    assert torch.equal(outputs(create_model("hf-hub:org/pickle"), images), outputs(net, images))


def test_a_repository_of_timm(hub: Hub, tmp_path: Path) -> None:
    peer = timm.create_model("resnet18", num_classes=3)
    timm.models.save_for_hf(peer, tmp_path, model_config={"label_names": ["a", "b", "c"]}, safe_serialization=True)
    hub.add("timm/mine", folder_files(tmp_path))
    net = create_model("hf-hub:timm/mine", num_classes=3)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(outputs(net, images), outputs(peer, images))
    mean, std = MEAN_STD["imagenet"]
    assert net.preprocess == Preprocessing(resize=235, size=224, mean=mean, std=std, interpolation="bicubic")
    assert net.classes == ("a", "b", "c")


@pytest.mark.parametrize(("kind", "v1"), [("basic", False), ("bottleneck", False), ("bottleneck", True)])
def test_a_repository_of_transformers(hub: Hub, tmp_path: Path, kind: str, v1: bool) -> None:
    import transformers

    config = transformers.ResNetConfig(
        depths=[1, 2], hidden_sizes=[64, 128], embedding_size=64 if kind == "basic" else 16, layer_type=kind,
        downsample_in_bottleneck=v1, num_labels=3, id2label={0: "a", 1: "b", 2: "c"},
    )  # fmt: skip
    peer = transformers.ResNetForImageClassification(config)
    peer.save_pretrained(tmp_path)
    transformers.ConvNextImageProcessor(
        size={"shortest_edge": 64}, crop_pct=0.875, image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6], resample=2
    ).save_pretrained(tmp_path)
    hub.add("org/resnet", folder_files(tmp_path))
    net = create_model("hf-hub:org/resnet")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(outputs(net, images), peer.eval()(images).logits, rtol=1e-5, atol=1e-5)
    assert net.spec.stride_in == ("1x1" if v1 else "3x3")
    assert net.classes == ("a", "b", "c")
    assert net.preprocess == Preprocessing(resize=73, size=64, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


def test_weights_of_the_catalog_come_from_the_hub_once(hub: Hub) -> None:
    peer = timm.create_model("resnet18")
    content = safetensors.torch.save(peer.state_dict())
    hub.add("timm/resnet18.a1_in1k", {"model.safetensors": content, "config.json": b"{}"})
    images = torch.randn(1, 3, 64, 64)
    net = create_model("resnet18.a1_in1k")
    asked = len(hub.seen)
    assert hub.count("GET", "model.safetensors") == 1
    assert torch.equal(outputs(net, images), outputs(peer, images))
    assert net.classes is not None
    assert net.classes[0] == "tench"
    assert net.preprocess is not None
    head = create_model("resnet18.a1_in1k", num_classes=10, in_chans=1)
    assert (head.num_classes, head.in_chans, len(hub.seen)) == (10, 1, asked)


def test_weights_that_only_the_hub_vouches_for_are_looked_at(hub: Hub) -> None:
    state = timm.create_model("resnet18").state_dict()
    state["fc.bias"][0] = torch.nan
    hub.add("timm/resnet18.a1_in1k", {"model.safetensors": safetensors.torch.save(state)})
    with pytest.raises(ValueError, match=r"NaN or infinity: fc.bias"):
        create_model("resnet18.a1_in1k")


@pytest.mark.filterwarnings("ignore:Use 'content=")
def test_a_branch_is_pushed_and_pulled(hub: Hub, net: Backbone, images: Tensor) -> None:
    push_to_hub(net, "name", revision="v1")
    assert torch.equal(outputs(create_model("hf-hub:org/name@v1"), images), outputs(net, images))
    commit = hub.repos["org/name"].branches["v1"]
    assert 'create_model("hf-hub:org/name@v1")' in hub.repos["org/name"].commits[commit]["README.md"].decode()
    with pytest.raises(FileNotFoundError):
        create_model("hf-hub:org/name")


def test_a_repository_for_a_network_s_name(hub: Hub, net: Backbone, tmp_path: Path) -> None:
    save_model(create_model("cifar_plain20", num_classes=3), tmp_path / "w")
    hub.add("org/name", folder_files(tmp_path / "w"))
    assert create_model("cifar_plain20", weights="hf-hub:org/name").num_classes == 3
    with pytest.raises(ValueError, match="holds a cifar_plain20, not a cifar_resnet20"):
        create_model("cifar_resnet20", weights="hf-hub:org/name")


def test_weights_that_are_another_network_s_are_refused(hub: Hub) -> None:
    content = safetensors.torch.save(timm.create_model("resnet34").state_dict())
    hub.add("timm/resnet18.a1_in1k", {"model.safetensors": content})
    with pytest.raises(ValueError, match=r"resnet18.a1_in1k into this ResNet:(.*\n)*These names and shapes are a resnet34's"):
        create_model("resnet18.a1_in1k")


def test_timms_name_of_weights_is_theirs_as_weights_too(hub: Hub) -> None:
    peer = timm.create_model("resnetv2_50")
    hub.add("timm/resnetv2_50.a1h_in1k", {"model.safetensors": safetensors.torch.save(peer.state_dict())})
    net = create_model("resnetv2_50", weights="resnetv2_50.a1h_in1k")
    assert net.pretrained_cfg.full_name == "preact_resnet50.a1h_in1k"
