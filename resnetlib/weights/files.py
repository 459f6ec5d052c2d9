"""Read weights files safely, whatever they hold, and write them atomically."""

import json
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from resnetlib.config import PretrainedConfig, pretrained_config_from_json
from resnetlib.disk import local_path, open_file, write_atomically
from resnetlib.errors import InputError, InputTypeError, check_not_exported, prefix_errors, printable
from resnetlib.models.catalog import SPECS
from resnetlib.modules import Backbone
from resnetlib.modules.backbone import check_network
from resnetlib.modules.thread_guards import in_use
from resnetlib.weights.dialects.compare import same_network
from resnetlib.weights.dialects.rename import select_prefix
from resnetlib.weights.pickles import PLACEHOLDERS, check_pickle

METADATA_KEY = "resnetlib"
"""The key of the pretrained config in the metadata of a safetensors header."""

MAX_HEADER, MAX_ENTRIES = 2**24, 50_000
"""The most bytes and entries of a safetensors header that is parsed; a ResNet-1202 has 8,000 tensors."""

_MAX_SHARING = 4
"""The tensors of a pickle, each with memory of its own, may be at most this many times as large as the file."""

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "net", "network")
"""Keys under which checkpoints hold a state dict."""

_PREFIXES = ("_orig_mod.", "module.")  # torch.compile, DataParallel
_FOREIGN: Mapping[bytes, str] = {
    rb"version https://git-lfs": "is a Git LFS pointer, which stands for a file that was not downloaded: run `git lfs pull` there",
    rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml)": "is a web page, such as an error or a login page: download the file itself",
    rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!": "is a compressed archive: unpack it first",
    rb"\x89HDF": "is an HDF5 file, as Keras writes them: convert it to safetensors first",
    rb"\x89PNG|\xff\xd8\xff|GIF8|%PDF": "is a picture or a document, not a file of weights",
}
"""Pattern of a file's first bytes -> what it is."""

_LOADING = threading.Lock()
"""Held while torch.load knows the placeholders, which it keeps for the whole process."""

_COUNTERS = ("n_averaged",)  # torch.optim.swa_utils.AveragedModel
_MAX_DEPTH, _MAX_NAME, _MAX_DIMENSIONS = 8, 1000, 16  # of wrappers in each other, of a name, and of a tensor

_FLOATS = frozenset(
    {torch.float64, torch.float32, torch.float16, torch.bfloat16}
    | {getattr(torch, name) for name in dir(torch) if name.startswith("float8_")}
)
_DTYPES = _FLOATS | {torch.bool, *(getattr(torch, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64))}


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """The content of a weights file: tensors with the names in the file, and the config in its header, if any."""

    state: dict[str, Tensor]
    pretrained_cfg: PretrainedConfig | None


def read_weights(path: str | Path, *, mmap: bool = False, prefix: str | None = None) -> WeightsFile:
    """Read a safetensors file, or one of `torch.save`, without running code from it.

    The content tells which of the two it is, whatever the file is called. Of a training's checkpoint, the state dict is read; other
    entries, such as arguments and NumPy arrays, are ignored.

    Args:
        path: the file.
        mmap: map a safetensors file into memory instead of reading it. This is faster, but the process is killed if another one
            truncates the file.
        prefix: read only the tensors whose names begin with this prefix, and remove it.

    Returns:
        The tensors, on the CPU, and the pretrained config.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or holds an object of an unknown type.
    """
    path = local_path(path)
    start = _read_start(path)
    if start[8:9] == b"{":
        file = _read_safetensors(path, mmap)
    elif start[257:262] == b"ustar":
        raise InputError(
            f"{path} is a tar file, as PyTorch wrote them before 0.4: reading it would run code. If you trust it, read it with "
            "torch.load(path, weights_only=False), and save its state dict as safetensors."
        )
    else:
        check_not_exported(path)
        file = WeightsFile(_read_pickle(path), None)
    return replace(file, state=select_prefix(file.state, prefix, source=str(path)))


