"""Exported files compute what the network computes, in both runtimes, and describe it."""

import json
import logging
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny
import torch
from commands import right
from families import FAMILIES
from torch import Tensor, nn
from torch.nn.utils import prune
from untouched import untouched

import resnetlib
from resnetlib import Backbone, build, create_model, evaluate, export
from resnetlib.data import cifar10
from resnetlib.deploy import OnnxModel, onnx_export
from resnetlib.weights import Preprocessing

RUNTIMES = ("onnxruntime", "openvino")
SIZE = 16


def trained(family: str, **options: Any) -> Backbone:
    """A small network with a preprocessing, whose norms are not those of a new one."""
    net = build(FAMILIES[family], num_classes=5, **options)
    net.preprocess = Preprocessing.named("cifar10", resize=20, size=SIZE).for_channels(net.in_chans)
    with torch.no_grad():
        net(torch.randn(16, net.in_chans, 32, 32) + 0.5)
    return net


def described(path: Path) -> dict[str, Any]:
    return json.loads(next(entry.value for entry in onnx.load(path).metadata_props if entry.key == "resnetlib"))


def largest_difference(net: Backbone, path: Path, runtime: Any, x: Tensor) -> float:
    with torch.no_grad():
        expected = net.eval()(x).numpy()
    found = OnnxModel(path, runtime=runtime)(x.numpy())
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    ("family", "norms"),
    [("plain", 0), ("resnet-a", 0), ("resnet-groupnorm", 0), ("preact", 4), ("densenet", 7)],  # those that follow no convolution
)
def test_every_family_computes_the_same_in_both_runtimes(family: str, norms: int, tmp_path: Path) -> None:
    net, path = trained(family), tmp_path / "net.onnx"
    net.classes = ("\x1b[31mred", "a\nb", "\ud800", 'say "hi"', "è" * 300)
    report = export(net, path)
    assert report.deviation < 1e-5
    assert report.agreement == 1
    assert [each.runtime for each in report.checks] == [*RUNTIMES]
    assert (report.path, report.bytes, report.images) == (path, path.stat().st_size, 10)
    assert report.fp32_bytes == report.bytes
    assert "ten test images" in str(report)
    for runtime in RUNTIMES:
        for images in (1, 3):
            assert largest_difference(net, path, runtime, torch.randn(images, 3, SIZE, SIZE)) < 1e-5
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert Counter(node.op_type for node in model.graph.node)["BatchNormalization"] == norms
    assert report.opset == model.opset_import[0].version >= 18
    assert b"stack_trace" not in path.read_bytes()
    assert str(Path(resnetlib.__file__).parent).encode() not in path.read_bytes()
    values = described(path)
    assert values.pop("spec") == json.loads(net.spec.to_json())
    assert values.pop("preprocessing")["resize"] == 20
    assert tuple(values.pop("classes")) == net.classes
    assert len(values.pop("weights_sha256")) == 64
    assert values == {
        "format": 1, "version": resnetlib.__version__, "name": net.spec.family, "weights": None, "int8": False
    }  # fmt: skip
    assert OnnxModel(path).classes == net.classes


def test_any_size(tmp_path: Path) -> None:
    net, path = trained("densenet-large-stem"), tmp_path / "net.onnx"
    report = export(net, path, size="dynamic")
    assert report.input == "(N, 3, H, W)"
    assert report.images == 12
    for runtime in RUNTIMES:
        for shape in ((1, 3, 33, 57), (2, 3, 64, 64), (5, 3, SIZE, SIZE)):
            assert largest_difference(net, path, runtime, torch.randn(shape)) < 1e-5


@pytest.mark.parametrize("channels", [1, 3])  # compared on noise, and on images
def test_the_default_dtype_may_be_another(channels: int, tmp_path: Path) -> None:
    net = trained("resnet", in_chans=channels)
    torch.set_default_dtype(torch.float64)
    try:
        assert export(net, tmp_path / "net.onnx").deviation < 1e-5
    finally:
        torch.set_default_dtype(torch.float32)


def test_images_may_be_arrays(tmp_path: Path) -> None:
    images = [(BATCH.numpy()[..., ::-1], np.zeros(2, np.int64))]
    assert export(NET, tmp_path / "net.onnx", images=images, tolerance=np.float32(1e-3)).images == 2  # type: ignore[arg-type]


