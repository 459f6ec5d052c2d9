"""What training scripts wrap around a state dict: the dict that holds it, and prefixes of its names."""

from collections.abc import Mapping

import torch
from torch import Tensor

from resnetlib.text import printable

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "net", "network")
"""Under which of these keys a checkpoint keeps its tensors, or another wrapper; the first one that is there."""

PREFIXES = ("_orig_mod.", "module.")
"""What `torch.compile` and data parallelism put before every name, in any order and number."""

BESIDES = ("n_averaged",)
"""Counters that averaging puts beside a network's tensors (`torch.optim.swa_utils.AveragedModel`)."""

DEEPEST = 8
"""So many wrappers or prefixes come off, and no more."""

LONGEST, MOST_DIMENSIONS = 1000, 16
"""Longer names, and tensors of more dimensions, are no network's."""

FLOATS = frozenset(
    {torch.float64, torch.float32, torch.float16, torch.bfloat16}
    | {getattr(torch, name) for name in dir(torch) if name.startswith("float8_")}
)
_DTYPES = FLOATS | {torch.bool, *(getattr(torch, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64))}


def check_plain(key: str, tensor: object) -> None:
    """Raise ValueError for a tensor that cannot be stored as a dtype, a shape and numbers.

    Args:
        key: its name.
        tensor: the tensor.

    Raises:
        ValueError: if it is sparse, nested, complex, quantized, of numbers below 8 bits, on the meta device, or no tensor.
    """
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{printable(key, 80)} must be a tensor, got {type(tensor).__name__}")
    if tensor.is_meta:
        raise ValueError(f"{printable(key, 80)} is on the meta device, which holds shapes alone: it is no plain tensor of numbers")
    if tensor.layout != torch.strided or tensor.is_nested or tensor.dtype not in _DTYPES:
        kind = "nested, " if tensor.is_nested else ""
        raise ValueError(f"{printable(key, 80)} is no plain tensor of numbers: {kind}{tensor.dtype}, {tensor.layout}")


def unwrap(checkpoint: object) -> dict[str, Tensor]:
    """Find the tensors in what a file holds, and take wrappers' prefixes off their names.

    Args:
        checkpoint: a state dict, or a dict that holds one, or one that holds such a dict.

    Returns:
        Names and tensors.

    Raises:
        ValueError: if there are none, or one of them is sparse, complex, quantized, without contents or larger than its contents.

    Example:
        >>> list(unwrap({"epoch": 3, "state_dict": {"module.fc.weight": torch.zeros(10, 64)}}))
        ['fc.weight']
    """
    for _ in range(DEEPEST):
        wrapper = next(
            (key for key in WRAPPERS if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(key), Mapping)), None
        )
        if wrapper is None or not isinstance(checkpoint, Mapping):
            break
        checkpoint = checkpoint[wrapper]
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"expected a state dict or a dict that holds one, got {type(checkpoint).__name__}")
    state = {str(key): value for key, value in checkpoint.items() if isinstance(value, Tensor)}
    if not state or len(state) < len(checkpoint):
        other = [printable(key, 80) for key, value in checkpoint.items() if not isinstance(value, Tensor)]
        raise ValueError(f"expected a state dict of tensors alone, got {len(state)} tensors and the keys {other[:5]}")
    for key, tensor in state.items():
        check_plain(key, tensor)
        if not key.isprintable() or len(key) > LONGEST or tensor.ndim > MOST_DIMENSIONS:
            raise ValueError(
                f"{printable(key, 80)}, of {tensor.ndim} dimensions, is no network's: a name has at most {LONGEST} characters, "
                f"all printable, and a tensor at most {MOST_DIMENSIONS} dimensions"
            )
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
            raise ValueError(f"{printable(key, 80)} says that it is {tuple(tensor.shape)}, and holds fewer numbers")
    state = {key: tensor for key, tensor in state.items() if key not in BESIDES} or state
    for _ in range(DEEPEST):
        prefix = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in state)), None)
        if prefix is None:
            break
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state