def write_weights(net: Backbone, path: str | Path, cfg: PretrainedConfig, *, dtype: torch.dtype | None = None) -> None:
    """Write a network's weights as safetensors, with their pretrained config in the header.

    The write is atomic: if the disk is full or the process is killed, an existing file stays as it is.

    Args:
        net: the network.
        path: the file, which is replaced if it exists.
        cfg: the config for the header.
        dtype: dtype of the floating-point tensors in the file; by default the tensors' own.

    Raises:
        ValueError: if the config does not describe the network, or a number is not finite (in `dtype`).
        RuntimeError: if another thread analyzes the network.
    """
    check_pretrained_config(cfg, net)
    with in_use(net, exclusive=False):
        write_state(net.state_dict(), path, cfg, dtype=dtype)


def write_state(
    state: Mapping[str, Tensor], path: str | Path, cfg: PretrainedConfig | None = None, *, dtype: torch.dtype | None = None
) -> None:
    """Write tensors as safetensors, atomically.

    Args:
        state: names and tensors.
        path: the file, which is replaced if it exists.
        cfg: the config for the header, or None.
        dtype: dtype of the floating-point tensors in the file; by default the tensors' own.

    Raises:
        ValueError: if a tensor is not a plain strided one, or a number is not finite (in `dtype`).
    """
    write_atomically(path, encode_state(state, cfg, dtype=dtype))


def encode_state(state: Mapping[str, Tensor], cfg: PretrainedConfig | None = None, *, dtype: torch.dtype | None = None) -> bytes:
    """Return the content of a safetensors file. The same tensors and config always give the same bytes."""
    if dtype is not None and dtype not in _FLOATS:
        raise InputError(f"dtype must be one of torch's floating dtypes of 8 bits or more, got {dtype!r}")
    check_state(state)
    if "__metadata__" in state:
        raise InputError("a tensor cannot be called '__metadata__', which safetensors keeps for itself: rename it")
    plain = {}
    for key, tensor in state.items():
        if tensor.is_floating_point():
            tensor = tensor.to(dtype or tensor.dtype)
        if not is_finite(tensor):
            raise InputError(f"{printable(key, 80)} holds numbers that are not finite in {tensor.dtype}")
        plain[key] = tensor.detach().contiguous().cpu()
    metadata = {"format": "pt"} | ({} if cfg is None else {METADATA_KEY: cfg.to_json()})
    content = safetensors.torch.save(copy_shared_tensors(plain), metadata)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])  # safetensors writes the metadata in random order
    text = json.dumps({**header, "__metadata__": metadata}, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(content)[end:]))


def is_finite(tensor: Tensor) -> bool:
    """Return whether a tensor holds no NaN and no infinity."""
    if not tensor.is_floating_point():
        return True
    if tensor.itemsize == 1:
        tensor = tensor.float()  # torch has no sum of float8
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())  # the sum is fast, but can overflow


def check_state(state: Mapping[str, Tensor]) -> None:
    """Raise ValueError or TypeError unless this maps names to dense, real tensors with data, of dtypes of at least 8 bits."""
    if not isinstance(state, Mapping):
        raise InputTypeError(f"state must be a dict of names and tensors, got {type(state).__name__}")
    for key, tensor in state.items():
        if not isinstance(key, str):
            raise InputTypeError(f"names of tensors must be strs, got {printable(repr(key), 80)}")
        shown = printable(key, 80)
        if not isinstance(tensor, Tensor):
            raise InputError(f"{shown} must be a tensor, got {type(tensor).__name__}")
        if tensor.is_meta:
            raise InputError(f"{shown} is on the meta device, which holds only shapes: it is not a plain tensor of numbers")
        if tensor.layout != torch.strided or tensor.is_nested or tensor.dtype not in _DTYPES:
            kind = "nested, " if tensor.is_nested else ""
            raise InputError(f"{shown} is not a plain tensor of numbers: {kind}{tensor.dtype}, {tensor.layout}")


