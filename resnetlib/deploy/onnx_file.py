"""Validate an untrusted .onnx file before a runtime loads it.

The check reads protobuf's wire format by a table of the fields that an image classifier needs, and rejects all others.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from resnetlib.config import Preprocessing, spec_from_dict
from resnetlib.config.spec import MAX_WIDTH
from resnetlib.disk import local_path, open_file
from resnetlib.errors import InputError, prefix_errors, printable

KEY = "resnetlib"
"""The key of the file's metadata under which `export` describes the network, as JSON."""

_MAX_BYTES = 2**31 - 1
"""Protobuf's own limit."""

_MAX_FIELDS = 2_000_000
"""A file of many tiny fields would take long to read. The largest network here has some 100,000."""

_MAX_PADDING, _MAX_CHANNELS = 64, 2**14
"""The most pixels, and channels, that a node may pad on each side."""

_LONGEST_METADATA, _LONGEST_TEXT = 2**24, 200

_MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {1: "int", 2: "bytes", 3: "bytes", 4: "bytes", 5: "int", 6: "bytes", 7: "graph", 8: "opset*", 14: "entry*"},
    "opset": {1: "bytes", 2: "int"},
    "entry": {1: "bytes", 2: "bytes"},
    "graph": {1: "node*", 2: "bytes", 5: "tensor*", 10: "bytes", 11: "value*", 12: "value*", 13: "value*", 16: "entry*"},
    "node": {1: "bytes*", 2: "bytes*", 3: "bytes", 4: "bytes", 5: "attribute*", 6: "bytes", 7: "bytes", 8: "bytes", 9: "entry*"},
    "attribute": {
        1: "bytes", 2: "float", 3: "int", 4: "bytes", 5: "tensor", 7: "data*", 8: "int*", 9: "bytes*", 13: "bytes", 20: "int",
    },
    "tensor": {
        1: "int*", 2: "int", 4: "data*", 5: "data*", 7: "int*", 8: "bytes", 9: "bytes", 10: "data*", 12: "bytes", 14: "int",
        16: "entry*",
    },
    "value": {1: "bytes", 2: "type", 3: "bytes", 4: "entry*"},
    "type": {1: "tensor type", 6: "bytes"},
    "tensor type": {1: "int", 2: "shape"},
    "shape": {1: "dim*"},
    "dim": {1: "int", 2: "bytes", 3: "bytes"},
}  # fmt: skip
"""The accepted fields of ONNX's messages, by their numbers, and their kinds; a star for those that may be repeated."""

_LARGEST_FIELD = 30
"""The largest number of a field in ONNX's messages. Read as protobuf, files of other formats seem to have larger ones."""

_WIRE_TYPES = {"int": (0,), "float": (5,), "bytes": (2,), "data": (0, 1, 2, 5)}

_FORBIDDEN = {
    ("model", 20): "a training graph",
    ("model", 25): "functions",
    ("graph", 15): "sparse tensors",
    ("attribute", 6): "a graph inside a node",
    ("attribute", 11): "graphs inside a node",
    ("attribute", 22): "sparse tensors",
    ("attribute", 23): "sparse tensors",
    ("tensor", 6): "tensors of text",
    ("tensor", 13): "weights in other files",
}
"""Descriptions of rejected fields, for error messages."""

_INPUTS: Mapping[str, tuple[int, int]] = {
    operator: (least, most)
    for (least, most), operators in {
        (0, 0): "Constant",
        (1, 1): (
            "AveragePool Cast Elu Erf Flatten Gelu GlobalAveragePool HardSigmoid HardSwish Identity LeakyRelu LogSoftmax MaxPool "
            "Reciprocal Relu Selu Shape Sigmoid Softmax Softplus Sqrt Tanh Transpose"
        ),
        (1, 2): "ReduceMean ReduceSum Split Squeeze",
        (1, 3): "Clip",
        (1, 10_000): "Concat",
        (2, 2): "Add Div Gather MatMul Mul Pow Reshape Sub Unsqueeze",
        (2, 3): "Conv DequantizeLinear Gemm Pad QuantizeLinear",
        (3, 3): "GroupNormalization InstanceNormalization",
        (3, 5): "Slice",
        (5, 5): "BatchNormalization",
    }.items()
    for operator in operators.split()
}
"""The operators of image classifiers, and how many inputs each takes, at least and at most."""

