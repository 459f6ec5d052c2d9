"""What training scripts wrap around a state dict: the dict that holds it, and prefixes of its names."""

from collections.abc import Mapping

import torch
from torch import Tensor

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "net", "network")
"""Under which of these keys a checkpoint keeps its tensors, or another wrapper; the first one that is there."""

PREFIXES = ("_orig_mod.", "module.")
"""What `torch.compile` and data parallelism put before every name, in any order and number."""

BESIDES = ("n_averaged",)
"""Counters that averaging puts beside a network's tensors (`torch.optim.swa_utils.AveragedModel`)."""

DEEPEST = 8
"""So many wrappers or prefixes come off, and no more."""


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
        other = [str(key)[:80] for key, value in checkpoint.items() if not isinstance(value, Tensor)]
        raise ValueError(f"expected a state dict of tensors alone, got {len(state)} tensors and the keys {other[:5]}")
    for key, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized or tensor.is_meta:
            raise ValueError(f"{key[:80]} is no plain tensor of numbers: {tensor.dtype}, {tensor.layout}, on {tensor.device}")
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
            raise ValueError(f"{key[:80]} says that it is {tuple(tensor.shape)}, and holds fewer numbers")
    state = {key: tensor for key, tensor in state.items() if key not in BESIDES} or state
    for _ in range(DEEPEST):
        prefix = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in state)), None)
        if prefix is None:
            break
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state
