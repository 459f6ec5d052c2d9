"""Exported networks are run without torch, and hostile .onnx files are rejected before a runtime reads them."""

import copy
import json
import multiprocessing
import os
import pickle
import random
import re
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional

import resnetlib
from resnetlib.deploy import OnnxModel, onnx_model
from resnetlib.deploy.onnx_file import KEY, read_onnx
from resnetlib.weights import Preprocessing

onnx = pytest.importorskip("onnx")
import onnx_files  # noqa: E402

RUNTIMES = [
    pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed"))
    for name in ("onnxruntime", "openvino")
]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return onnx_files.write(tmp_path / "tiny.onnx")


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_file_computes_what_its_graph_says(tiny: Path, runtime: Any) -> None:
    model = OnnxModel(tiny, runtime=runtime, threads=1)
    assert (model.path, model.runtime, model.num_classes, model.input_shape) == (tiny, runtime, 3, (3, 8, 8))
    assert model.classes == onnx_files.CLASSES
    assert model.metadata == onnx_files.metadata()
    assert repr(model) == f"OnnxModel({str(tiny)!r}, runtime={runtime!r})"
    for batch in (1, 5, 2, 0):
        x = np.random.default_rng(0).standard_normal((batch, 3, 8, 8), np.float32)
        np.testing.assert_allclose(model(x), x.mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(model(x[:, :, ::-1]), x.mean((2, 3)), atol=1e-6)  # not contiguous


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_threads_may_share_a_model(tiny: Path, runtime: Any) -> None:
    model, wrong = OnnxModel(tiny, runtime=runtime), []

    def work(seed: int) -> None:
        for i in range(20):
            x = np.full((1 + i % 3, 3, 8, 8), seed, np.float32)
            if not np.allclose(model(x), seed):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_images_of_all_kinds_are_classified(tiny: Path, tmp_path: Path, runtime: Any) -> None:
    model = OnnxModel(tiny, runtime=runtime)
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 0] = 255
    Image.fromarray(red).save(tmp_path / "red.png")
    tensor = torch.from_numpy(red).permute(2, 0, 1)
    for image in (tmp_path / "red.png", str(tmp_path / "red.png"), Image.fromarray(red), red, tensor):
        for found in (model.classify(image), resnetlib.classify(model, image), resnetlib.classify(tiny, image)):
            assert isinstance(found[0], resnetlib.Prediction)
            assert len(found) == 3
            assert sum(guess.probability for guess in found) == pytest.approx(1)  # type: ignore[union-attr]
    assert len(resnetlib.classify(str(tiny), [red, tmp_path / "red.png"], top=1)) == 2
    several = torch.stack([tensor, tensor, tensor])
    assert resnetlib.classify(model, several, top=2) == model.classify(several.permute(0, 2, 3, 1).numpy(), top=2)
    assert model.classify([]) == []
    assert model.classify(deque([red] * 40)) == model.classify([red] * 40) == [model.classify(red)] * 40
    with pytest.raises(ValueError, match="top must be an integer of at least 1, got 0"):
        resnetlib.classify(model, red, top=0)
    with pytest.raises(TypeError, match="images must be an image or a sequence of images, got int"):
        model.classify(5)
    with pytest.raises(ValueError, match=r"a tensor must be a uint8 image .* got torch.uint8 of \(7, 9, 9\)"):
        model.classify(torch.zeros(7, 9, 9, dtype=torch.uint8))
    with pytest.raises(TypeError, match=r"expected a network of this library, got str: a path must be that of an \.onnx file"):
        resnetlib.classify("resnet50", red)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_logits_that_are_not_finite_predict_nothing(runtime: Any, tmp_path: Path) -> None:
    model = OnnxModel(onnx_files.write(tmp_path / "nan.onnx", weight=np.full((3, 3, 1, 1), np.nan, np.float32)), runtime=runtime)
    with pytest.raises(ValueError, match="the logits are not finite, the largest is nan: check the network's weights"):
        model.classify(pixels(20, 30, 3))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_accuracy_is_measured(tiny: Path, runtime: Any) -> None:
    x = torch.randn(10, 3, 8, 8)
    labels = x.mean((2, 3)).argmax(1)
    labels[0] = (labels[0] + 1) % 3
    batches = [(x[:4], labels[:4]), (x[4:], labels[4:])]
    model = OnnxModel(tiny, runtime=runtime)
    found = resnetlib.evaluate(model, batches, confusion=True)
    assert (found.images, found.top1, found.top5) == (10, 90.0, 100.0)
    loss = torch.nn.functional.cross_entropy(x.mean((2, 3)), labels)
    assert found.loss == pytest.approx(float(loss), abs=1e-6)
    assert found.confusion is not None
    assert int(found.confusion.trace()) == 9
    assert resnetlib.evaluate(model, [(a.numpy(), b.numpy()) for a, b in batches]) == found
    assert resnetlib.evaluate(str(tiny), batches).top1 == 90.0
    with pytest.raises(ValueError, match="inputs are pixels that were not preprocessed"):
        resnetlib.evaluate(model, [(torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))])
    with pytest.raises(ValueError, match=r"^labels must be 0 to 2, the network's logits, got 3$"):
        resnetlib.evaluate(model, [(x[:1], torch.tensor([3]))])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_arrays_and_torchs_transform_are_one_preprocessing(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    steps = Preprocessing(
        resize=data.draw(st.integers(size, 60)),
        size=size,
        mean=(0.1, 0.2, 0.3),
        std=(0.5, 0.25, 0.125),
        interpolation=data.draw(st.sampled_from(["bilinear", "bicubic"])),
    ).for_channels(data.draw(st.sampled_from([1, 3])))
    mode = data.draw(st.sampled_from(["RGB", "L", "RGBA", "P", "I;16", "LA", "CMYK", "1"]))
    width, height = data.draw(st.tuples(st.integers(1, 80), st.integers(1, 80)))
    draw = np.random.default_rng(data.draw(st.integers(0, 9)))
    if mode == "I;16":
        image = Image.fromarray(draw.integers(0, 2**16, (height, width), np.uint16))
    else:
        image = Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8)).convert(mode)
    if data.draw(st.booleans()):
        image.getexif()[0x0112] = data.draw(st.integers(1, 8))
        image.info["exif"] = image.getexif().tobytes()
    exif = data.draw(st.booleans())
    ours, theirs = steps.to_array(image.copy(), exif=exif), steps.transform(exif=exif)(image.copy())
    assert (ours.dtype, ours.shape) == (np.float32, (steps.channels, size, size))
    assert np.abs(ours - theirs.numpy()).max() <= 1e-6
    assert torch.equal(steps(image.copy(), exif=exif), torch.from_numpy(ours))