_INDEXED = frozenset(["Gather", "Reshape", "ReduceMean", "ReduceSum", "Slice", "Split", "Squeeze", "Unsqueeze"])
"""Operators whose inputs after the first are shapes or indices. Runtimes crash on numbers of other types there."""

_ELEMENTWISE = frozenset(("Add", "Clip", "Div", "Mul", "Pow", "Sub"))
"""Operators that broadcast their constants. OpenVINO crashes on some constants that do not fit the batch."""

_CONVERTERS = frozenset(("Cast", "DequantizeLinear", "QuantizeLinear"))
"""Operators whose output may have another type than their first input."""

_RESHAPES = frozenset(("Cast", "Flatten", "Identity", "Reshape", "Squeeze"))
"""Operators whose output holds the numbers of their first input."""

_ITEM_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}
"""Bytes of a number, by ONNX's number of its data type: floats, 8-bit, 32-bit and 64-bit integers, and booleans."""

_FLOAT, _INT64, _NOT_ONNX = 1, 7, "is not an ONNX model, or is damaged or truncated"
_DIVISORS = frozenset({"kernel_shape", "strides", "dilations", "group", "num_groups", "num_outputs"})
"""Attributes that must be above 0; runtimes divide by some of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxFile:
    """The content of a checked .onnx file.

    Args:
        path: the file.
        content: its bytes. A runtime reads these, not the path, since the file may change after the check.
        input: name of the input.
        input_shape: channels, height and width of the input; None for a height or width that is not fixed.
        output: name of the output.
        num_classes: number of logits.
        ends_in_softmax: whether the outputs are probabilities instead of logits.
        metadata: the description of the network that `export` wrote; None for other files.
        preprocessing: the preprocessing in the metadata, or None.
    """

    path: Path
    content: bytes
    input: str
    input_shape: tuple[int, int | None, int | None]
    output: str
    num_classes: int
    ends_in_softmax: bool
    metadata: Mapping[str, Any] | None
    preprocessing: Preprocessing | None


def is_onnx(path: object) -> bool:
    """Return whether an object is the path of an .onnx file, by its ending."""
    return isinstance(path, str | Path) and str(path).lower().endswith(".onnx")


def read_onnx(path: str | Path) -> OnnxFile:
    """Read and check an .onnx file that holds an image classifier.

    Args:
        path: the file.

    Returns:
        The checked content.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a regular file, is damaged, or holds anything but a network from a batch of images to a batch of
            logits: operators of other domains, subgraphs, or weights in other files, for example.
    """
    path = local_path(path)
    with open_file(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > _MAX_BYTES:
            raise InputError(f"{path} is larger than the limit of {_MAX_BYTES:,} bytes")
        content = file.read(size)
    with prefix_errors(printable(path, 1000)):
        model = _Reader().read(memoryview(content), "model")
        if 7 not in model:
            raise InputError(_NOT_ONNX)
        graph = model[7]
        constants = {_text(tensor.get(8, b"")): tensor for tensor in graph.get(5, ())}
        known = {_text(value.get(1, b"")): False for value in graph.get(11, ())}
        known |= {name: tensor.get(2) == _INT64 for name, tensor in constants.items()}
        for node in graph.get(1, ()):
            known |= _check_node(node, known, constants)
        images, shape = _single(graph.get(11, ()), "input")
        logits, out = _single(graph.get(12, ()), "output")
        if len(shape) != 4 or not shape[1] or len(out) != 2 or not out[1]:
            raise InputError(f"must have an input (N, C, H, W) and logits (N, classes), got {_sizes(shape)} and {_sizes(out)}")
        channels, (height, width), num_classes = shape[1], shape[2:], out[1]
        metadata, preprocessing = _read_metadata(model.get(14, ()), num_classes)
        if preprocessing is not None and preprocessing.channels != channels:
            raise InputError(f"has {channels} input channels, but a preprocessing for {preprocessing.channels}")
        if preprocessing is not None and not {height, width} <= {None, preprocessing.size}:
            raise InputError(f"has an input of {height} x {width} pixels, but a preprocessing for {preprocessing.size}")
        return OnnxFile(
            path=path,
            content=content,
            input=images,
            input_shape=(channels, height, width),
            output=logits,
            num_classes=num_classes,
            ends_in_softmax=_ends_in_softmax(graph.get(1, ()), logits),
            metadata=metadata,
            preprocessing=preprocessing,
        )


class _Reader:
    """Reads messages of protobuf's wire format by the table of accepted fields."""

    def __init__(self) -> None:
        self._left = _MAX_FIELDS

    def read(self, data: memoryview, kind: str) -> dict[int, Any]:
        """Return a message's values by the numbers of their fields; lists for those that may be repeated."""
        found: dict[int, Any] = {}
        for number, wire, value in self._fields(data):
            expected = _MESSAGES[kind].get(number)
            if expected is None:
                if number not in range(1, _LARGEST_FIELD + 1):
                    raise InputError(_NOT_ONNX)
                what = _FORBIDDEN.get((kind, number), f"the unknown field {number} of a {kind}")
                raise InputError(f"holds {what}, which is not accepted in an .onnx file")
            values = self._values(expected, wire, value)
            if expected.endswith("*"):
                found.setdefault(number, []).extend(values)
            elif number in found:
                raise InputError(f"is damaged: field {number} of a {kind} is there twice")
            else:
                found[number] = values[0]
        if kind == "tensor":
            _check_tensor(found, len(data))
        return found

    def _values(self, expected: str, wire: int, value: Any) -> list[Any]:
        single = expected.removesuffix("*")
        if expected == "int*" and wire == 2:
            return list(self._packed(value))
        if wire not in _WIRE_TYPES.get(single, (2,)):
            raise InputError(f"is damaged: it has a value of another type in place of a {single}")
        return [self.read(value, single) if single in _MESSAGES else value]

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise InputError(f"has more than {_MAX_FIELDS:,} fields")

    def _fields(self, data: memoryview) -> Iterator[tuple[int, int, Any]]:
        """Yield the number, the wire type and the value of each field."""
        at = 0
        while at < len(data):
            self._count()
            key, at = _varint(data, at)
            number, wire = key >> 3, key & 7
            value: Any
            if wire == 0:
                value, at = _varint(data, at)
            else:
                length = {1: 8, 5: 4}.get(wire, -1)
                if wire == 2:
                    length, at = _varint(data, at)
                if not 0 <= length <= len(data) - at:
                    raise InputError(_NOT_ONNX)
                value, at = data[at : at + length], at + length
            yield number, wire, value

    def _packed(self, data: memoryview) -> Iterator[int]:
        at = 0
        while at < len(data):
            self._count()
            value, at = _varint(data, at)
            yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the signed 64-bit integer at a position, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            value &= 2**64 - 1
            return value - 2**64 if value >= 2**63 else value, at
    raise InputError(_NOT_ONNX)


