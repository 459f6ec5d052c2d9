"""Read weights files safely, whatever they hold, and write them atomically."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from resnetlib.config import PretrainedConfig, pretrained_config_from_json
from resnetlib.disk import open_file, write_atomically
from resnetlib.errors import InputError, InputTypeError, MissingFileError
from resnetlib.models.catalog import SPECS
from resnetlib.modules import Backbone
from resnetlib.modules.backbone import check_network
from resnetlib.modules.threads import in_use
from resnetlib.text import printable
from resnetlib.weights.dialects.compare import same_network
from resnetlib.weights.pickles import check_pickle

METADATA_KEY = "resnetlib"
"""The key of the pretrained config in the metadata of a safetensors header."""

MAX_HEADER, MAX_ENTRIES = 2**24, 50_000
"""The most bytes and entries of a safetensors header that is parsed; a ResNet-1202 has 8,000 tensors."""

_MAX_SHARING = 4
"""The tensors of a pickle, each with memory of its own, may be at most this many times as large as the file."""

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "net", "network")
"""Keys under which checkpoints hold a state dict."""

_PREFIXES = ("_orig_mod.", "module.")  # torch.compile, DataParallel
_COUNTERS = ("n_averaged",)  # torch.optim.swa_utils.AveragedModel
_MAX_DEPTH, _MAX_NAME, _MAX_DIMENSIONS = 8, 1000, 16

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


def read_weights(path: str | Path, *, mmap: bool = False) -> WeightsFile:
    """Read a safetensors file, or one of `torch.save`, without running code from it.

    Args:
        path: the file.
        mmap: map a safetensors file into memory instead of reading it. This is faster, but the process is killed if another one
            truncates the file.

    Returns:
        The tensors, on the CPU, and the pretrained config.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or holds more than tensors and plain data.
    """
    path = Path(path)
    try:
        start = _read_start(path)
    except FileNotFoundError:
        raise MissingFileError(f"there is no file {path}") from None
    if start[8:9] == b"{":
        return _read_safetensors(path, mmap)
    if start[257:262] == b"ustar":
        raise InputError(
            f"{path} is a tar file, as PyTorch wrote them before 0.4: reading it would run code. If you trust it, read it with "
            "torch.load(path, weights_only=False), and save its state dict as safetensors."
        )
    return WeightsFile(_read_pickle(path), None)


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
        RuntimeError: if another thread analyses the network.
    """
    check_pretrained_config(cfg, net)
    with in_use(net, alone=False):
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
    write_atomically(Path(path), encode_state(state, cfg, dtype=dtype))


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
            if not (tensor.float() if tensor.itemsize == 1 else tensor).isfinite().all():
                raise InputError(f"{printable(key, 80)} holds numbers that are not finite in {tensor.dtype}")
        plain[key] = tensor.detach().contiguous().cpu()
    metadata = {"format": "pt"} | ({} if cfg is None else {METADATA_KEY: cfg.to_json()})
    content = safetensors.torch.save(separate(plain), metadata)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])  # safetensors writes the metadata in random order
    text = json.dumps({**header, "__metadata__": metadata}, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(content)[end:]))


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
            raise InputError(f"{shown} is on the meta device, which holds shapes alone: it is no plain tensor of numbers")
        if tensor.layout != torch.strided or tensor.is_nested or tensor.dtype not in _DTYPES:
            kind = "nested, " if tensor.is_nested else ""
            raise InputError(f"{shown} is no plain tensor of numbers: {kind}{tensor.dtype}, {tensor.layout}")


