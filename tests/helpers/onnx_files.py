"""Small .onnx files, made with the package onnx."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from resnetlib import spec_of

CLASSES = ("red", "green", "blue")


def metadata(**changes: Any) -> dict[str, Any]:
    """The metadata of a tiny exported network."""
    return {
        "format": 1,
        "version": "0.2.0",
        "name": "cifar_resnet20",
        "weights": None,
        "spec": json.loads(spec_of("cifar_resnet20").to_json()),
        "preprocessing": {
            "resize": 9, "size": 8, "mean": [0.5, 0.25, 0.5], "std": [0.5, 0.25, 0.125], "interpolation": "bilinear",
            "antialias": True,
        },
        "classes": list(CLASSES),
        "weights_sha256": "0" * 64,
        "int8": False,
    } | changes  # fmt: skip


def model(
    *,
    weight: np.ndarray | None = None,
    shape: tuple[int | str, ...] = ("N", 3, 8, 8),
    about: Mapping[str, Any] | str | None = None,
    nodes: list[onnx.NodeProto] | None = None,
) -> onnx.ModelProto:
    """A network of a convolution, a ReLU and the average over the map: by default, the logits are the means of the channels."""
    weight = np.eye(3, dtype=np.float32)[:, :, None, None] if weight is None else weight
    graph = helper.make_graph(
        nodes
        or [
            helper.make_node("Conv", ["images", "weight"], ["maps"], kernel_shape=[1, 1], strides=[1, 1], pads=[0] * 4),
            helper.make_node("GlobalAveragePool", ["maps"], ["means"]),
            helper.make_node("Flatten", ["means"], ["logits"], axis=1),
        ],
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(weight)])],
        [numpy_helper.from_array(weight, "weight")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if about is not None:
        helper.set_model_props(made, {"resnetlib": about if isinstance(about, str) else json.dumps(about)})
    return made


def write(path: Path, made: onnx.ModelProto | None = None, **options: Any) -> Path:
    """Write a model, by default one with metadata."""
    made = model(**({"about": metadata()} | options)) if made is None else made
    path.write_bytes(made.SerializeToString())
    return path
