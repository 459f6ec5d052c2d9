"""Find the state dict in a checkpoint, and remove what training scripts put around it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from resnetlib.errors import InputError, InputTypeError
from resnetlib.text import printable

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "net", "network")
_PREFIXES = ("_orig_mod.", "module.")  # torch.compile, DataParallel
_COUNTERS = ("n_averaged",)  # torch.optim.swa_utils.AveragedModel

_DEEPEST, _LONGEST_NAME, _MOST_DIMENSIONS = 8, 1000, 16

FLOATS = frozenset(
    {torch.float64, torch.float32, torch.float16, torch.bfloat16}
    | {getattr(torch, name) for name in dir(torch) if name.startswith("float8_")}
)
_DTYPES = FLOATS | {torch.bool, *(getattr(torch, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64))}


def check_plain(key: str, tensor: object) -> None:
    """Raise ValueError unless this is a dense, real tensor with data, of a dtype of at least 8 bits."""
    if not isinstance(key, str):
        raise InputTypeError(f"names of tensors must be strs, got {printable(repr(key), 80)}")
    if not isinstance(tensor, Tensor):
        raise InputError(f"{printable(key, 80)} must be a tensor, got {type(tensor).__name__}")
    if tensor.is_meta:
        raise InputError(f"{printable(key, 80)} is on the meta device, which holds shapes alone: it is no plain tensor of numbers")
    if tensor.layout != torch.strided or tensor.is_nested or tensor.dtype not in _DTYPES:
        kind = "nested, " if tensor.is_nested else ""
        raise InputError(f"{printable(key, 80)} is no plain tensor of numbers: {kind}{tensor.dtype}, {tensor.layout}")


def unwrap(checkpoint: object) -> dict[str, Tensor]:
    """Return the state dict in a checkpoint, without prefixes of wrappers; raise ValueError unless it holds plain tensors alone."""
    for _ in range(_DEEPEST):
        if not isinstance(checkpoint, Mapping):
            raise InputError(f"expected a state dict or a dict that holds one, got {type(checkpoint).__name__}")
        inner = next((checkpoint[key] for key in _WRAPPERS if isinstance(checkpoint.get(key), Mapping)), None)
        if inner is None:
            break
        checkpoint = inner
    assert isinstance(checkpoint, Mapping)  # noqa: S101
    state = {str(key): value for key, value in checkpoint.items() if isinstance(value, Tensor)}
    if not state or len(state) < len(checkpoint):
        other = [printable(key, 80) for key, value in checkpoint.items() if not isinstance(value, Tensor)]
        raise InputError(f"expected a state dict of tensors alone, got {len(state)} tensors and the keys {other[:5]}")
    for key, tensor in state.items():
        check_plain(key, tensor)
        if not key.isprintable() or len(key) > _LONGEST_NAME or tensor.ndim > _MOST_DIMENSIONS:
            raise InputError(
                f"{printable(key, 80)}, of {tensor.ndim} dimensions, is no network's: a name has at most {_LONGEST_NAME} "
                f"characters, all printable, and a tensor at most {_MOST_DIMENSIONS} dimensions"
            )
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
            raise InputError(f"{printable(key, 80)} says that it is {tuple(tensor.shape)}, and holds fewer numbers")
    state = {key: tensor for key, tensor in state.items() if key not in _COUNTERS} or state
    for _ in range(_DEEPEST):
        prefix = next((prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in state)), "")
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()} if prefix else state
    return state