def _text(data: Any) -> str:
    try:
        return bytes(data).decode()
    except UnicodeDecodeError as error:
        raise InputError("is damaged: a name is not UTF-8") from error


def _check_tensor(tensor: Mapping[int, Any], length: int) -> None:
    """Raise ValueError unless a tensor holds the numbers that its shape says, in the file itself."""
    dims, dtype = tensor.get(1, []), tensor.get(2)
    if dtype not in _ITEM_BYTES:
        raise InputError(f"holds a tensor of ONNX's data type {dtype}, which is not accepted in an .onnx file")
    if tensor.get(14, 0) != 0:
        raise InputError(f"holds {_FORBIDDEN['tensor', 13]}, which is not accepted in an .onnx file")
    if len(dims) > 8 or not all(0 <= size < 2**31 for size in dims):
        raise InputError(f"is damaged: a tensor has the shape {str(dims)[:100]}")
    if (9 in tensor and len(tensor[9]) != prod(dims) * _ITEM_BYTES[dtype]) or prod(dims) > length:
        raise InputError(f"is damaged: a tensor of shape {dims} is stored in {length:,} bytes")


def _check_node(node: Mapping[int, Any], known: Mapping[str, bool], constants: dict[str, Mapping[int, Any]]) -> dict[str, bool]:
    """Check a node, and return its outputs.

    `known` and the returned dictionary map the name of each value to whether it holds 64-bit integers.
    """
    domain, operator = _text(node.get(7, b"")), _text(node.get(4, b""))
    if domain not in ("", "ai.onnx") or operator not in _INPUTS:
        full = printable(f"{domain}.{operator}" if domain else operator)
        raise InputError(f"uses the operator {full}, expected one of {', '.join(sorted(_INPUTS))}")
    inputs, outputs = ([_text(name) for name in node.get(field, ())] for field in (1, 2))
    least, most = _INPUTS[operator]
    required = inputs if operator == "Concat" else inputs[:least]
    if not least <= len(inputs) <= most or "" in required or not outputs or not outputs[0]:
        raise InputError(f"is damaged: a {operator} has {len(inputs)} inputs and {len(outputs)} outputs")
    if unknown := [name for name in inputs if name and name not in known]:
        raise InputError(f"is damaged: a {operator} reads {printable(unknown[0])}, which no node before it computes")
    if twice := [name for name in outputs if name and name in known]:
        raise InputError(f"is damaged: {printable(twice[0])} is computed twice")
    if wrong := [name for name in inputs[1:] if name and operator in _INDEXED and not known[name]]:
        raise InputError(f"has a {operator} whose input {printable(wrong[0])} does not hold 64-bit integers")
    integers = operator == "Shape" or (operator not in _CONVERTERS and bool(inputs) and known[inputs[0]])
    for attribute in node.get(5, ()):
        name, values = _text(attribute.get(1, b"")), [*attribute.get(8, ()), *([attribute[3]] if 3 in attribute else [])]
        low, high = (1, MAX_WIDTH) if name in _DIVISORS else (0, _MAX_PADDING) if name == "pads" else (-(2**31), 2**31)
        if not all(low <= value <= high for value in values):
            raise InputError(f"has a {operator} with {printable(name)} of {str(values)[:100]}, expected {low:,} to {high:,}")
        if operator == "Constant" and 5 in attribute:
            constants[outputs[0]] = attribute[5]
            integers = attribute[5].get(2) == _INT64
        integers |= (operator == "Cast" and values == [_INT64]) or (operator == "Constant" and name in ("value_int", "value_ints"))
    for dims in (constants.get(name, {}).get(1, []) for name in inputs if operator in _ELEMENTWISE):
        if len(dims) > 4 or dims[:-3] not in ([], [1]):
            raise InputError(f"has a {operator} with a constant of shape {dims}, which does not fit batches of every size")
    if operator == "Pad":
        _check_padding(constants.get(inputs[1], {}))
    return {name: integers for name in outputs if name}