def test_nothing_needs_torch(tiny: Path, tmp_path: Path) -> None:
    if not any(map(find_spec, ("onnxruntime", "openvino"))):
        pytest.skip("no runtime is installed")
    Image.fromarray(pixels(20, 30, 3)).save(tmp_path / "a.png")
    code = f"""
import sys
from resnetlib.deploy import OnnxModel
print(len(OnnxModel({str(tiny)!r}).classify({str(tmp_path / "a.png")!r})))
print([name for name in ("torch", "torchvision", "safetensors", "huggingface_hub", "matplotlib", "onnx") if name in sys.modules])
"""
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout  # noqa: S603
    assert out.split("\n")[:2] == ["3", "[]"]


def test_signals_work_after_models_are_gone(tiny: Path) -> None:
    """Two cores of OpenVINO would leave the process a freed signal stack, and the next handled signal would crash it."""
    pytest.importorskip("openvino")
    code = f"""
import os, signal
from resnetlib.deploy import OnnxModel
first, second = (OnnxModel({str(tiny)!r}, runtime="openvino") for _ in range(2))
del first
del second
signal.signal(signal.SIGUSR1, lambda number, frame: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "handled\n"  # noqa: S603


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_forked_process_leaves_its_parents_models_alone(runtime: str, tiny: Path) -> None:
    """Running or destroying one there would wait forever for the runtime's threads, as in the workers of a data loader."""
    code = f"""
import gc, os
import numpy as np
from resnetlib.deploy import OnnxModel
model = OnnxModel({str(tiny)!r}, runtime={runtime!r}, threads=2)
x = np.zeros((1, *model.input_shape), np.float32)
gc.disable()
cycle = [OnnxModel({str(tiny)!r}, runtime={runtime!r}, threads=2)]
cycle.append(cycle)
del cycle
if not (child := os.fork()):
    gc.collect()
    try:
        model(x)
    except ValueError as error:
        print(error, flush=True)
        os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
print(model(x).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=100)  # noqa: S603
    said, shape = done.stdout.splitlines()
    assert said.startswith(f"OnnxModel({str(tiny)!r}, runtime={runtime!r}) belongs to the parent process")
    assert shape.startswith("(1, ")


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported DenseNet for images of any size, 5 x 5 pixels at least."""
    net = resnetlib.build(resnetlib.DenseNetSpec(growth=4, depths=(2, 3), stem_width=8), num_classes=5)
    path = tmp_path_factory.mktemp("dense") / "dense.onnx"
    resnetlib.export(net, path, size="dynamic")
    return path


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_images_that_are_too_small_are_refused(runtime: Any, dense: Path) -> None:
    model, good = OnnxModel(dense, runtime=runtime, threads=1), np.ones((2, 3, 32, 32), np.float32)
    expected = model(good)
    for height, width in ((1, 1), (0, 0), (32, 0), (4, 32)):
        with pytest.raises(ValueError, match=f"expected images of at least 5 x 5 pixels, got {height} x {width}"):
            model(np.zeros((2, 3, height, width), np.float32))
    assert np.isfinite(model(np.zeros((2, 3, 5, 5), np.float32))).all()
    np.testing.assert_array_equal(model(good), expected)


