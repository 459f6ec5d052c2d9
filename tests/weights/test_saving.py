"""A network in a folder: rebuilt from it alone, here, in timm, and by huggingface_hub's mixin."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors
import timm
import torch
import torchvision
from families import FAMILIES
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.utils import prune

from resnetlib import Backbone, Replace, ResNet, ResNetSpec, build, create_model, load_file, save_model, spec_from_json, spec_of
from resnetlib.models import DenseNetSpec, Spec
from resnetlib.models.catalog import TIMM_NAMES
from resnetlib.weights import (
    Preprocessing,
    PretrainedConfig,
    convert_file,
    load_state,
    read_weights,
    save,
    to_dialect,
    write_weights,
)
from resnetlib.weights.config_files import timm_name

CIFAR = Preprocessing.named("cifar10", resize=32, size=32)


def trained(net: nn.Module) -> Any:
    """Give statistics that no new network has, and put it into eval mode."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return net.eval()


def outputs(net: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = net(images)
    return found


@pytest.mark.parametrize("change", [{}, {"num_classes": 0}, {"in_chans": 5}])
def test_a_folder_is_enough(spec: Spec, change: dict[str, int], tmp_path: Path) -> None:
    net = trained(build(spec, **{"num_classes": 3, **change}))  # type: ignore[arg-type]
    names = ["a", "b", "c"] if net.num_classes else None
    save_model(net, tmp_path / "w", classes=names)
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    images = torch.randn(2, net.in_chans, 32, 32)
    for again in (create_model(tmp_path / "w"), load_file(tmp_path / "w" / "model.safetensors")):
        assert type(again) is type(net)
        assert again.spec == spec
        assert again.classes == (tuple(names) if names else None)
        assert torch.equal(outputs(again.eval(), images), outputs(net, images))


@pytest.mark.parametrize("name", ["resnet18", "resnet26", "densenet121", "preact_resnet18"])
def test_timm_loads_the_folder(name: str, tmp_path: Path) -> None:
    net = trained(create_model(name, num_classes=4, in_chans=2))
    net.preprocess = Preprocessing(resize=72, size=64, mean=(0.1, 0.2), std=(0.3, 0.4), interpolation="bicubic")
    save_model(net, tmp_path / "w", classes=["a", "b", "c", "d"])
    peer = timm.create_model(f"local-dir:{tmp_path / 'w'}", pretrained=True).eval()
    images = torch.randn(2, 2, 64, 64)
    torch.testing.assert_close(outputs(peer, images), outputs(net, images), rtol=1e-5, atol=1e-5)
    data = timm.data.resolve_model_data_config(peer)
    assert (data["input_size"], list(data["mean"]), data["interpolation"]) == ((2, 64, 64), [0.1, 0.2], "bicubic")
    assert data["crop_pct"] == pytest.approx(64 / 72)
    assert peer.pretrained_cfg["label_names"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_a_state_dict_opens_in_torchvision(name: str, tmp_path: Path) -> None:
    net = trained(create_model(name, num_classes=4))
    save_model(net, tmp_path / "w")
    for state in (net.state_dict(), read_weights(tmp_path / "w" / "model.safetensors").state):
        peer = torchvision.models.get_model(name, weights=None, num_classes=4).eval()
        peer.load_state_dict(state)
        images = torch.randn(1, 3, 64, 64)
        assert torch.equal(outputs(peer, images), outputs(net, images))


def test_what_timm_saves_is_loaded(tmp_path: Path) -> None:
    peer = trained(timm.create_model("resnetv2_18", num_classes=5, in_chans=1))
    timm.models.save_for_hf(peer, tmp_path / "w", model_config={"label_names": list("abcde")}, safe_serialization=True)
    net = create_model(tmp_path / "w").eval()
    assert type(net).__name__ == "PreActResNet"
    assert net.classes == tuple("abcde")
    images = torch.randn(1, 1, 64, 64)
    torch.testing.assert_close(outputs(net, images), outputs(peer, images), rtol=1e-5, atol=1e-5)


class HubResNet(ResNet, PyTorchModelHubMixin):
    """A network as users of huggingface_hub's mixin would write it: what the constructor takes is JSON."""

    def __init__(self, spec_json: str, num_classes: int = 10) -> None:
        spec = spec_from_json(spec_json)
        assert isinstance(spec, ResNetSpec)
        super().__init__(spec, num_classes=num_classes)


def test_the_mixin_reads_what_is_saved_and_is_read(tmp_path: Path) -> None:
    spec = FAMILIES["resnet"]
    net = trained(build(spec, num_classes=4))
    save_model(net, tmp_path / "ours")
    pulled = HubResNet.from_pretrained(tmp_path / "ours", spec_json=spec.to_json(), num_classes=4, strict=True)
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(outputs(pulled, images), outputs(net, images))
    pulled.save_pretrained(tmp_path / "theirs")
    assert torch.equal(outputs(HubResNet.from_pretrained(tmp_path / "theirs", strict=True), images), outputs(net, images))
    again = load_file(tmp_path / "theirs" / "model.safetensors", spec=spec).eval()
    assert torch.equal(outputs(again, images), outputs(net, images))


def test_what_is_certain_is_said(tmp_path: Path) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10", num_classes=2)
    save_model(net, tmp_path / "w", classes=["cat", "dog"])
    cfg = create_model(tmp_path / "w").pretrained_cfg
    assert cfg.name == "cifar_resnet20"
    assert cfg.tag == ""
    assert cfg.top1 is None
    assert cfg.preprocess == CIFAR
    assert cfg.license == "Apache-2.0"
    assert cfg.origin.startswith("began as cifar_resnet20.resnetlib_c10")
    assert cfg.params == sum(parameter.numel() for parameter in net.parameters())
    card = (tmp_path / "w" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: resnetlib\n")
    assert "license: apache-2.0" in card
    assert 'create_model("./w")' in card


def test_a_given_pretrained_config_is_written(tmp_path: Path) -> None:
    net = create_model("cifar_plain20")
    cfg = PretrainedConfig(
        name="cifar_plain20", tag="mine", spec=net.spec, classes=tuple("abcdefghij"), preprocess=CIFAR, top1=12.5, license="MIT | x"
    )
    save_model(net, tmp_path / "w", pretrained_cfg=cfg)
    assert create_model(tmp_path / "w").pretrained_cfg == replace(cfg, params=269_722)
    assert "| top-1 | 12.5 % |" in (tmp_path / "w" / "README.md").read_text()


def test_what_would_be_untrue_is_not_written(tmp_path: Path) -> None:
    net = create_model("cifar_plain20")
    other = PretrainedConfig(name="cifar_resnet20", tag="", spec=create_model("cifar_resnet20", device="meta").spec)
    with pytest.raises(ValueError, match="the pretrained config describes another network"):
        save_model(net, tmp_path / "w", pretrained_cfg=other)
    with pytest.raises(ValueError, match="there are 2 classes, but the network has 10 logits"):
        save_model(net, tmp_path / "w", classes=["a", "b"])
    with pytest.raises(TypeError, match=r"^classes must be a sequence of names, got 'abcdefghij'$"):
        save_model(net, tmp_path / "w", classes="abcdefghij")
    with pytest.raises(TypeError, match=r"^classes must be a sequence of names, got {'a'}$"):  # it has no order
        save_model(net, tmp_path / "w", classes={"a"})  # type: ignore[arg-type]
    net.preprocess = CIFAR.for_channels(1)
    with pytest.raises(ValueError, match="the preprocessing makes 1 channels, but the network takes 3"):
        save_model(net, tmp_path / "w")
    net.preprocess = lambda image: image
    with pytest.raises(ValueError, match=r"preprocess must be a Preprocessing or None, got function"):
        save_model(net, tmp_path / "w")
    net.preprocess = None
    with pytest.raises(ValueError, match="on the meta device"):
        save_model(create_model("cifar_plain20", device="meta"), tmp_path / "w")
    assert not (tmp_path / "w" / "config.json").exists()


CHANGES: dict[str, Callable[[Any], object]] = {
    "layer1": lambda net: net.layer1.append(nn.Conv2d(16, 16, 1)),
    r"layer2.1.join is Replace\(\), but Add": lambda net: setattr(net.layer2[1], "join", Replace()),
    "relu is SiLU": lambda net: setattr(net, "relu", nn.SiLU()),
    "avgpool is AdaptiveMaxPool2d": lambda net: setattr(net, "avgpool", nn.AdaptiveMaxPool2d(1)),
    "bn1 is .*eps=0.01": lambda net: setattr(net.bn1, "eps", 1e-2),
    "layer3.0.conv1 is .*stride=.1, 1": lambda net: setattr(net.layer3[0].conv1, "stride", (1, 1)),
    "fc is .*bias=False": lambda net: setattr(net, "fc", nn.Linear(64, 10, bias=False)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_network_is_not_saved_as_another_one(what: str, tmp_path: Path) -> None:
    net = create_model("cifar_resnet20")
    CHANGES[what](net)
    with pytest.raises(ValueError, match=f"the network was changed: {what}"):
        save_model(net, tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_what_only_regularizes_does_not_matter(tmp_path: Path) -> None:
    net = create_model("cifar_densenet40_k12", drop_path_rate=0.1, drop_rate=0.2, proj_drop_rate=0.3, memory_efficient=True)
    net.features.norm5.momentum = 0.01
    save_model(net, tmp_path / "w")
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(outputs(create_model(tmp_path / "w").eval(), images), outputs(net.eval(), images))
    scaled = build(FAMILIES["resnet-scaled"])
    torch.nn.init.constant_(next(scaled.blocks()).join.alpha, 0.5)  # type: ignore[arg-type]
    save_model(scaled, tmp_path / "scaled")


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compiled": torch.compile,
    "DataParallel": nn.DataParallel,
    "AveragedModel": torch.optim.swa_utils.AveragedModel,
    "two": lambda net: torch.compile(nn.DataParallel(net)),
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_a_wrapped_network_is_saved_without_its_wrapper(kind: str, tmp_path: Path) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    save_model(WRAPPERS[kind](net), tmp_path / "w")  # type: ignore[arg-type]
    again = create_model(tmp_path / "w")
    assert again.classes == net.classes
    assert torch.equal(again.conv1.weight, net.conv1.weight)


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_a_parallel_network_is_saved_and_a_sharded_one_says_how(tmp_path: Path) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    save_model(nn.parallel.DistributedDataParallel(net), tmp_path / "ddp")  # type: ignore[arg-type]
    sharded = create_model("cifar_resnet20.resnetlib_c10")
    fully_shard(sharded, mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(ValueError, match=r"conv1.weight is sharded .* get_model_state_dict\(net, options=StateDictOptions\(full_"):
        save_model(sharded, tmp_path / "fsdp")
    state = get_model_state_dict(sharded, options=StateDictOptions(full_state_dict=True))
    plain = create_model("cifar_resnet20")
    load_state(plain, state)
    save_model(plain, tmp_path / "fsdp")
    for folder in ("ddp", "fsdp"):
        assert torch.equal(create_model(tmp_path / folder).fc.weight, net.fc.weight)


def pruned(net: Backbone) -> nn.Module:
    prune.l1_unstructured(net.conv1, "weight", 0.5)
    return net


def parametrized(net: Backbone) -> nn.Module:
    torch.nn.utils.parametrizations.weight_norm(net.conv1)
    return net


def narrowed(net: Backbone) -> nn.Module:
    torch_pruning = pytest.importorskip("torch_pruning")
    graph = torch_pruning.DependencyGraph().build_dependency(net.eval(), torch.zeros(1, 3, 32, 32))
    graph.get_pruning_group(net.layer1[0].conv1, torch_pruning.prune_conv_out_channels, [0, 3]).prune()
    return net


def quantized(net: Backbone) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(net, {nn.Linear})


def quantized_by_torchao(net: Backbone) -> nn.Module:
    torchao = pytest.importorskip("torchao.quantization")
    torchao.quantize_(net.eval(), torchao.Int8WeightOnlyConfig())
    return net


def adapted(net: Backbone) -> nn.Module:
    peft = pytest.importorskip("peft")
    return peft.get_peft_model(net, peft.LoraConfig(target_modules=["layer1.0.conv1", "fc"]))


class Normalized(nn.Module):
    """More than a wrapper: saving only the network in it would change the outputs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module((x - 0.5) / 0.25)


OTHER_FORMS: dict[str, tuple[Callable[[Backbone], nn.Module], str]] = {
    "pruned": (pruned, r"prune.remove\(module, 'weight'\)"),
    "parametrized": (parametrized, "remove_parametrizations"),
    "narrowed": (narrowed, r"layer1.0.conv1 is .* save all of it with torch.save\(net, path\)"),
    "quantized": (quantized, "save the state_dict of the quantized network"),
    "torchao": (quantized_by_torchao, r"quantized network: save it with torch.save\(net.state_dict\(\), path\)"),
    "peft": (adapted, r"save_model\(model.merge_and_unload\(\), folder\)"),
    "within peft": (lambda net: adapted(net).base_model.model, r"merge_and_unload\(\) of the PeftModel"),
    "exported": (lambda net: torch.export.export(net.eval(), (torch.zeros(1, 3, 32, 32),)).module(), r"torch.export.save\("),
    "with another layer": (Normalized, "expected a network of this library, got Normalized"),
    "none": (lambda net: nn.Linear(2, 2), "expected a network of this library, got Linear"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", OTHER_FORMS)
def test_a_network_in_another_form_says_what_keeps_it(kind: str, tmp_path: Path) -> None:
    change, message = OTHER_FORMS[kind]
    net = change(create_model("cifar_resnet20.resnetlib_c10"))
    with pytest.raises((ValueError, TypeError), match=message):
        save_model(net, tmp_path / "w")  # type: ignore[arg-type]
    assert not (tmp_path / "w").exists()


@pytest.mark.filterwarnings("ignore")
def test_what_keeps_a_network_does(tmp_path: Path) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    prune.remove(pruned(net).conv1, "weight")
    save_model(net, tmp_path / "pruned")
    assert (create_model(tmp_path / "pruned").conv1.weight == 0).float().mean() == 0.5
    torch.save(net, tmp_path / "net.pt")
    assert torch.equal(torch.load(tmp_path / "net.pt", weights_only=False).fc.weight, net.fc.weight)


@pytest.mark.filterwarnings("ignore")
def test_merged_adapters_are_saved(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    save_model(adapted(create_model("cifar_resnet20.resnetlib_c10")).merge_and_unload(), tmp_path / "same")
    assert len(create_model(tmp_path / "same").classes) == 10
    net = create_model("cifar_resnet20.resnetlib_c10")
    net.fc = nn.Linear(64, 5)
    config = peft.LoraConfig(target_modules=["layer1.0.conv1"], modules_to_save=["fc"])
    save_model(peft.get_peft_model(net, config).merge_and_unload(), tmp_path / "other")
    assert (create_model(tmp_path / "other").num_classes, create_model(tmp_path / "other").classes) == (5, None)


HEADS: dict[str, Callable[[int], nn.Module]] = {
    "Linear": lambda width: nn.Linear(width, 5),
    "Dropout, Linear": lambda width: nn.Sequential(nn.Dropout(0.2), nn.Linear(width, 5)),
    "Linear alone": lambda width: nn.Sequential(nn.Linear(width, 5)),
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ["resnet", "preact", "densenet"])
def test_a_classifier_that_was_replaced_is_saved(name: str, head: str, tmp_path: Path) -> None:
    net = build(FAMILIES[name], num_classes=2)
    net.classes = ("cat", "dog")
    setattr(net, net.classifier_name, HEADS[head](net.num_features))
    save_model(net, tmp_path / "net")
    again = create_model(tmp_path / "net")
    assert (again.num_classes, again.classes) == (5, None)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(again.eval()(x), net.eval()(x))
    save_model(net, tmp_path / "named", classes=list("abcde"))
    assert create_model(tmp_path / "named").classes == tuple("abcde")


def test_a_classifier_that_was_removed_is_saved_as_none(tmp_path: Path) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    net.fc = nn.Identity()
    save_model(net, tmp_path / "net")
    again = create_model(tmp_path / "net")
    assert (again.num_classes, again.classes) == (0, None)


def test_another_kind_of_classifier_is_not_saved(tmp_path: Path) -> None:
    net = create_model("cifar_resnet20")
    for head in (nn.Sequential(nn.Linear(64, 5), nn.Softmax(1)), nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 5))):
        net.fc = head
        with pytest.raises(ValueError, match="the network was changed: fc is Sequential"):
            save_model(net, tmp_path / "w")


def test_tied_parameters_are_saved_twice(tmp_path: Path) -> None:
    net = create_model("cifar_plain20")
    net.layer1[1].conv1.weight = net.layer1[0].conv1.weight
    save_model(net, tmp_path / "w")
    again = create_model(tmp_path / "w")
    assert torch.equal(again.layer1[1].conv1.weight, net.layer1[0].conv1.weight)
    assert again.layer1[1].conv1.weight is not again.layer1[0].conv1.weight


def test_the_origin_is_told_once(tmp_path: Path) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    for i in range(3):
        save_model(net, tmp_path / str(i))
        net = create_model(tmp_path / str(i))
    assert net.pretrained_cfg.origin.count("began as") == 1
    other = build(FAMILIES["resnet"])
    save_model(other, tmp_path / "other")
    assert create_model(tmp_path / "other").pretrained_cfg.origin == ""


def test_a_pretrained_config_that_is_not_true_is_refused(tmp_path: Path) -> None:
    net = create_model("cifar_plain20", num_classes=2)
    true = PretrainedConfig(
        name="cifar_plain20", tag="x", spec=net.spec, classes=("a", "b"), class_ids=("1", "2"), preprocess=CIFAR
    )
    for write in (
        lambda cfg: save_model(net, tmp_path / "w", pretrained_cfg=cfg),
        lambda cfg: write_weights(net, tmp_path / "w.safetensors", cfg),
    ):
        for change, message in (
            ({"name": "cifar_plain32"}, "calls this network cifar_plain32, which is another one"),
            ({"classes": ("a",), "class_ids": None}, "there are 1 classes"),
            ({"preprocess": CIFAR.for_channels(1)}, "makes 1 channels"),
            ({"params": 5}, r"says 5 parameters, but the network has 269,202"),
        ):
            with pytest.raises(ValueError, match=message):
                write(replace(true, **change))  # type: ignore[arg-type]
    save_model(net, tmp_path / "w", pretrained_cfg=true, classes=["c", "d"])
    assert create_model(tmp_path / "w").pretrained_cfg.class_ids is None


class Killed(BaseException):
    """The process died."""


def runs_to_its_end(work: Callable[[], object], killed_at: int) -> bool:
    """Do some work in a process that dies at its n-th call that changes files: whatever it would do after that has no effect."""
    seen = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen >= killed_at:
                raise Killed
            return call(*args, **kwargs)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "fsync", "chmod", "replace", "unlink"):
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            work()
        except Killed:
            return False
    return True


def restore(folder: Path, contents: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("old", ["ours", "theirs"])
def test_whoever_is_killed_while_replacing_a_network_leaves_the_old_or_the_new_one(
    old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "w"
    nets = {n: build(FAMILIES[name], num_classes=n) for n, name in ((2, "resnet"), (3, "densenet"), (4, "resnet-a"))}
    monkeypatch.setattr("resnetlib.weights.save._encode", cache(save._encode))  # the contents are the same each time
    if old == "ours":
        save_model(nets[2], folder, classes=("2 0", "2 1"))
    else:  # as transformers writes it
        nets[2] = build(replace(FAMILIES["resnet"], stem="imagenet"), num_classes=2)
        config = {"model_type": "resnet", "layer_type": "basic", "hidden_sizes": [8, 16], "depths": [2, 1], "embedding_size": 8}
        restore(folder, {"config.json": json.dumps(config).encode()})
        torch.save(to_dialect(nets[2].state_dict(), nets[2].spec, "transformers"), folder / "pytorch_model.bin")
    (folder / "mine.txt").write_text("kept")
    first = contents_of(folder)

    def saves(n: int, killed_at: int = 1000) -> bool:
        classes: Any = tuple(f"{n} {i}" for i in range(n))
        return runs_to_its_end(lambda: save_model(nets[n], folder, classes=classes, overwrite=True), killed_at)

    def found() -> int:
        net = create_model(folder)
        assert net.classes in (None, tuple(f"{net.num_classes} {i}" for i in range(net.num_classes)))
        saved = nets[net.num_classes].state_dict()
        assert all(torch.equal(tensor, saved[key]) for key, tensor in net.state_dict().items())
        return net.num_classes

    seen, when, done = set[int](), 0, False
    while not done:
        when += 1
        restore(folder, first)
        done = saves(3, when)
        seen.add(found())
        second, again = contents_of(folder), 1
        if found() == 3 and any(folder.glob(".config.json.*")):
            while not saves(4, again):  # the next process is killed as well
                assert found() in (3, 4)
                again += 1
                restore(folder, second)
        else:
            assert saves(4)
        assert found() == 4
        names = {path.name for path in folder.iterdir()} - {"pytorch_model.bin"}
        assert names == {"README.md", "config.json", "model.safetensors", "mine.txt"}
    assert seen == {2, 3}
    assert when > 8


def test_a_refused_overwrite_leaves_the_old_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = build(FAMILIES["resnet"], num_classes=2)
    save_model(net, tmp_path / "w", classes=["cat", "dog"])
    before = {path.name: path.read_bytes() for path in (tmp_path / "w").iterdir()}
    other = build(FAMILIES["densenet"], num_classes=2)
    torch.nn.init.constant_(other.classifier.bias, torch.nan)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"classifier.bias holds numbers that are not finite"):
        save_model(other, tmp_path / "w", overwrite=True)
    (tmp_path / "w" / "README.md").unlink()
    (tmp_path / "w" / "README.md").mkdir()
    with pytest.raises(IsADirectoryError, match=r"README.md is a folder"):
        save_model(build(FAMILIES["densenet"]), tmp_path / "w", overwrite=True)
    (tmp_path / "w" / "README.md").rmdir()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_model(net, tmp_path / "w", classes=["iris", "rose"], overwrite=True)
    after = {path.name: path.read_bytes() for path in (tmp_path / "w").iterdir()}
    assert after == {name: content for name, content in before.items() if name != "README.md"}
    assert create_model(tmp_path / "w").classes == ("cat", "dog")


def test_a_refused_conversion_leaves_the_target(tmp_path: Path) -> None:
    net = build(FAMILIES["resnet"], num_classes=2)
    torch.nn.init.constant_(net.fc.bias, torch.nan)  # type: ignore[arg-type]
    torch.save(net.state_dict(), tmp_path / "w.pth")
    (tmp_path / "w.safetensors").write_bytes(b"old")
    with pytest.raises(ValueError, match=r"fc.bias holds numbers that are not finite"):
        convert_file(tmp_path / "w.pth", tmp_path / "w.safetensors", "resnetlib", spec=net.spec, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".pth"} == {"w.safetensors": b"old"}


def test_a_replaced_network_keeps_its_permissions(tmp_path: Path) -> None:
    net = build(FAMILIES["resnet"], num_classes=2)
    save_model(net, tmp_path)
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    save_model(net, tmp_path, overwrite=True)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_the_same_network_is_the_same_bytes(tmp_path: Path) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    files = []
    for i in range(8):  # safetensors orders its metadata at random
        save_model(net, tmp_path / str(i) / "w")
        files.append({path.name: path.read_bytes() for path in (tmp_path / str(i) / "w").iterdir()})
    assert all(file == files[0] for file in files)
    assert list(safetensors.safe_open(tmp_path / "0" / "w" / "model.safetensors", "pt").keys())


def test_the_same_network_under_another_spec_is_the_same(tmp_path: Path) -> None:
    net = build(replace(spec_of("resnet18"), init="zero_init_residual"), num_classes=2)
    save_model(net, tmp_path / "w")
    assert create_model(tmp_path / "w").pretrained_cfg.name == "resnet18"
    assert create_model("resnet18", weights=tmp_path / "w" / "model.safetensors").num_classes == 2
    assert load_file(tmp_path / "w" / "model.safetensors", spec=spec_of("resnet18")).num_classes == 2
    assert timm.create_model(f"local-dir:{tmp_path / 'w'}", pretrained=True).num_classes == 2


def test_every_name_of_timm_s_is_timm_s() -> None:
    for theirs, ours in TIMM_NAMES.items():
        assert timm.is_model(theirs), theirs
        peer, net = timm.create_model(theirs, device="meta"), create_model(ours, device="meta")
        assert sum(parameter.numel() for parameter in peer.parameters()) == sum(parameter.numel() for parameter in net.parameters())
    assert timm_name(spec_of("densenet264")) is None


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    first, second = (create_model("cifar_plain20", num_classes=n) for n in (2, 3))
    save_model(first, tmp_path)
    with pytest.raises(FileExistsError, match=r"holds config.json, model.safetensors already"):
        save_model(second, tmp_path)
    assert create_model(tmp_path).num_classes == 2
    save_model(second, tmp_path, overwrite=True)
    assert create_model(tmp_path).num_classes == 3


def edited(folder: Path, **change: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))


def test_a_folder_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    net: Backbone = create_model("cifar_plain20")
    save_model(net, tmp_path)
    cfg = json.loads((tmp_path / "config.json").read_text())["resnetlib"]
    edited(tmp_path, resnetlib={**cfg, "spec": {**cfg["spec"], "join": "add"}})
    with pytest.raises(ValueError, match=r"config.json and the header of the weights differ"):
        create_model(tmp_path)


@pytest.mark.parametrize("family", [ResNetSpec, DenseNetSpec])
def test_a_folder_needs_config_and_weights(family: type[Spec], tmp_path: Path) -> None:
    name = "cifar_plain20" if family is ResNetSpec else "cifar_densenet40_k12"
    save_model(create_model(name), tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError, match=r"has no weights: none of model.safetensors, pytorch_model.bin"):
        create_model(tmp_path)
    torch.save(create_model(name).state_dict(), tmp_path / "pytorch_model.bin")
    assert create_model(tmp_path).spec == create_model(name, device="meta").spec
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=rf"^{tmp_path} has no config.json, which describes the network$"):
        create_model(tmp_path)


def test_an_empty_path_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="folder must be a path, got ''"):
        save_model(build(FAMILIES["resnet"]), "")
    assert not list(tmp_path.iterdir())


def test_a_readme_of_the_user_s_is_kept(tmp_path: Path) -> None:
    net = build(FAMILIES["resnet"], num_classes=2)
    (tmp_path / "README.md").write_text("mine")
    save_model(net, tmp_path)
    save_model(net, tmp_path, overwrite=True)
    assert (tmp_path / "README.md").read_text() == "mine"
    (tmp_path / "README.md").unlink()
    save_model(net, tmp_path, classes=["a", "b"], overwrite=True)
    card = (tmp_path / "README.md").read_text()
    save_model(build(FAMILIES["resnet"], num_classes=3), tmp_path, overwrite=True)
    assert (tmp_path / "README.md").read_text() != card
    edited_card, mark = card.rstrip().rsplit("\n", 1)
    assert mark == "<!-- Written by resnetlib. Remove this line to keep your changes. -->"
    (tmp_path / "README.md").write_text(edited_card)
    save_model(net, tmp_path, overwrite=True)
    assert (tmp_path / "README.md").read_text() == edited_card


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match=r"file is a file, so .*file cannot be a folder"):
        save_model(build(FAMILIES["resnet"], num_classes=2), tmp_path / "file")