def _check_padding(sizes: Mapping[int, Any]) -> None:
    """Raise ValueError unless the sizes of a padding are constant and small: large ones could exhaust the memory."""
    values = sizes.get(7) or (np.frombuffer(sizes[9], "<i8").tolist() if sizes.get(2) == _INT64 and 9 in sizes else [])
    sides = len(values) // 2
    most = [_MAX_CHANNELS if i % sides == 1 else _MAX_PADDING for i in range(len(values))] if sides else []
    if not values or len(values) % 2 or not all(0 <= value <= high for value, high in zip(values, most, strict=True)):
        raise InputError(f"has a Pad by {str(values)[:100]}, expected constants of at most {_MAX_PADDING} pixels")


def _ends_in_softmax(nodes: Sequence[Mapping[int, Any]], output: str) -> bool:
    """Return whether the output is a softmax. Raise ValueError for one that is not over the classes."""
    sources = {_text(name): node for node in nodes for name in node[2]}
    while output in sources and _text(sources[output][4]) in _RESHAPES:
        output = _text(sources[output][1][0])
    if output not in sources or _text(sources[output][4]) != "Softmax":
        return False
    axes = [attribute.get(3, 0) for attribute in sources[output].get(5, ()) if _text(attribute.get(1, b"")) == "axis"]
    if axes not in ([], [1], [-1]):
        raise InputError(f"ends in a softmax along axis {axes[0]}, expected one over the classes, axis 1 or -1")
    return True