def unwrap(checkpoint: object) -> dict[str, Tensor]:
    """Return the state dict in a checkpoint, without prefixes of wrappers; raise ValueError unless it holds only plain tensors.

    Several state dicts (`{"student": ..., "teacher": ...}`) become one, with their keys as prefixes.
    """
    if not isinstance(checkpoint, Mapping):
        raise InputError(f"expected a state dict or a dict that holds one, got {type(checkpoint).__name__.lstrip('_')}")
    for _ in range(_MAX_DEPTH):
        wrapped = (checkpoint.get(key) for key in _WRAPPERS)
        checkpoint = next((each for each in wrapped if isinstance(each, Mapping) and _holds_tensors(each)), checkpoint)
    state = {str(key): value for key, value in checkpoint.items() if isinstance(value, Tensor)}
    parts = {key: value for key, value in checkpoint.items() if isinstance(value, Mapping) and _is_state(value)}
    nested = {f"{key}.{name}": tensor for key, part in parts.items() for name, tensor in part.items()}
    has_modules = any("." in name for part in parts.values() for name in part)
    if has_modules and len(nested) > len(state):
        state = nested
    elif not state or len(state) < len(checkpoint):
        other = [printable(key, 80) for key, value in checkpoint.items() if not isinstance(value, Tensor)]
        raise InputError(f"expected a state dict with tensors only, got {len(state)} tensors and the keys {other[:5]}")
    check_state(state)
    for key, tensor in state.items():
        if not key.isprintable() or len(key) > _MAX_NAME or tensor.ndim > _MAX_DIMENSIONS:
            raise InputError(
                f"{printable(key, 80)}, of {tensor.ndim} dimensions, cannot be a network's: a name has at most {_MAX_NAME} "
                f"characters, all printable, and a tensor at most {_MAX_DIMENSIONS} dimensions"
            )
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
            raise InputError(f"{printable(key, 80)} holds fewer numbers than its shape, {tuple(tensor.shape)}")
    state = {key: tensor for key, tensor in state.items() if key not in _COUNTERS} or state
    while prefix := next((prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in state)), ""):
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def _is_state(value: Mapping[object, object]) -> bool:
    """Return whether all keys are names and all values tensors."""
    return all(isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in value.items())


def _holds_tensors(value: Mapping[object, object]) -> bool:
    """Return whether a nested dict holds a tensor."""
    todo, seen = list[object]([value]), set[int]()
    while todo:
        each = todo.pop()
        if isinstance(each, Tensor):
            return True
        if isinstance(each, Mapping) and id(each) not in seen:
            seen.add(id(each))
            todo += each.values()
    return False


def copy_shared_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy each tensor that shares memory with an earlier one, or that needs less than half of its storage."""
    taken, own = set[int](), {}
    for key, tensor in state.items():
        place, needed = tensor.untyped_storage().data_ptr(), tensor.numel() * tensor.element_size()
        own[key] = tensor.clone() if place in taken or tensor.untyped_storage().nbytes() > 2 * needed else tensor
        taken.add(place)
    return own


def check_pretrained_config(cfg: PretrainedConfig, net: Backbone) -> None:
    """Raise ValueError if a pretrained config does not describe a network."""
    check_network(net, compiled=False)
    if not isinstance(cfg, PretrainedConfig):
        raise InputTypeError(f"the pretrained config must be a PretrainedConfig, got {type(cfg).__name__}")
    if cfg.spec != net.spec:
        raise InputError(f"the pretrained config describes another network:\n  {cfg.spec}\n  {net.spec}")
    if cfg.name in SPECS and not same_network(SPECS[cfg.name], net.spec):
        raise InputError(f"the pretrained config calls this network {cfg.name}, which is another one: {SPECS[cfg.name]}")
    if cfg.classes is not None and len(cfg.classes) != net.num_classes:
        raise InputError(f"there are {len(cfg.classes)} classes, but the network has {net.num_classes} logits")
    if cfg.preprocess is not None and cfg.preprocess.channels != net.in_chans:
        raise InputError(
            f"the preprocessing makes {cfg.preprocess.channels} channels, but the network takes {net.in_chans}: set "
            "net.preprocess to another one, or to None"
        )
    params = sum(parameter.numel() for parameter in net.parameters())
    if cfg.params not in (None, params):
        raise InputError(f"the pretrained config says {cfg.params:,} parameters, but the network has {params:,}")


def _read_start(path: Path) -> bytes:
    """Return a file's first 512 bytes; raise ValueError for a safetensors header that is too large to parse."""
    with open_file(path) as file:
        start = file.read(512)
        if found := next((what for pattern, what in _FOREIGN.items() if re.match(pattern, start, re.IGNORECASE)), ""):
            raise InputError(f"{path} {found}.")
        size = int.from_bytes(start[:8], "little")
        if start[8:9] == b"{":
            entries = (start[8:] + file.read(size)).count(b"{") if size <= MAX_HEADER else 0
            if size > MAX_HEADER or entries > MAX_ENTRIES:
                raise InputError(
                    f"{path} is damaged, or not a network's: its header has {size:,} bytes and {entries:,} entries; the limits are "
                    f"{MAX_HEADER:,} and {MAX_ENTRIES:,}"
                )
    return start