def unwrap(checkpoint: object) -> dict[str, Tensor]:
    """Return the state dict in a checkpoint, without prefixes of wrappers; raise ValueError unless it holds plain tensors alone."""
    for _ in range(_MAX_DEPTH):
        if not isinstance(checkpoint, Mapping):
            raise InputError(f"expected a state dict or a dict that holds one, got {type(checkpoint).__name__}")
        inner = next((checkpoint[key] for key in _WRAPPERS if isinstance(checkpoint.get(key), Mapping)), None)
        if inner is None:
            break
        checkpoint = inner
    assert isinstance(checkpoint, Mapping)  # noqa: S101 - for mypy
    state = {str(key): value for key, value in checkpoint.items() if isinstance(value, Tensor)}
    if not state or len(state) < len(checkpoint):
        other = [printable(key, 80) for key, value in checkpoint.items() if not isinstance(value, Tensor)]
        raise InputError(f"expected a state dict of tensors alone, got {len(state)} tensors and the keys {other[:5]}")
    check_state(state)
    for key, tensor in state.items():
        if not key.isprintable() or len(key) > _MAX_NAME or tensor.ndim > _MAX_DIMENSIONS:
            raise InputError(
                f"{printable(key, 80)}, of {tensor.ndim} dimensions, is no network's: a name has at most {_MAX_NAME} "
                f"characters, all printable, and a tensor at most {_MAX_DIMENSIONS} dimensions"
            )
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
            raise InputError(f"{printable(key, 80)} says that it is {tuple(tensor.shape)}, and holds fewer numbers")
    state = {key: tensor for key, tensor in state.items() if key not in _COUNTERS} or state
    for _ in range(_MAX_DEPTH):
        prefix = next((prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in state)), "")
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def separate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
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
    if cfg.spec != net.spec:
        raise InputError(f"the pretrained config is another network's:\n  {cfg.spec}\n  {net.spec}")
    if cfg.name in SPECS and not same_network(SPECS[cfg.name], net.spec):
        raise InputError(f"the pretrained config calls this network {cfg.name}, which is another one: {SPECS[cfg.name]}")
    if cfg.classes is not None and len(cfg.classes) != net.num_classes:
        raise InputError(f"there are {len(cfg.classes)} classes, and the network has {net.num_classes} logits")
    if cfg.preprocess is not None and cfg.preprocess.channels != net.in_chans:
        raise InputError(
            f"the preprocessing makes {cfg.preprocess.channels} channels, and the network takes {net.in_chans}: set "
            "net.preprocess to another one, or to None"
        )
    params = sum(parameter.numel() for parameter in net.parameters())
    if cfg.params not in (None, params):
        raise InputError(f"the pretrained config says {cfg.params:,} parameters, and the network has {params:,}")


def _read_start(path: Path) -> bytes:
    """Return a file's first 512 bytes; raise ValueError for a safetensors header that is too large to parse."""
    with open_file(path) as file:
        start = file.read(512)
        size = int.from_bytes(start[:8], "little")
        if start[8:9] == b"{":
            entries = (start[8:] + file.read(size)).count(b"{") if size <= MAX_HEADER else 0
            if size > MAX_HEADER or entries > MAX_ENTRIES:
                raise InputError(
                    f"{path} is damaged, or not a network's: its header has {size:,} bytes and {entries:,} entries; at most "
                    f"{MAX_HEADER:,} and {MAX_ENTRIES:,} are read"
                )
    return start


def _read_safetensors(path: Path, mmap: bool) -> WeightsFile:
    try:
        with safetensors.safe_open(path, framework="pt", backend="mmap" if mmap else "pread") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            state = file.get_tensors()
    except Exception as error:  # also raised for dtypes that torch does not have
        raise InputError(f"{path} is damaged: {printable(error)}") from error
    return WeightsFile(unwrap(state), pretrained_config_from_json(metadata[METADATA_KEY]) if METADATA_KEY in metadata else None)


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        check_pickle(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise InputError(
            f"{path} is damaged, or holds more than tensors: {printable(error, 1000, lines=True)}\nNothing in it was run. Save it "
            "as safetensors, or as a plain state dict, where it comes from."
        ) from error
    state, size = unwrap(checkpoint), path.stat().st_size
    total = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    if total > _MAX_SHARING * size:
        raise InputError(
            f"{path} has {size:,} bytes, and its tensors would have {total:,}: more than {_MAX_SHARING} share the same memory"
        )
    return separate(state)