def test_a_request_that_failed_is_not_used_again(dense: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    model, good = OnnxModel(dense, runtime="openvino", threads=2), np.ones((2, 3, 32, 32), np.float32)
    expected = model(good)
    monkeypatch.setattr(model, "_smallest", 0)
    with pytest.raises(ValueError, match=r"dense\.onnx"):
        model(np.zeros((2, 3, 0, 0), np.float32))
    np.testing.assert_array_equal(model(good), expected)
    del model
    np.testing.assert_array_equal(OnnxModel(dense, runtime="openvino", threads=2)(good), expected)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_copy_loads_the_file_again(runtime: Any, dense: Path) -> None:
    model, x = OnnxModel(dense, runtime=runtime, threads=1), np.ones((2, 3, 32, 32), np.float32)
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert repr(copied) == repr(model)
        np.testing.assert_array_equal(copied(x), model(x))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(model, (x,)), model(x))


def test_a_missing_runtime_is_said_in_a_line(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_model, "find_spec", lambda _: None)
    with pytest.raises(ImportError) as caught:
        OnnxModel(tiny)
    both = 'pip install "resnetlib[onnx]" or pip install "resnetlib[openvino]"'
    assert str(caught.value) == f"running .onnx files needs onnxruntime or openvino: {both}"
    with pytest.raises(ImportError, match=r'^running .onnx files needs openvino: pip install "resnetlib\[openvino\]"$'):
        OnnxModel(tiny, runtime="openvino")
    monkeypatch.setattr(onnx_model, "find_spec", lambda name: name == "onnxruntime" or None)
    assert onnx_model.choose_runtime() == "onnxruntime"
    monkeypatch.setattr(onnx_model, "find_spec", lambda _: True)
    assert onnx_model.choose_runtime() == "openvino"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"runtime": "tensorrt"}, "runtime must be one of 'openvino', 'onnxruntime', got 'tensorrt'"),
        ({"threads": 0}, "threads must be an integer of at least 1, got 0"),
        ({"threads": 1.5}, "threads must be an integer of at least 1, got 1.5"),
        ({"precision": "fp8"}, "precision must be 'fp32' or 'bf16', got 'fp8'"),
        ({"preprocessing": Preprocessing.named("imagenet", resize=8, size=8)}, "has its own preprocessing"),
        ({"preprocessing": "imagenet"}, "preprocessing must be a Preprocessing, got str"),
    ],
)
def test_wrong_options(tiny: Path, options: dict[str, Any], error: str) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        OnnxModel(tiny, **options)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_wrong_inputs(tiny: Path, runtime: Any) -> None:
    model = OnnxModel(tiny, runtime=runtime)
    with pytest.raises(TypeError, match=r"expected an array of float32 of shape \(N, 3, 8, 8\), got float64"):
        model(np.zeros((1, 3, 8, 8)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got Tensor"):
        model(torch.zeros(1, 3, 8, 8))  # type: ignore[arg-type]
    for shape in ((3, 8, 8), (1, 1, 8, 8), (1, 3, 8, 9)):
        with pytest.raises(ValueError, match="got one of shape"):
            model(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="an array must be a uint8 image"):
        model.preprocess(np.zeros((4, 4, 3), np.float32))  # type: ignore[arg-type]
    for image in (Image.new("RGB", (5, 0)), np.zeros((0, 5, 3), np.uint8), torch.zeros(3, 0, 5, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="an image must have pixels, got one of 5 x 0"):
            model.classify(image)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_file_of_another_library_needs_a_preprocessing(tmp_path: Path, runtime: Any) -> None:
    path = onnx_files.write(tmp_path / "a.onnx", about=None, shape=("N", 3, "H", "W"))
    model = OnnxModel(path, runtime=runtime)
    assert (model.metadata, model.classes, model.preprocessing, model.input_shape) == (None, None, None, (3, None, None))
    assert model(np.ones((2, 3, 5, 7), np.float32)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"a\.onnx has no preprocessing in its metadata: .* OnnxModel\(path, preprocessing="):
        model.classify(pixels(9, 9, 3))
    steps = Preprocessing.named("imagenet", resize=9, size=8)
    [guess] = OnnxModel(path, runtime=runtime, threads=np.int64(1), preprocessing=steps).classify(pixels(9, 9, 3), top=np.int64(1))
    assert guess.name == str(guess.label)


X = 20 * np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
MEANS = torch.from_numpy(X).mean((2, 3))
STEPS = Preprocessing.named("imagenet", resize=9, size=8)


def foreign(folder: Path, *nodes: Any) -> Path:
    """A file as another library may write it: nodes that compute "logits" from "means", the means of the channels."""
    make = onnx.helper.make_node
    first = [make("GlobalAveragePool", ["images"], ["maps"]), make("Flatten", ["maps"], ["means"], axis=1)]
    made = onnx_files.model(nodes=[*first, *nodes])
    made.opset_import[0].version = 20
    return onnx_files.write(folder / "foreign.onnx", made)


ACTIVATIONS: dict[str, tuple[Any, ...]] = {  # the function, and numbers that are inputs of the operator
    "Clip": (functional.relu6, 0.0, 6.0),
    "Elu": (functional.elu,),
    "Erf": (torch.erf,),
    "Gelu": (functional.gelu,),
    "HardSigmoid": (lambda x: (0.2 * x + 0.5).clamp(0, 1),),
    "HardSwish": (functional.hardswish,),
    "LeakyRelu": (functional.leaky_relu,),
    "LogSoftmax": (lambda x: x.log_softmax(1),),
    "Pow": (lambda x: x**2, 2.0),
    "Selu": (functional.selu,),
    "Sigmoid": (torch.sigmoid,),
    "Softmax": (lambda x: x.softmax(1),),
    "Softplus": (functional.softplus,),
    "Tanh": (torch.tanh,),
}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_other_libraries(name: str, runtime: Any, tmp_path: Path) -> None:
    make, (function, *numbers) = onnx.helper.make_node, ACTIVATIONS[name]
    constants = [make("Constant", [], [f"{i}"], value_float=number) for i, number in enumerate(numbers)]
    gates = make(name, ["means", *(f"{i}" for i in range(len(numbers)))], ["gates"])
    path = foreign(tmp_path, *constants, gates, make("Mul", ["means", "gates"], ["logits"]))  # with Sigmoid, SiLU
    np.testing.assert_allclose(OnnxModel(path, runtime=runtime)(X), MEANS * function(MEANS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("operator", ["Add", "Clip", "Div", "Mul", "Pow", "Sub"])
@pytest.mark.parametrize("stored", ["node", "weight"])
def test_constants_that_fit_no_batch(operator: str, stored: str, tmp_path: Path) -> None:
    make = onnx.helper.make_node
    for shape, fits in (([3, 1, 1], True), ([1, 3, 1, 1], True), ([5, 3, 8, 8], False), ([1, 1, 1, 1, 1], False)):
        constant = onnx.numpy_helper.from_array(np.ones(shape, np.float32), "constant")
        scaled = [make(operator, ["images", "constant"], ["scaled"]), make("GlobalAveragePool", ["scaled"], ["maps"])]
        nodes = [make("Constant", [], ["constant"], value=constant)] if stored == "node" else []
        made = onnx_files.model(nodes=[*nodes, *scaled, make("Flatten", ["maps"], ["logits"], axis=1)])
        made.graph.initializer.extend([constant] if stored == "weight" else [])
        path = onnx_files.write(tmp_path / "scaled.onnx", made)
        if fits:
            assert read_onnx(path).num_classes == 3
        else:
            error = f"{path}: has a {operator} with a constant of shape {shape}, which does not fit batches of every size"
            with pytest.raises(ValueError, match=f"^{re.escape(error)}$"):
                read_onnx(path)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("axis", [{}, {"axis": 1}, {"axis": -1}])
@pytest.mark.parametrize("last", ["Cast", "Flatten", "Identity", "Reshape", None])
def test_a_softmax_at_the_end(last: str | None, axis: dict[str, int], runtime: Any, tmp_path: Path) -> None:
    make = onnx.helper.make_node
    nodes = [make("Softmax", ["means"], ["shares" if last else "logits"], **axis)]
    if last == "Reshape":
        nodes += [make("Constant", [], ["sizes"], value_ints=[0, 3]), make(last, ["shares", "sizes"], ["logits"])]
    elif last:
        nodes.append(make(last, ["shares"], ["logits"], **({"to": onnx.TensorProto.FLOAT} if last == "Cast" else {})))
    model = OnnxModel(foreign(tmp_path, *nodes), runtime=runtime, preprocessing=STEPS)
    np.testing.assert_allclose(model(X), MEANS.log_softmax(1), atol=1e-4)
    shares = [each.probability for each in model.classify(pixels(9, 9, 3))]
    assert sum(shares) == pytest.approx(1)
    labels = torch.tensor([0, 1, 2, 0])
    images = torch.from_numpy(X)
    expected = functional.cross_entropy(MEANS, labels).item()
    assert resnetlib.evaluate(model, [(images, labels)]).loss == pytest.approx(expected, rel=1e-4)
    rounded = resnetlib.evaluate(model, [(1000 * images, labels)])  # to probabilities of 0
    assert rounded.loss == pytest.approx(-np.log(np.finfo(np.float32).tiny) * (1 - rounded.top1 / 100))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_softmax_over_maps_of_one_pixel(runtime: Any, tmp_path: Path) -> None:
    make = onnx.helper.make_node
    sizes = make("Constant", [], ["sizes"], value_ints=[2, 3])
    path = foreign(tmp_path, make("Softmax", ["maps"], ["shares"], axis=1), sizes, make("Squeeze", ["shares", "sizes"], ["logits"]))
    np.testing.assert_allclose(OnnxModel(path, runtime=runtime)(X), MEANS.log_softmax(1), atol=1e-4)


@pytest.mark.parametrize("axis", [0, 2, -2, 2**31 - 1])
@pytest.mark.parametrize("last", [False, True])
def test_a_softmax_over_another_axis(axis: int, last: bool, tmp_path: Path) -> None:
    make = onnx.helper.make_node
    after = [make("Identity", ["shares"], ["logits"])] if last else []
    path = foreign(tmp_path, make("Softmax", ["means"], ["shares" if last else "logits"], axis=axis), *after)
    message = f"{path}: ends in a softmax along axis {axis}, expected one over the classes, axis 1 or -1"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_onnx(path)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_the_runtime_cannot_run_is_a_value_error(tmp_path: Path, runtime: Any) -> None:
    weight = np.ones((3, 4, 1, 1), np.float32)  # for four channels
    with pytest.raises(ValueError, match=rf"a\.onnx: {runtime} cannot run it: "):
        OnnxModel(onnx_files.write(tmp_path / "a.onnx", weight=weight), runtime=runtime)(np.zeros((1, 3, 8, 8), np.float32))


# Hostile files


def changed(change: str) -> Any:
    """A model with one thing changed that must not reach a runtime."""
    made = onnx_files.model(about=onnx_files.metadata())
    graph, helper = made.graph, onnx.helper
    if change == "external":
        graph.initializer[0].ClearField("raw_data")
        graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
        graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    elif change == "external in an attribute":
        tensor = onnx.TensorProto(name="t", data_type=1, dims=[4], data_location=1)
        graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))
    elif change == "domain":
        graph.node[1].domain = "com.evil\x1b[31m"
    elif change == "operator":
        graph.node[1].op_type = "Loop"
    elif change == "subgraph":
        graph.node[1].attribute.append(helper.make_attribute("body", graph))
    elif change == "function":
        made.functions.add(name="f", domain="d")
    elif change == "training":
        made.training_info.add()
    elif change == "sparse":
        graph.sparse_initializer.add()
    elif change == "text tensor":
        graph.initializer.append(helper.make_tensor("t", onnx.TensorProto.STRING, [1], [b"x"]))
    elif change == "inputs":
        graph.input.append(helper.make_tensor_value_info("more", 1, ["N", 3]))
    elif change == "outputs":
        graph.output.append(helper.make_tensor_value_info("maps", 1, ["N", 3, 8, 8]))
    elif change == "input dtype":
        graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.STRING
    elif change == "sequence":
        graph.input[0].type.CopyFrom(helper.make_sequence_type_proto(graph.input[0].type))
    elif change == "huge input":
        graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2**40
    elif change == "huge tensor":
        graph.initializer[0].dims[0] = 2**31 - 1
    elif change == "negative tensor":
        graph.initializer[0].dims[0] = -3
    elif change == "no graph":
        made.ClearField("graph")
    elif change == "no inputs of a node":
        del graph.node[1].input[:]
    elif change == "cycle":
        graph.node[0].input[0] = "means"
    elif change == "twice":
        graph.node[1].output[0] = "maps"
    elif change == "stride":
        next(each for each in graph.node[0].attribute if each.name == "strides").ints[0] = 0
    elif change == "pads":
        next(each for each in graph.node[0].attribute if each.name == "pads").ints[0] = 2**30
    elif change == "missing input":
        graph.node[1].CopyFrom(helper.make_node("Concat", ["maps", ""], ["means"], axis=0))
    elif change == "shape":
        graph.node[2].CopyFrom(helper.make_node("Reshape", ["means", "weight"], ["logits"]))
    elif change == "padding":
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 0, 2**40]), "sizes"))
        graph.node.insert(0, helper.make_node("Pad", ["images", "sizes"], ["p"]))
    return made


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("external", "holds weights in other files"),
        ("external in an attribute", "holds weights in other files"),
        ("domain", r"uses the operator com\.evil\\x1b\[31m\.GlobalAveragePool, expected one of Add, AveragePool"),
        ("operator", "uses the operator Loop"),
        ("subgraph", "holds a graph inside a node"),
        ("function", "holds functions"),
        ("training", "holds a training graph"),
        ("sparse", "holds sparse tensors"),
        ("text tensor", "holds tensors of text"),
        ("inputs", "has 2 inputs, expected one"),
        ("outputs", "has 2 outputs, expected one"),
        ("input dtype", "has an input of ONNX's data type 8, expected 1, float32"),
        ("sequence", "holds the unknown field 4 of a type"),
        ("huge input", "has an input of shape"),
        ("huge tensor", "is damaged: a tensor of shape"),
        ("negative tensor", "is damaged: a tensor has the shape"),
        ("no graph", "is not an ONNX model"),
        ("no inputs of a node", "is damaged: a GlobalAveragePool has 0 inputs and 1 outputs"),
        ("cycle", "is damaged: a Conv reads means, which no node before it computes"),
        ("twice", "is damaged: maps is computed twice"),
        ("stride", r"has a Conv with strides of \[0, 1\], expected 1 to"),
        ("pads", "has a Conv with pads of"),
        ("missing input", "is damaged: a Concat has 2 inputs and 1 outputs"),
        ("shape", "has a Reshape whose input weight does not hold 64-bit integers"),
        ("padding", "has a Pad by"),
    ],
)
def test_hostile_graphs_do_not_reach_a_runtime(tmp_path: Path, change: str, error: str) -> None:
    path = onnx_files.write(tmp_path / "a.onnx", changed(change))
    with pytest.raises(ValueError, match=rf"a\.onnx: {error}"):
        read_onnx(path)


