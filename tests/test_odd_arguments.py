"""What no caller should pass: an error says so, and none comes from deep inside."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import FAMILIES
from torch import nn

from resnetlib import (
    Add,
    BasicBlock,
    Bottleneck,
    DenseLayer,
    DilatedAvgPool2d,
    PadShortcut,
    PreActBasicBlock,
    PreActBottleneck,
    ResNet,
    ScaledAdd,
    StochasticAdd,
    StochasticConcat,
    Transition,
    build,
    classify,
    create_model,
    dilate,
    evaluate,
    export,
    finetune,
    freeze,
    frozen_batchnorm,
    init_fixup_,
    init_he_,
    init_zero_residual_,
    is_dilated,
    list_models,
    load_file,
    parameter_groups,
    save_model,
    spec_of,
    table_of,
    unfreeze,
)
from resnetlib import analysis as A  # noqa: N812
from resnetlib.config import spec_from_dict, spec_from_json
from resnetlib.data import (
    ImageDataset,
    ImageFiles,
    LabeledImages,
    check_same_classes,
    cifar10,
    crop_flip,
    draw_crops,
    find_images,
    hold_out,
    match_classes,
    pad_crop_flip,
    read_image,
    split_folders,
    verify_images,
)
from resnetlib.deploy import OnnxModel
from resnetlib.errors import MissingFileError, ResnetlibError
from resnetlib.experiments import degradation
from resnetlib.features import pyramid
from resnetlib.inference import transform_for
from resnetlib.modules.frozen import freeze_module_, unfreeze_module_
from resnetlib.train import learning_rate, recipe_of
from resnetlib.weights import (
    Preprocessing,
    UrlFile,
    adapt_input,
    convert_file,
    read_weights,
    recognize_dialect,
    to_dialect,
    write_weights,
)

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
BATCH = IMAGES, torch.tensor([0, 1, 2, 3])
NET = build(FAMILIES["resnet"], num_classes=5)
NET.preprocess = Preprocessing.named("cifar10", resize=8, size=8)
PIXELS = torch.zeros(3, 8, 8, dtype=torch.uint8)
FOUND = A.branch_ratio(NET, IMAGES)
FILES = ImageFiles(Path(), ("a", "b"), tuple((f"{i}.png", i % 2) for i in range(8)))
LABELED = LabeledImages(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4), ("a", "b", "c", "d"))
CROPS = draw_crops(4, pad=1)
ROWS = torch.randn(5)
DIRECTION = A.filter_normalized_direction(NET)

OF_NETWORKS: dict[str, Callable[[Any], object]] = {
    "classify": lambda net: classify(net, [PIXELS]),
    "evaluate": lambda net: evaluate(net, [BATCH]),
    "transform_for": transform_for,
    "freeze": freeze,
    "frozen_batchnorm": frozen_batchnorm,
    "unfreeze": unfreeze,
    "parameter_groups": lambda net: parameter_groups(net, lr=0.1),
    "layer-wise rates": lambda net: parameter_groups(net, lr=0.1, layer_decay=0.5),
    "table_of": table_of,
    "pyramid": pyramid,
    "dilate": lambda net: dilate(net, 2),
    "is_dilated": is_dilated,
    "init_he_": init_he_,
    "init_fixup_": init_fixup_,
    "init_zero_residual_": init_zero_residual_,
    "freeze_module_": lambda net: freeze_module_(net, "a"),
    "unfreeze_module_": lambda net: unfreeze_module_(net, "a", training=True),
    "build": build,
    "spec_of": spec_of,
    "spec_from_json": spec_from_json,
    "spec_from_dict": spec_from_dict,
    "list_models": lambda name: list_models(name) and None,
    "draw": lambda finding: A.draw(finding, "finding.png"),
    "recalibrated": lambda net: A.recalibrated(net, IMAGES).__enter__(),
    "chains_of": lambda net: A.chains_of(net, IMAGES),
    "measure_cost": lambda net: A.measure_cost(net, 8),
    "deepen": lambda net: A.deepen(net, (3, 2)),
    "path_gradient": lambda net: A.path_gradient(net, BATCH, []),
    "hessian_map": lambda net: A.hessian_map(net, BATCH, points=1),
    "landscape": lambda net: A.landscape(net, BATCH, points=2),
    "project": lambda net: A.project(net, [DIRECTION], [DIRECTION]),
    "trajectory": lambda net: A.trajectory(net, [DIRECTION] * 3),
    **{
        name: lambda net, name=name: getattr(A, name)(net, BATCH)
        for name in (
            "block_survival", "branch_noise", "branch_ratio", "effective_rank", "gradient_autocorrelation",
            "gradient_decomposition", "gradient_flow", "input_noise", "lesion", "lesion_many", "path_gradients",
                "reorder", "response_std",
            "signal_propagation", "residual_decomposition", "weight_noise",
        )
    },
}  # fmt: skip
FIT_ANY_MODULE = {"frozen_batchnorm", "unfreeze", "parameter_groups", "init_he_", "freeze_module_", "unfreeze_module_"}


@pytest.mark.parametrize("odd", [None, nn.Linear(3, 3), object(), 3, "resnet99"], ids=lambda odd: type(odd).__name__)
@pytest.mark.parametrize("name", OF_NETWORKS)
def test_no_network(name: str, odd: object) -> None:
    if (name in FIT_ANY_MODULE and isinstance(odd, nn.Linear)) or (name == "list_models" and odd in (None, "resnet99")):
        OF_NETWORKS[name](odd)
        return
    with pytest.raises(
        (TypeError, ValueError), match=r"expected|must|none|there is no|incomplete|cannot run|no blocks|NoneType|JSON"
    ):
        OF_NETWORKS[name](odd)


COUNTS = (-1, 10**9, 2**70, 1.5, float("nan"), float("inf"), None, "3", [], torch.tensor([1, 2]))
OTHERS = tuple(value for value in COUNTS if value is not COUNTS[1])  # without the number that is large, and possible
NUMBERS: dict[str, tuple[Callable[[Any], object], tuple[object, ...]]] = {
    **{
        f"{kind.__name__} {name}": (
            lambda value, kind=kind, name=name: kind(**{"in_channels": 8, "width": 8} | {name: value}), (0, *COUNTS)
        )
        for kind in (BasicBlock, Bottleneck, PreActBasicBlock, PreActBottleneck)
        for name in ("in_channels", "width", "stride", *(("groups", "base_width") if "neck" in kind.__name__ else ()))
    },
    **{
        f"{kind.__name__} {name}": (lambda value, kind=kind, name=name: kind(8, 8, **{name: value}), values)
        for kind in (BasicBlock, Bottleneck, PreActBasicBlock, PreActBottleneck)
        for name, values in (
            ("join", (None, 3, "Add", nn.Identity, Add())), ("layers", (None, "batch", 3)), ("shortcut", (None, "D", "", 3)),
            *((("stride_in", (None, "2x2", 3)),) if "neck" in kind.__name__ else ()),
        )
    },
    "DenseLayer in_channels": (lambda value: DenseLayer(value, 4), (0, *COUNTS)),
    "DenseLayer growth": (lambda value: DenseLayer(8, value), (0, *COUNTS)),
    "DenseLayer bottleneck": (lambda value: DenseLayer(8, 4, bottleneck=value), COUNTS),
    "DenseLayer drop": (lambda value: DenseLayer(8, 4, drop=value), COUNTS),
    "Transition in_channels": (lambda value: Transition(value, 4), (0, *COUNTS)),
    "Transition out_channels": (lambda value: Transition(4, value), (0, *COUNTS)),
    "PadShortcut in_channels": (lambda value: PadShortcut(value, 16), (0, *COUNTS)),
    "PadShortcut out_channels": (lambda value: PadShortcut(8, value), (0, *COUNTS)),
    "PadShortcut stride": (lambda value: PadShortcut(8, 8, stride=value), (0, *COUNTS)),
    "DilatedAvgPool2d": (DilatedAvgPool2d, (0, *COUNTS)),
    "StochasticAdd": (StochasticAdd, COUNTS),
    "StochasticConcat": (StochasticConcat, COUNTS),
    **{
        f"build {name}": (lambda value, name=name: build(FAMILIES["resnet"], **{name: value}), values)
        for name, values in (
            ("num_classes", tuple(value for value in COUNTS if value is not None)), ("in_chans", (0, *COUNTS)),
            ("drop_path_rate", COUNTS), ("drop_rate", COUNTS), ("output_stride", (0, -1, 10**9, 1.5, "3", [])),
            ("device", ("tpu", "", "cuda:99", -1, 2**70, 1.5, "meta:x", [])),
            ("dtype", ("float32", torch.int64, torch.bool, torch.complex64, 3)),
        )
    },
    **{
        f"create_model {name}": (lambda value, name=name: create_model("cifar_resnet20.resnetlib_c10", **{name: value}), values)
        for name, values in (
            ("num_classes", (-1, 10**9, 1.5, "3")), ("in_chans", (0, 10**9)), ("device", ("tpu", "cuda:99", -1)),
        )
    },
    **{
        f"spec {name}": (lambda value, name=name: replace(FAMILIES["resnet-bottleneck"], **{name: value}), values)
        for name, values in (
            ("depths", ((500_000, 500_000), (10**9, 1), (0, 1), (1.5, 2), None, "ab", [2, 1.5], (2**70, 1), ())),
            ("widths", ((500_000, 500_000), (10**9, 1), (0, 1), None, "ab", (2**70, 1), ())),
            ("groups", (0, -1, 10**9, 500_000, None, "3")), ("base_width", (0, -1, 10**9, 500_000, None, "3")),
        )
    },
    **{
        f"dense spec {name}": (lambda value, name=name: replace(FAMILIES["densenet"], **{name: value}), values)
        for name, values in (
            ("depths", ((500_000, 500_000), (10**6,), (2**70, 1))), ("growth", (10**6, 500_000, 0, None)),
            ("bottleneck", (10**9, 10**7, -1, None)), ("compression", (0, float("nan"), 1e-9, None)),
        )
    },
    "lr": (lambda value: parameter_groups(NET, lr=value), (0, -1, float("nan"), float("inf"), None, "0.1", True, 1j, [0.1])),
    "weight_decay": (
        lambda value: parameter_groups(NET, lr=0.1, weight_decay=value),
        (-1, float("nan"), float("inf"), None, "0.1", True, 1j, [0.1]),
    ),
    "layer_decay": (
        lambda value: parameter_groups(NET, lr=0.1, layer_decay=value),
        (0, -1, 1.1, float("nan"), float("inf"), None, "0.1", True, 1j, [0.1]),
    ),
    "groups": (table_of, ([{}], [{"params": []}])),
    "share": (lambda value: hold_out(FILES, value), (0, 1, -1, 1.5, float("nan"), float("inf"), None, "0.1", True, [0.1])),
    "hold_out seed": (lambda value: hold_out(FILES, 0.5, seed=value), OTHERS),
    "hold_out images": (lambda value: hold_out(value, 0.5), (None, "photos", Path(), 3, [PIXELS])),
    "verify_images": (verify_images, (None, "photos", Path(), 3)),
    "check_same_classes": (lambda value: check_same_classes(FILES, value), (None, "photos", 3)),
    "ImageDataset": (lambda value: ImageDataset(value, torch.zeros), (None, "photos", 3)),
    "first images": (lambda value: LABELED.first(value), (0, *OTHERS)),
    "batches of images": (
        lambda value: LABELED.batches(NET.preprocess, value), (0, *OTHERS),
    ),
    "pad": (lambda value: pad_crop_flip(LABELED.images, pad=value), COUNTS),
    "draw_crops n": (lambda value: draw_crops(value, pad=1), OTHERS),
    "draw_crops pad": (lambda value: draw_crops(2, pad=value), COUNTS),
    "crop_flip pad": (lambda value: crop_flip(LABELED.images, CROPS, pad=value), COUNTS),
    "crop_flip images": (lambda value: crop_flip(value, CROPS, pad=1), (None, 3, "ab", [PIXELS], PIXELS)),
    "crop_flip crops": (lambda value: crop_flip(LABELED.images, value, pad=1), (None, 3, "ab", [], torch.zeros(3))),
    "adapt_input": (lambda value: adapt_input(torch.ones(8, 3, 3, 3), value), (0, *COUNTS)),
    "adapt_input zeros": (lambda value: adapt_input(torch.ones(8, 3, 3, 3), value, "zeros"), (0, 2, *COUNTS)),
    "adapt_input function": (lambda value: adapt_input(torch.ones(8, 3, 3, 3), value, lambda *_: None), (0, 2, *COUNTS)),
    "bootstrap rows": (A.bootstrap_interval, ([1, 2, 3], None, 3, "ab", torch.zeros(1), torch.tensor(1.0))),
    "bootstrap level": (lambda value: A.bootstrap_interval(ROWS, level=value), (0, 1, -1, float("nan"), None, "0.9", [0.9])),
    "bootstrap draws": (lambda value: A.bootstrap_interval(ROWS, draws=value), (0, *COUNTS)),
    "bootstrap seed": (lambda value: A.bootstrap_interval(ROWS, seed=value), OTHERS),
    "depths": (lambda value: degradation(value, data="data", out="out"), (20, 0, None, "20", 1.5, (20, 20), (2.5,), ())),
    "families": (lambda value: degradation((20,), value, data="data", out="out"), (3, None, "plain", ("plain", "plain"), ())),
    "seeds": (lambda value: degradation((20,), seeds=value, data="data", out="out"), (3, None, "0", (0, 0), (1.5,), (2**70,), ())),
    "ScaledAdd": (ScaledAdd, (None, "a", float("nan"), float("inf"), [], torch.tensor([1.0, 2.0]))),
    "stages": (lambda value: pyramid(NET, value), (3, 0, 1.5, "layer1", [], [9], ["x"], True)),
    "up_to": (lambda value: freeze(NET, value), (3, "", "layer9", ["layer1"], {})),
    "prefix": (lambda value: recognize_dialect(NET.state_dict(), prefix=value), (3, 0, 1.5, ["a"], b"a", True)),
    "saved classes": (lambda value: save_model(NET, "new folder", classes=value), (3, 0, 1.5, "abcde", True)),
    "saved config": (lambda value: save_model(NET, "new folder", pretrained_cfg=value), (3, "imagenet", {}, ["a"])),
    "names of tensors": (lambda value: to_dialect(NET.state_dict(), value, "timm"), (None, "resnet18", 3)),
    "spec of a network": (ResNet, (None, "resnet18", 3, FAMILIES["densenet"])),
    "url": (lambda value: UrlFile(url=value, sha256="01234567"), (None, 3, b"https://a.org/b.pth", "ftp://a.org/b.pth")),
    "recipe": (recipe_of, (None, 3, ["finetune"], "fast")),
    "forward": (lambda value: NET(value), (None, "x", 3, torch.zeros(3), IMAGES.byte(), torch.zeros(1, 3, 0, 0))),
    "indices": (lambda value: NET.forward_intermediates(IMAGES, value), (0, -1, 99, 1.5, "ab", [], [9], {})),
    "top": (lambda value: classify(NET, [PIXELS], top=value), (0, *COUNTS)),
    "images": (lambda value: classify(NET, value), (None, 3, "a\0b", [None], [3], PIXELS[0], {1: 2}, iter([PIXELS]))),
    "batches": (
        lambda value: evaluate(NET, value),
        (None, 3, [], b"ab", [3], [None], [(IMAGES, None)], [(IMAGES, BATCH[1][:2])], [(IMAGES, BATCH[1].float())], [(*BATCH, 3)]),
    ),
    "size": (lambda value: A.measure_cost(NET, value), (0, *COUNTS)),
    "points": (lambda value: A.landscape(NET, BATCH, points=value), (0, 1, 10**6, *COUNTS)),
    "span": (
        lambda value: A.landscape(NET, BATCH, value, points=2),
        (0, -1, None, "ab", float("nan"), ((0, 1),), ((1, 0), (0, 1))),
    ),
    "directions": (
        lambda value: A.landscape(NET, BATCH, points=2, directions=value),
        (3, "ab", [], [None], [{}], [DIRECTION] * 3, DIRECTION, [dict.fromkeys(DIRECTION)], [dict.fromkeys(DIRECTION, 1.0)]),
    ),
    "workers": (lambda value: A.landscape(NET, BATCH, points=2, workers=value), (0, -1, 10**5, 1.5, "3")),
    "every": (lambda value: A.landscape(NET, BATCH, points=2, every=value), (None, "3", [], float("nan"))),
    "loss": (lambda value: A.landscape(NET, BATCH, points=2, loss=value), (None, 3, "ab", lambda x, y: None, lambda x, y: 3)),
    "checkpoints": (lambda value: A.trajectory(NET, value), (None, 3, "ab", [], [None], [3], [{}])),
    "draws": (lambda value: A.input_noise(NET, BATCH, [0.1], draws=value), (0, *COUNTS)),
    "forks": (lambda value: A.share_of_paths(value, 1, 2), COUNTS),
    "first": (lambda value: A.share_of_paths(4, value, 2), (None, "3", 1.5)),
    "x": (lambda value: A.chains_of(NET, value), (None, 3, "ab", [], [IMAGES])),
    "deeper": (lambda value: A.deepen(NET, value), ((10**9, 10**9), (3, 2**70), (-1, 2), "ab", 3)),
    "json": (spec_from_json, ("", "{", "[]", "null", "[" * 100_000, '{"family": "resnet", "1": 2}')),
    "dict": (spec_from_dict, ({"family": []}, {1: 2}, {"family": "resnet", 1: 2})),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_impossible_values(name: str) -> None:
    call, values = NUMBERS[name]
    for value in values:
        with pytest.raises((TypeError, ValueError)) as caught:
            call(value)
        assert isinstance(caught.value, ResnetlibError), (value, caught.value)
        said = str(caught.value)
        assert 10 < len(said) < 4_000, said


MESSAGES: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: A.input_noise(NET, BATCH, [0.1]).quantile(2), ValueError, "q must be from 0 to 1, got 2"),
    (lambda: A.input_noise(NET, BATCH, [0.1]).quantile("half"), TypeError, "q must be a number, got 'half'"),  # type: ignore[arg-type]
    (lambda: A.path_gradients(NET, BATCH).effective("0.9"), TypeError, "share must be a number, got '0.9'"),  # type: ignore[arg-type]
    (lambda: FOUND.save("ratios.png"), ValueError, "path must be a file that ends in .json or .safetensors, got 'ratios.png'"),
    *(
        (partial(NET.feature_info.channels, idx), ValueError, f"idx must be an index or indices from -3 to 2, got {idx!r}")
        for idx in ("ab", 5, [0, 9], [None], [slice(2)], 1.5)
    ),
    (
        lambda: NET.forward_intermediates(IMAGES, [slice(0, 2)]),  # type: ignore[list-item]
        ValueError,
        "indices must be a number of last maps, or some of -3 to 2, got [slice(0, 2, None)]",
    ),
    *(
        (
            partial(pyramid, NET, stages),
            ValueError,
            f"stages must be some of 1 to 3, or of their names, relu, layer1, layer2, got {stages!r}",
        )
        for stages in ([[1]], [torch.tensor(1)], torch.tensor(1), [np.array(1)], [np.array([1, 2])], [torch.tensor([1, 2])])
    ),
    (lambda: match_classes([1], ("a",)), TypeError, "names must be a sequence of names, got [1]"),  # type: ignore[list-item]
    (lambda: match_classes("ab", ("a",)), TypeError, "names must be a sequence of names, got 'ab'"),
    (lambda: match_classes(["a"], None), TypeError, "classes must be a sequence of names, got None"),  # type: ignore[arg-type]
    (lambda: match_classes(["a"], ["a"], [1]), TypeError, "ids must be a sequence of names, got [1]"),  # type: ignore[list-item]
    (
        lambda: write_weights(NET, "new.safetensors", None),  # type: ignore[arg-type]
        TypeError,
        "the pretrained config must be a PretrainedConfig, got NoneType",
    ),
    (lambda: recognize_dialect({1: ROWS}), TypeError, "names of tensors must be strs, got 1"),  # type: ignore[dict-item]
    *(
        (
            partial(Preprocessing.named, odd, resize=8, size=8),  # type: ignore[arg-type]
            ValueError,
            f"normalization must be one of 'imagenet', 'cifar10', got {odd!r}",
        )
        for odd in (["x"], np.array("cifar10"), np.array(["cifar10", "x"]), torch.tensor(1))
    ),
    (
        lambda: learning_rate(3, 0, 1),  # type: ignore[arg-type]
        TypeError,
        "recipe must be a Recipe, such as recipe_of('one_cycle_cifar'), or its name, got 3",
    ),
    (
        lambda: finetune("resnet18", "data", "out", from_scratch=True, weights="DEFAULT"),
        ValueError,
        "pass either from_scratch or weights, not both, got weights='DEFAULT'",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), MESSAGES, ids=[message[:40] for *_, message in MESSAGES])
def test_an_error_names_the_value_and_what_is_accepted(
    call: Callable[[], object], error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ResnetlibError, match=f"^{re.escape(message)}$") as caught:
        call()
    assert isinstance(caught.value, error)


OF_PATHS: dict[str, Callable[[Any], object]] = {
    "read_image": read_image,
    "find_images": find_images,
    "split_folders": split_folders,
    "cifar10": lambda path: cifar10(path, "test"),
    "OnnxModel": OnnxModel,
    "classify": lambda path: classify(path, [PIXELS]),
    "evaluate": lambda path: evaluate(path, [BATCH]),
    "images": lambda path: classify(NET, path),
    "batches": lambda path: evaluate(NET, path),
    "export": lambda path: export(NET, path),
    "create_model": create_model,
    "weights": lambda path: create_model("resnet18", weights=path),
    "checkpoint_path": lambda path: create_model("resnet18", checkpoint_path=path),
    "load_file": load_file,
    "read_weights": read_weights,
    "write_weights": lambda path: write_weights(NET, path, NET.pretrained_cfg),
    "convert_file": lambda path: convert_file(path, "new.safetensors", "timm"),
    "target": lambda path: convert_file("old.safetensors", path, "timm"),
    "save_model": lambda path: save_model(NET, path),
    "finetune": lambda path: finetune("resnet18", path, "out", from_scratch=True),
    "finetune, out": lambda path: finetune("resnet18", "data", path, from_scratch=True),
    "degradation": lambda path: degradation(data=path, out="out"),
    "load_result": A.load_result,
    "save": FOUND.save,
    "draw": lambda path: A.draw(FOUND, path),
    "landscape, out": lambda path: A.landscape(NET, BATCH, points=2, out=path),
}


@pytest.mark.parametrize("odd", [b"network.onnx", bytearray(b"ab"), 3], ids=lambda odd: type(odd).__name__)
@pytest.mark.parametrize("name", OF_PATHS)
def test_no_path(name: str, odd: object) -> None:
    with pytest.raises(ResnetlibError, match=r"expected|must"):
        OF_PATHS[name](odd)


OF_FILES: dict[str, Callable[[Any], object]] = {
    "read_image": read_image,
    "classify": lambda path: classify(NET, path),
    "several": lambda path: classify(NET, [PIXELS, path]),
    "OnnxModel": OnnxModel,
    "classify with": lambda path: classify(path, [PIXELS]),
    "evaluate": lambda path: evaluate(path, [BATCH]),
    "evaluate on": lambda path: evaluate(NET, path),
    "create_model": create_model,
    "weights": lambda path: create_model("resnet18", weights=path),
    "checkpoint_path": lambda path: create_model("resnet18", checkpoint_path=path),
    "load_file": load_file,
    "read_weights": read_weights,
    "convert_file": lambda path: convert_file(path, "new.safetensors", "timm"),
    "load_result": A.load_result,
    "load": type(FOUND).load,
    "find_images": find_images,
    "cifar10": lambda path: cifar10(path, "test"),
    "finetune": lambda path: finetune("resnet18", path, "out", from_scratch=True),
    "degradation": lambda path: degradation(data=path, out="out"),
}


@pytest.mark.parametrize("name", OF_FILES)
def test_a_file_that_is_not_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    for missing in ("none.onnx", "file/none.onnx"):
        with pytest.raises(MissingFileError, match=missing):
            OF_FILES[name](tmp_path / missing)