def test_another_size_scales_the_preprocessing(tmp_path: Path) -> None:
    net, path = trained("resnet"), tmp_path / "net.onnx"
    assert export(net, path, size=24).input == "(N, 3, 24, 24)"
    assert OnnxModel(path).preprocessing == Preprocessing.named("cifar10", resize=30, size=24)
    assert net.preprocess is not None
    assert net.preprocess.size == SIZE


def test_a_network_whose_weights_were_changed_names_those_it_was_created_with(tmp_path: Path) -> None:
    net, path = create_model("cifar_resnet20.resnetlib_c10"), tmp_path / "net.onnx"
    with torch.no_grad():
        net.conv1.weight.mul_(1.01)
    export(net, path)
    assert described(path)["weights"] == "cifar_resnet20.resnetlib_c10"
    assert "  pretrained weights cifar_resnet20.resnetlib_c10\n" in right("info", path)


def test_the_network_is_left_as_it_was(tmp_path: Path) -> None:
    net = trained("resnet")
    with untouched(net):
        report = export(net, tmp_path / "net.onnx")
    assert any("hooks" in note for note in report.notes)


def test_channels_last_in_bfloat16_without_preprocessing(tmp_path: Path) -> None:
    net, path = trained("resnet", in_chans=1).bfloat16().to(memory_format=torch.channels_last), tmp_path / "net.onnx"
    net.preprocess = None
    report = export(net, path)
    assert "noise" in report.source
    assert [note.split(",")[0] for note in report.notes] == [
        "the network has no preprocessing",
        "the network has no names of classes",
        "the weights were torch.bfloat16",
    ]
    assert (described(path)["preprocessing"], described(path)["classes"]) == (None, None)
    assert next(net.parameters()).is_contiguous(memory_format=torch.channels_last)
    assert largest_difference(net.float(), path, "onnxruntime", torch.randn(2, 1, 32, 32)) < 1e-5


def test_a_file_that_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"before")
    monkeypatch.setattr(OnnxModel, "__call__", lambda _, x: np.full((len(x), 5), np.nan, np.float32))
    with pytest.raises(ValueError, match=r"was not written.* in onnxruntime, .* logits is nan .* is a difference of 1:"):
        export(trained("plain"), path, tolerance=1)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def test_int8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    net, path = create_model("cifar_resnet20.resnetlib_c10"), tmp_path / "net.int8.onnx"
    x = onnx_export._samples(net, net.preprocess, 32)[0]
    report = export(net, path, int8=True, calibration=((part, torch.zeros(len(part))) for part in x.split(4)))
    assert report.int8
    assert report.bytes < 0.4 * report.fp32_bytes
    assert report.source == "the images for calibration"
    assert report.agreement >= 0.9
    assert 1e-3 < report.deviation < 0.2
    assert "MiB (fp32: 1.03 MiB)" in str(report)
    kinds = Counter(node.op_type for node in onnx.load(path).graph.node)
    assert kinds["QuantizeLinear"] > 20
    assert described(path)["int8"]
    assert described(path)["weights"] == "cifar_resnet20.resnetlib_c10"
    assert OnnxModel(path).classes == net.classes
    out, err = capfd.readouterr()
    assert "pre-process" not in out + err
    assert logging.getLogger().handlers == []


@pytest.mark.parametrize("family", ["preact", "densenet"])
def test_int8_of_networks_with_norms_before_convolutions(family: str, tmp_path: Path) -> None:
    net, path = trained(family), tmp_path / "net.onnx"
    report = export(net, path, int8=True, calibration=[torch.randn(64, 3, SIZE, SIZE)], tolerance=1)
    assert [each.runtime for each in report.checks] == [*RUNTIMES]
    assert report.deviation < 0.2