def _read_safetensors(path: Path, mmap: bool) -> WeightsFile:
    try:
        with safetensors.safe_open(path, framework="pt", backend="mmap" if mmap else "pread") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            state = file.get_tensors()
    except Exception as error:  # also raised for dtypes that torch does not have
        raise InputError(f"{path} is damaged: {printable(error)}{_cut_off(path)}") from error
    with prefix_errors(path):
        cfg = pretrained_config_from_json(metadata[METADATA_KEY]) if METADATA_KEY in metadata else None
        return WeightsFile(unwrap(state), cfg)


def _cut_off(path: Path) -> str:
    """Explain that a safetensors file is truncated, or return ""."""
    with open_file(path) as file, suppress(ValueError, LookupError, TypeError, AttributeError):
        size, whole = int.from_bytes(file.read(8), "little"), path.stat().st_size
        announced = 8 + size
        if announced <= whole:
            entries = json.loads(file.read(size))
            announced += max(entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__")
        if whole < announced:
            return f". It has {whole:,} bytes of {announced:,}, as after an interrupted download: get it again"
    return ""


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        if not path.stat().st_size:
            raise InputError("it is empty")
        checkpoint = _load_pickle(path, check_pickle(path))
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        why = re.sub(r"(?s)Weights only load failed.*?WeightsUnpickler error: |\n.*", "", str(error))
        if foreign := re.match(r"(?:Unsupported global|Trying to load unsupported)\W*GLOBAL (\S+)", why):
            raise InputError(
                f"{path} holds an object of {printable(foreign[1], 100)}, which could run code as it is created. Nothing in it was "
                "run. Ask its author for a safetensors file or a plain state dict."
            ) from None
        raise InputError(
            f"{path} is damaged, or holds more than tensors: {printable(why, 1000)}\nNothing in it was run. Ask "
            "its author for a safetensors file or a plain state dict."
        ) from error
    with prefix_errors(path):
        state, size = unwrap(checkpoint), path.stat().st_size
        total = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
        if total > _MAX_SHARING * size:
            more = f"more than {_MAX_SHARING} times the file's {size:,}"
            raise InputError(f"its tensors have {total:,} bytes, {more}: too many share the same memory")
        return copy_shared_tensors(state)


def _load_pickle(path: Path, names: Sequence[str]) -> object:
    """Read a checked file, with placeholders for the objects of these types."""
    known = torch.serialization.safe_globals([(PLACEHOLDERS[name], name) for name in names])
    with open_file(path) as file, ExitStack() as stack:  # torch.load would read a path that ends in .safetensors as such
        if names:
            stack.enter_context(_LOADING)
            stack.enter_context(known)
        return torch.load(file, map_location="cpu", weights_only=True)