@pytest.mark.parametrize(
    ("about", "error"),
    [
        ("[" * 100_000, "has metadata that cannot be read"),
        ("{", "has metadata that cannot be read"),
        ("[]", "expected an object of format, version"),
        (json.dumps(onnx_files.metadata())[:-1] + ', "more": 1}', "expected an object of format, version"),
        (json.dumps(onnx_files.metadata(preprocessing={"resize": float("nan")})), "NaN is not a number"),
        ({"format": 2}, "format must be 1"),
        ({"format": True}, "format must be 1"),
        ({"name": 5}, "name must be a short text"),
        ({"name": "x" * 1000}, "name must be a short text"),
        ({"spec": []}, "spec must be an object"),
        ({"spec": {"family": "resnet"}}, "has metadata that cannot be read"),
        ({"preprocessing": {"resize": 8}}, "has metadata that cannot be read"),
        ({"preprocessing": onnx_files.metadata()["preprocessing"] | {"size": 10**9}}, "resize and size must be ints"),
        ({"preprocessing": onnx_files.metadata()["preprocessing"] | {"size": 7}}, "has an input of 8 x 8 pixels"),
        ({"preprocessing": onnx_files.metadata()["preprocessing"] | {"mean": [0.5], "std": [0.5]}}, "has 3 input channels"),
        ({"classes": ["a"]}, "it names 1 classes, but the network has 3 logits"),
        ({"classes": "abc"}, "classes must be a list of texts or null"),
        ({"classes": [1, 2, 3]}, "classes must be a list of texts or null"),
        ({"weights_sha256": "../../etc"}, "weights_sha256 must be 64 hexadecimal digits"),
        ({"int8": 1}, "int8 must be true or false"),
    ],
)  # fmt: skip
def test_hostile_metadata(tmp_path: Path, about: Any, error: str) -> None:
    text = about if isinstance(about, str) else onnx_files.metadata(**about)
    with pytest.raises(ValueError, match=error) as caught:
        read_onnx(onnx_files.write(tmp_path / "a.onnx", about=text))
    assert len(str(caught.value)) < 1500
    assert str(caught.value).isprintable()


