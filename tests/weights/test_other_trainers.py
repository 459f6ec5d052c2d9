"""Checkpoints of other training scripts, and files that are none."""

import argparse
import collections
import datetime
import enum
import gzip
import pathlib
import random
import threading
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from families import FAMILIES
from torch import Tensor, nn
from torchvision import transforms as v1
from torchvision.transforms import InterpolationMode

from resnetlib import Backbone, build, create_model, load_file, spec_of
from resnetlib.weights import convert_file, load_state, read_weights
from resnetlib.weights.pickles import PLACEHOLDERS

NET = build(FAMILIES["resnet"], num_classes=3)
STATE = NET.state_dict()
ARGS = argparse.Namespace(
    lr=0.1, data=pathlib.Path("data"), device=torch.device("cuda"), dtype=torch.half, mode=InterpolationMode.BICUBIC
)


class Mode(enum.Enum):
    MAX = "max"


def prefixed(prefix: str, state: dict[str, Tensor] = STATE) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in state.items()}


def layouts() -> dict[str, object]:
    optimizer = torch.optim.SGD(NET.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    common = {"optimizer": optimizer.state_dict(), "epoch": 7}
    log = {"loss": np.float64(0.5), "curve": np.arange(5.0), "best": np.int64(3)}
    return {
        "timm": {**common, "arch": "resnet18", "state_dict": STATE, "version": 2, "args": ARGS, "metric": np.float64(77.5)},
        "timm EMA": {**common, "state_dict": {}, "state_dict_ema": STATE, "args": ARGS, "amp_scaler": {"scale": 65536.0}},
        "torchvision": {**common, "model": STATE, "lr_scheduler": scheduler.state_dict(), "args": ARGS},
        "torchvision EMA": {
            **common, "model": prefixed("module."), "args": ARGS,
            "model_ema": {"n_averaged": torch.tensor(5), **prefixed("module.module.")},
        },
        "ImageNet example": {
            **common, "arch": "resnet18", "state_dict": prefixed("module."), "best_acc1": torch.tensor(70.0),
            "scheduler": scheduler.state_dict(),
        },
        "Lightning": {
            **common, "global_step": 100, "pytorch-lightning_version": "2.5", "state_dict": prefixed("model."), "loops": {},
            "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(1.0), "kth": pathlib.Path("a")}},
            "hparams_name": "config", "hyper_parameters": {"config": SimpleNamespace(lr=1), "root": pathlib.Path("x")},
        },
        "MMCV": {
            "meta": {"epoch": 3, "time": datetime.datetime(2020, 1, 1), "CLASSES": ("a", "b"), "log": log}, "state_dict": STATE,
            "optimizer": optimizer.state_dict(), "message_hub": collections.OrderedDict(log=log),
        },
        "detectron": {"model": STATE, "iteration": 90000, "scheduler": scheduler.state_dict(), "__author__": "somebody"},
        "fastai": {"model": STATE, "opt": optimizer.state_dict()},
        "loop": {
            "net": STATE, "acc": np.float32(93.1), "history": collections.defaultdict(list, train=[np.float64(1.0)]), **log,
            "shape": torch.zeros(2, 3).shape, "recent": collections.deque([1.0, 2.0], maxlen=5), "took": datetime.timedelta(3),
            "version": torch.__version__, "rng": (np.random.RandomState(0).get_state(), random.Random(0).getstate()),
            "complex": np.array([1 + 2j]), "flags": np.array([True]), "names": np.array(["a", "bc"]), "any": np.array([None, "x"]),
        },
    }  # fmt: skip


@pytest.mark.parametrize("name", layouts())
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_checkpoints_of_other_trainers_are_read(name: str, new: bool, tmp_path: Path) -> None:
    torch.save(layouts()[name], tmp_path / "checkpoint.pth.tar", _use_new_zipfile_serialization=new)
    net = load_file(tmp_path / "checkpoint.pth.tar", spec=NET.spec)
    assert all(torch.equal(tensor, STATE[key]) for key, tensor in net.state_dict().items())


def test_nothing_in_a_checkpoint_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"state_dict": STATE, "a": np.arange(3), "args": ARGS}, tmp_path / "w.pth")

    def created(*args: object, **kwargs: object) -> None:
        raise AssertionError("an object in the file was created")

    monkeypatch.setattr(argparse, "Namespace", created)
    monkeypatch.setattr(np, "dtype", created)
    assert read_weights(tmp_path / "w.pth").state.keys() == STATE.keys()
    assert not any(isinstance(known, tuple) and known[1] in PLACEHOLDERS for known in torch.serialization.get_safe_globals())


