"""Hash the values of tensors."""

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def hash_tensors(tensors: Mapping[str, Tensor] | Sequence[Tensor]) -> str:
    """Return the SHA-256 of tensors of any dtype: names, dtypes, shapes and values; without names, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items() if isinstance(tensors, Mapping) else ((None, tensor) for tensor in tensors):
        shape = tuple(tensor.shape)
        digest.update(f"{shape}".encode() if name is None else f"{name} {tensor.dtype} {shape}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)  # NumPy has no bfloat16
    return digest.hexdigest()