def test_metadata_is_there_once_and_short(tmp_path: Path) -> None:
    made = onnx_files.model(about=onnx_files.metadata())
    made.metadata_props.add(key=KEY, value="{}")
    with pytest.raises(ValueError, match="must have its metadata once"):
        read_onnx(onnx_files.write(tmp_path / "a.onnx", made))
    with pytest.raises(ValueError, match="must have its metadata once"):
        read_onnx(onnx_files.write(tmp_path / "a.onnx", about=" " * (2**24 + 1)))


def test_a_second_graph_would_be_merged_with_the_first(tmp_path: Path) -> None:
    content = onnx_files.model(about=onnx_files.metadata()).SerializeToString()
    (tmp_path / "a.onnx").write_bytes(content + onnx_files.model().SerializeToString())
    with pytest.raises(ValueError, match=r"is damaged: field \d of a model is there twice"):
        read_onnx(tmp_path / "a.onnx")


def test_many_fields_take_no_long_time(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"\x42\x00" * 3_000_000)  # empty sets of operators
    with pytest.raises(ValueError, match="has more than 2,000,000 fields"):
        read_onnx(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"\xff" * 100, b"\x80PK", b"GIF89a", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"]
)
def test_other_content_is_no_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.onnx: (is not an ONNX model|is damaged|holds)"):
        read_onnx(tmp_path / "a.onnx")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(ValueError, match="is a pipe, a socket or a device"):
        OnnxModel(tmp_path / "pipe.onnx")
    with pytest.raises(IsADirectoryError):
        OnnxModel(tmp_path)
    with pytest.raises(FileNotFoundError):
        OnnxModel(tmp_path / "no.onnx")
    large = tmp_path / "large.onnx"
    with large.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ValueError, match=f"^{re.escape(str(large))} is larger than the limit of 2,147,483,647 bytes$"):
        OnnxModel(large)