NET = trained("resnet")
BATCH = torch.zeros(2, 3, SIZE, SIZE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"int8": True}, r"int8 needs images to calibrate with: calibration=batches"),
        ({"calibration": [BATCH]}, r"calibration requires int8=True"),
        ({"size": 0}, r"size must be 'dynamic', or an integer from 1 to 4,096, got 0"),
        ({"size": "any"}, r"size must be 'dynamic'.*got 'any'"),
        ({"size": True}, r"size must be 'dynamic'.*got True"),
        ({"tolerance": -1}, r"tolerance must be a number of at least 0, got -1"),
        ({"tolerance": "1"}, r"tolerance must be a number of at least 0, got '1'"),
        ({"images": []}, r"images has no images"),
        ({"images": [BATCH[:, :1]]}, r"images must be batches of preprocessed images \(3 channels of 16 x 16\), got torch.float32"),
        ({"images": [BATCH.byte()]}, r"got torch.uint8 of shape"),
        ({"images": [torch.zeros(2, 3, 8, 8)]}, r"got 8 x 8: give size=8"),
        ({"images": [BATCH, BATCH * torch.nan]}, r"images has numbers that are not finite"),
        ({"images": 3}, r"images must be batches.*got int"),
        ({"images": [BATCH.numpy().astype("i4")]}, r"images must be batches.*got torch.int32"),
        ({"images": ["a"]}, r"images must be batches.*got str"),
        ({"size": "dynamic", "images": [BATCH, torch.zeros(2, 3, 8, 8)]}, r"images must be images of one size"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        export(NET, tmp_path / "net.onnx", **arguments)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("net.pt2", ValueError, "the file must end in .onnx, got '.*net.pt2'"),
        ("nowhere/net.onnx", FileNotFoundError, "there is no folder .*nowhere"),
        ("folder.onnx", IsADirectoryError, "is a folder"),
    ],
)
def test_wrong_paths(path: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(error, match=message):
        export(NET, tmp_path / path)


def test_networks_that_are_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(TypeError, match="expected a network of this library, got Linear"):
        export(nn.Linear(2, 2), path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no classifier"):
        export(build(FAMILIES["resnet"], num_classes=0), path)
    with pytest.raises(ValueError, match="on the device meta"):
        export(build(FAMILIES["resnet"], device="meta"), path)
    net = tiny.network()
    net.preprocess = Preprocessing.named("cifar10", resize=8, size=8).for_channels(1)
    with pytest.raises(ValueError, match="makes 1 channels, but the network takes 3"):
        export(net, path)
    monkeypatch.setattr(onnx_export, "_MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="bytes of weights in fp32: an ONNX file holds 2 GiB"):
        export(NET, path)
    assert not [*tmp_path.iterdir()]


def test_a_pruned_network_says_how_to_make_it_plain(tmp_path: Path) -> None:
    net = trained("resnet")
    prune.l1_unstructured(net.conv1, "weight", 0.5)
    net(torch.randn(2, 3, 32, 32))
    with pytest.raises(ValueError, match=r"torch.nn.utils.prune.remove"):
        export(net, tmp_path / "net.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_before_the_work(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError) as error:
        export(NET, tmp_path / "net.onnx")
    assert str(error.value) == f'export needs {package}: pip install "resnetlib[onnx]"'


def test_without_openvino_onnxruntime_checks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert [each.runtime for each in export(NET, tmp_path / "net.onnx").checks] == ["onnxruntime"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "densenet121"])
def test_large_networks(name: str, tmp_path: Path) -> None:
    net = create_model(name)
    net.classes = tuple(map(str, range(1000)))
    report = export(net, tmp_path / "net.onnx", images=[torch.randn(6, 3, 224, 224)])
    assert report.deviation < 1e-4
    assert report.input == "(N, 3, 224, 224)"


@pytest.mark.slow
def test_int8_costs_little_accuracy(cifar10_folder: Path, tmp_path: Path) -> None:
    net, path = create_model("cifar_resnet20.resnetlib_c10"), tmp_path / "net.onnx"
    assert net.preprocess is not None
    export(net, path, int8=True, calibration=[net.preprocess(cifar10(cifar10_folder, "train").images[:512])])
    test = cifar10(cifar10_folder, "test")
    x, labels = net.preprocess(test.images[:2000]), test.labels[:2000]
    before = evaluate(net, [(x, labels)]).top1
    for runtime in RUNTIMES:
        model = OnnxModel(path, runtime=runtime)  # type: ignore[arg-type]
        logits = np.concatenate([model(part.numpy()) for part in x.split(250)])
        assert before - 100 * float((logits.argmax(1) == labels.numpy()).mean()) < 1  # 0.2 on all 10,000