def test_an_object_whose_name_ends_like_a_tensors_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "transform": v1.ToTensor()}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w.pth holds an object of torchvision.transforms.transforms.ToTensor, which could run"):
        read_weights(tmp_path / "w.pth")


def test_threads_read_checkpoints_at_once(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "args": ARGS}, tmp_path / "w.pth")
    failed = list[BaseException]()

    def read() -> None:
        try:
            for _ in range(10):
                read_weights(tmp_path / "w.pth")
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize(
    ("value", "name"),
    [(Mode.MAX, r"\S*test_other_trainers.Mode"), (nn.Linear(2, 2), r"torch.nn.modules.linear.Linear"), (print, "print")],
)
def test_an_unknown_type_is_named_in_one_line(value: object, name: str, tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "what": value}, tmp_path / "w.pth")
    with pytest.raises(
        ValueError, match=rf"^\S*w.pth holds an object of {name}, which could run code.* Nothing in it was run"
    ) as error:
        read_weights(tmp_path / "w.pth")
    assert "\n" not in str(error.value)
    assert "weights_only" not in str(error.value)
    assert error.value.__cause__ is None


def zip_of(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, "text")


WHOLE = safetensors.torch.save(STATE)
FILES: dict[str, tuple[Any, str]] = {
    "lfs": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n"), "Git LFS pointer"),
    "html": (lambda path: path.write_text("\n<!DOCTYPE html><html><body>404</body></html>"), "a web page"),
    "xml": (lambda path: path.write_text('<?xml version="1.0"?><Error>AccessDenied</Error>'), "a web page"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"weights")), "a compressed archive: unpack it"),
    "keras": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "an HDF5 file"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged.*it is empty"),
    "truncated zip": (lambda path: (torch.save(STATE, path), path.write_bytes(path.read_bytes()[:-5000])), "its end is missing"),
    "truncated safetensors": (lambda path: path.write_bytes(WHOLE[:-100]), rf"It has {len(WHOLE) - 100:,} bytes of {len(WHOLE):,}"),
    "truncated header": (lambda path: path.write_bytes(WHOLE[:60]), "It has 60 bytes of"),
    "a zip": (lambda path: zip_of(path, "a.txt", "b/c.txt"), "a zip of other files"),
    "a script": (lambda path: torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), path), "a TorchScript archive"),
    "nothing": (lambda path: torch.save({"epoch": 3}, path), "expected a state dict"),
    "views": (lambda path: torch.save({str(i): STATE["fc.weight"].expand(99, 3, -1) for i in range(9)}, path), "holds fewer|share"),
    "others": (lambda path: torch.save({"encoder.weight": torch.ones(3)}, path), "no network of this library: .*'encoder.weight'"),
    "pieces": (lambda path: torch.save({"conv1.weight": torch.ones(3)}, path), "stages are numbered"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_that_cannot_be_read_is_recognized_and_named(kind: str, suffix: str, tmp_path: Path) -> None:
    make, message = FILES[kind]
    make(tmp_path / f"odd.{suffix}")
    with pytest.raises(ValueError, match=rf"^\S*odd\.{suffix}.*({message})"):
        load_file(tmp_path / f"odd.{suffix}")


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(WHOLE)
    torch.save(STATE, tmp_path / "b.safetensors")
    for name in ("a.pth", "b.safetensors"):
        assert read_weights(tmp_path / name).state.keys() == STATE.keys()


SEVERAL: dict[str, tuple[object, list[str]]] = {
    "a criterion": ({**prefixed("net."), "criterion.weight": torch.ones(3)}, ["criterion.weight"]),
    "Lightning": (
        {"state_dict": {**prefixed("model."), "loss.weight": torch.ones(3)}, "hyper_parameters": {}, "callbacks": {}},
        ["loss.weight"],
    ),
    "a projection": ({"state_dict": {**prefixed("module.net."), "module.queue": torch.ones(2, 2)}}, ["queue"]),
    "detection": (
        {**prefixed("backbone.body."), "backbone.fpn.weight": torch.ones(1), "rpn.weight": torch.ones(1)},
        ["backbone.fpn"],
    ),
    "dicts": ({"student": STATE, "rng": {"a.b": torch.ones(1)}, "epoch": 3}, ["rng.a.b"]),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_the_prefix_of_the_network_is_found_and_the_rest_is_listed(name: str, tmp_path: Path) -> None:
    content, ignored = SEVERAL[name]
    torch.save(content, tmp_path / "w.pth")
    with pytest.warns(UserWarning, match="ignored") as caught:
        net = load_file(tmp_path / "w.pth", spec=NET.spec)
    assert len(caught) == 1
    assert all(each in str(caught[0].message) for each in (*ignored, "w.pth"))
    assert torch.equal(net.fc.weight, NET.fc.weight)
    other = build(FAMILIES["resnet"], num_classes=3)
    with pytest.warns(UserWarning, match="ignored"):
        load_state(other, read_weights(tmp_path / "w.pth").state)
    assert torch.equal(other.conv1.weight, NET.conv1.weight)


def body(prefix: str, net: Backbone = NET) -> dict[str, Tensor]:
    return prefixed(prefix, {key: tensor for key, tensor in net.state_dict().items() if not key.startswith(net.classifier_name)})


@pytest.mark.parametrize("outer", ["", "model."])
@pytest.mark.parametrize("inner", ["", "1.", "fc."])
@pytest.mark.parametrize("family", ["resnet", "preact", "densenet"])
def test_a_linear_layer_beside_the_backbone_is_the_head(family: str, inner: str, outer: str, tmp_path: Path) -> None:
    net = build(FAMILIES[family])
    for name in ("head", "fc", "classifier", "linear"):
        head = {f"{outer}{name}.{inner}weight": torch.ones(3, net.num_features), f"{outer}{name}.{inner}bias": torch.zeros(3)}
        torch.save({**body(f"{outer}backbone.", net), **head}, tmp_path / "w.pth")
        loaded = load_file(tmp_path / "w.pth", spec=net.spec)
        assert torch.equal(next(loaded.get_classifier().parameters()), torch.ones(3, net.num_features))


def test_another_layer_beside_the_backbone_is_ignored(tmp_path: Path) -> None:
    torch.save({**body("backbone."), "head.weight": torch.ones(3, 17), "head.bias": torch.ones(3)}, tmp_path / "w.pth")
    with pytest.warns(UserWarning, match=r"ignored: head.weight, head.bias"):
        assert load_file(tmp_path / "w.pth", spec=NET.spec).num_classes == 0
    with pytest.warns(UserWarning, match=r"ignored: head.weight, head.bias"):
        assert load_file(tmp_path / "w.pth", spec=NET.spec, num_classes=5).fc.out_features == 5


def moco() -> dict[str, object]:
    key = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in STATE.items()}
    state = {**prefixed("module.encoder_q."), **prefixed("module.encoder_k.", key)}
    state |= {"module.queue": torch.ones(3, 8), "module.queue_ptr": torch.zeros(1, dtype=torch.int64)}
    return {"epoch": 3, "arch": "resnet50", "state_dict": state, "optimizer": {}}


@pytest.mark.parametrize("prefix", ["encoder_q", "encoder_q.", "module.encoder_q", "module.encoder_q."])
def test_of_two_networks_the_user_chooses(prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(moco(), path)
    ask = r"it holds 2 networks: choose one, prefix='encoder_q.' or 'encoder_k.'"
    other = build(FAMILIES["resnet"], num_classes=3)
    for call in (
        lambda: load_file(path, spec=NET.spec),
        lambda: create_model("cifar_resnet20", weights=path),
        lambda: convert_file(path, tmp_path / "c.safetensors", "resnetlib", spec=NET.spec),
        lambda: load_state(other, read_weights(path).state, source="w.pth"),
    ):
        with pytest.raises(ValueError, match=r"w.pth: " + ask):
            call()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(load_file(path, spec=NET.spec, prefix=prefix).fc.weight, NET.fc.weight)
        load_state(other, read_weights(path).state, prefix=prefix)
        assert torch.equal(other.fc.weight, NET.fc.weight)
        assert read_weights(path, prefix=prefix).state.keys() == STATE.keys()
        convert_file(path, tmp_path / "c.safetensors", "resnetlib", spec=NET.spec, prefix=prefix)
        assert read_weights(tmp_path / "c.safetensors").state.keys() == STATE.keys()
    with pytest.raises(ValueError, match=r"no tensors under prefix='teacher.'; its names begin with encoder_q, encoder_k, queue"):
        load_file(path, spec=NET.spec, prefix="teacher")
    with pytest.raises(ValueError, match=r"^prefix='a' requires a weights file, but cifar_resnet20 has none$"):
        create_model("cifar_resnet20", prefix="a")


def test_student_and_teacher_are_two_networks(tmp_path: Path) -> None:
    head = {"head.mlp.0.weight": torch.ones(2, 2), "head.last.weight": torch.ones(2, 2)}
    content = {"student": {**prefixed("module.backbone."), **prefixed("module.", head)}, "teacher": {**body("backbone."), **head}}
    torch.save({**content, "epoch": 3, "args": ARGS}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"'student.module.backbone.' or 'teacher.backbone.'"):
        load_file(tmp_path / "w.pth", spec=NET.spec)
    with pytest.warns(UserWarning, match=r"ignored: head.mlp.0.weight, head.last.weight"):
        assert load_file(tmp_path / "w.pth", spec=NET.spec, prefix="teacher").num_classes == 0


@pytest.mark.parametrize("name", ["resnet", "preact", "densenet"])
@pytest.mark.parametrize("head", ["0", "1", "2"])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_linear_layer_in_a_sequential_is_the_head(name: str, head: str, prefix: str, tmp_path: Path) -> None:
    net = build(FAMILIES[name], num_classes=4)
    classifier = net.classifier_name + "."
    state = {key.replace(classifier, f"{classifier}{head}."): tensor for key, tensor in net.state_dict().items()}
    torch.save(prefixed(prefix, state), tmp_path / "w.pth")
    loaded = load_file(tmp_path / "w.pth", spec=net.spec)
    assert loaded.num_classes == 4
    assert torch.equal(loaded.get_classifier().weight, net.get_classifier().weight)
    load_state(build(net.spec, num_classes=4), state)


def test_a_head_of_two_linear_layers_is_named(tmp_path: Path) -> None:
    heads = {f"fc.{i}.{leaf}": torch.ones(*shape) for i in (0, 2) for leaf, shape in (("weight", (16, 16)), ("bias", (16,)))}
    torch.save({"state_dict": {**body(""), **heads}}, tmp_path / "w.pth")
    message = r"not one linear layer \(fc.0.weight, .*\): num_classes= .*keep_head=True"
    with pytest.raises(ValueError, match=message):
        load_file(tmp_path / "w.pth", spec=NET.spec)
    with pytest.raises(ValueError, match=message):
        load_state(build(NET.spec, num_classes=3), read_weights(tmp_path / "w.pth").state)
    assert load_file(tmp_path / "w.pth", spec=NET.spec, num_classes=5).fc.out_features == 5
    assert load_file(tmp_path / "w.pth", spec=NET.spec, num_classes=0).num_classes == 0
    other = build(NET.spec, num_classes=3)
    load_state(other, read_weights(tmp_path / "w.pth").state, keep_head=True)
    assert torch.equal(other.conv1.weight, NET.conv1.weight)


def test_a_torchvision_detector_s_backbone_is_found(tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision.models")
    net = models.segmentation.fcn_resnet50(weights=None, weights_backbone=None)
    torch.save({"model": net.state_dict(), "args": ARGS}, tmp_path / "w.pth")
    with pytest.warns(UserWarning, match="ignored: classifier.0.weight"):
        loaded = create_model("resnet50", weights=tmp_path / "w.pth", output_stride=8)
    assert torch.equal(loaded.conv1.weight, net.backbone.conv1.weight)


def test_folders_of_transformers_without_a_head_load(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=7)
    transformers.ResNetModel(config).save_pretrained(tmp_path / "t")
    for classes, width in ((None, 0), (5, 5), (0, 0), (7, 7)):
        net = create_model(tmp_path / "t", num_classes=classes)
        assert (net.num_classes, net.classes) == (width, None)
    assert spec_of("resnet18").block == net.spec.block


def test_folders_of_timm_without_a_head_load(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    hub = pytest.importorskip("timm.models._hub")
    net = timm.create_model("resnet18", num_classes=0)
    config = {**net.pretrained_cfg, "label_names": [f"c{i}" for i in range(1000)]}
    hub.save_for_hf(net, tmp_path / "t", model_config={"pretrained_cfg": config})
    for classes, width in ((None, 0), (5, 5)):
        ours = create_model(tmp_path / "t", num_classes=classes)
        assert (ours.num_classes, ours.classes) == (width, None)