def test_the_runtime_gets_the_bytes_that_were_checked(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = read_onnx(tiny)

    def read_and_replace(path: Path) -> Any:
        path.write_bytes(b"other")
        return checked

    monkeypatch.setattr(onnx_model, "read_onnx", read_and_replace)
    if any(map(find_spec, ("onnxruntime", "openvino"))):
        assert OnnxModel(tiny)(np.ones((1, 3, 8, 8), np.float32)) == pytest.approx(1)


DAMAGED = """
import random, sys
from pathlib import Path
import numpy as np
from resnetlib.deploy import OnnxModel
source, path, runtime = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), sys.argv[3]
for seed in range(400):
    draw, content = random.Random(seed), bytearray(source)
    for _ in range(draw.choice([1, 1, 3])):
        at = draw.randrange(len(content))
        kind = draw.choice(["flip", "set", "delete", "insert", "cut"])
        if kind == "flip":
            content[at] ^= 1 << draw.randrange(8)
        elif kind == "set":
            content[at] = draw.choice([0, 1, 127, 128, 255])
        elif kind == "delete":
            del content[at : at + draw.randrange(1, 4)]
        elif kind == "insert":
            content[at:at] = draw.randbytes(draw.randrange(1, 4))
        else:
            del content[at + 1 :]
    path.write_bytes(content)
    try:
        model = OnnxModel(path, runtime=runtime, threads=1)
        channels, height, width = model.input_shape
        if channels * (height or 8) * (width or 8) < 1e6:
            model(np.zeros((2, channels, height or 8, width or 8), np.float32))
    except ValueError as error:
        assert str(path) in str(error), error
print("survived")
"""


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_damaged_files_crash_no_process(tiny: Path, tmp_path: Path, runtime: str) -> None:
    command = [sys.executable, "-c", DAMAGED, str(tiny), str(tmp_path / "a.onnx"), runtime]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stdout == "survived\n"


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200), seed=st.integers(0, 10**6))
def test_any_bytes_are_a_value_error_at_most(tmp_path_factory: pytest.TempPathFactory, content: bytes, seed: int) -> None:
    whole = onnx_files.model(about=onnx_files.metadata()).SerializeToString()
    at = random.Random(seed).randrange(len(whole))
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    for mixed in (content, whole[:at] + content + whole[at:]):
        path.write_bytes(mixed)
        with suppress(ValueError):
            read_onnx(path)