def _single(values: Sequence[Mapping[int, Any]], what: str) -> tuple[str, list[int | None]]:
    """Return the name and the shape of the only input or output; raise ValueError if there are several, or it has no floats."""
    if len(values) != 1:
        raise InputError(f"has {len(values)} {what}s, expected one")
    tensor = values[0].get(2, {}).get(1, {})
    if tensor.get(1) != _FLOAT:
        raise InputError(f"has an {what} of ONNX's data type {tensor.get(1)}, expected {_FLOAT}, float32")
    sizes = [dim.get(1) for dim in tensor.get(2, {}).get(1, ())]
    if not all(size is None or 0 < size <= MAX_WIDTH for size in sizes):
        raise InputError(f"has an {what} of shape {_sizes(sizes)}, expected sizes up to {MAX_WIDTH:,}")
    return _text(values[0].get(1, b"")), sizes


def _sizes(sizes: Sequence[int | None]) -> str:
    return f"({', '.join('?' if size is None else str(size) for size in sizes[:10])})"


def _read_metadata(entries: Iterable[Mapping[int, Any]], num_classes: int) -> tuple[Mapping[str, Any] | None, Preprocessing | None]:
    """Return the metadata that `export` wrote, and the preprocessing in it; raise ValueError if they are malformed."""
    texts = [entry.get(2, b"") for entry in entries if bytes(entry.get(1, b"")) == KEY.encode()]
    if not texts:
        return None, None
    if len(texts) > 1 or len(texts[0]) > _LONGEST_METADATA:
        raise InputError(f"must have its metadata once, in {_LONGEST_METADATA:,} bytes at most")
    try:
        values = json.loads(_text(texts[0]), parse_constant=_reject_constant)
        if not isinstance(values, dict) or set(values) != set(_FIELDS):
            got = sorted(values) if isinstance(values, dict) else type(values).__name__
            raise InputError(f"expected an object of {', '.join(_FIELDS)}, got {str(got)[:200]}")
        for name, (expected, valid) in _FIELDS.items():
            if not valid(values[name]):
                raise InputError(f"{name} must be {expected}, got {repr(values[name])[:100]}")
        spec_from_dict(values["spec"])
        if values["classes"] is not None and len(values["classes"]) != num_classes:
            raise InputError(f"it names {len(values['classes'])} classes, but the network has {num_classes} logits")
        steps = values["preprocessing"]
        preprocessing = None if steps is None else Preprocessing(**steps)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"has metadata that cannot be read: {printable(error, 500)}") from error
    return values, preprocessing


def _reject_constant(text: str) -> None:
    raise InputError(f"{text} is not a number")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT


_FIELDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "format": ("1, which this version reads", lambda v: type(v) is int and v == 1),
    "version": ("a short text", _is_text),
    "name": ("a short text", _is_text),
    "weights": ("a short text or null", lambda v: v is None or _is_text(v)),
    "spec": ("an object", lambda v: isinstance(v, dict)),
    "preprocessing": ("an object or null", lambda v: v is None or isinstance(v, dict)),
    "classes": ("a list of texts or null", lambda v: v is None or (isinstance(v, list) and all(isinstance(c, str) for c in v))),
    "weights_sha256": ("64 hexadecimal digits", lambda v: isinstance(v, str) and bool(re.fullmatch("[0-9a-f]{64}", v))),
    "int8": ("true or false", lambda v: isinstance(v, bool)),
}
"""The fields of the metadata: a description for errors, and a check."""
