"""Hashes of tensors: they depend on every value, whatever the dtype."""

import hashlib

import pytest
import torch

from resnetlib.modules.hashes import hash_tensors

DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.uint8, torch.int64, torch.bool, torch.float8_e4m3fn)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_of_any_dtype_and_layout(dtype: torch.dtype) -> None:
    zeros, one = torch.zeros(2, 3), torch.eye(2, 3)
    assert hash_tensors([zeros.to(dtype)]) != hash_tensors([one.to(dtype)])
    assert hash_tensors({"a": zeros.to(dtype)}) not in (hash_tensors({"b": zeros.to(dtype)}), hash_tensors([zeros.to(dtype)]))
    assert hash_tensors([one.to(dtype).T]) == hash_tensors([one.to(dtype).T.contiguous()])
    assert hash_tensors([torch.zeros((), dtype=dtype)]) != hash_tensors([torch.zeros(0, dtype=dtype)])


def test_hashes_stay_as_they_are() -> None:
    """Trainings, landscapes and .onnx files record them."""
    x = torch.tensor([1.0, 2.0])
    content = x.numpy().tobytes()
    assert hash_tensors([x]) == hashlib.sha256(b"(2,)" + content).hexdigest()
    assert hash_tensors({"x": x}) == hashlib.sha256(b"x torch.float32 (2,)\n" + content).hexdigest()
