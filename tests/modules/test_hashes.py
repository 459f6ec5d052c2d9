"""Hashes of tensors: they depend on every value, whatever the dtype."""

import hashlib

import pytest
import torch

from resnetlib.modules.hashes import hash_tensors

DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.uint8, torch.int64, torch.bool, torch.float8_e4m3fn)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_of_any_dtype_and_layout(dtype: torch.dtype) -> None:
    zeros, one = torch.zeros(2, 3), torch.eye(2, 3)

    def digest(tensor: torch.Tensor, name: str = "a") -> str:
        return hash_tensors({name: tensor.to(dtype)})

    assert digest(zeros) not in (digest(one), digest(zeros, "b"), digest(zeros.T))
    assert digest(one.T) == digest(one.T.contiguous())
    assert digest(torch.zeros(())) != digest(torch.zeros(0))


def test_another_dtype_is_another_hash() -> None:
    assert hash_tensors({"a": torch.zeros(2)}) != hash_tensors({"a": torch.zeros(2, dtype=torch.int32)})


def test_hashes_stay_as_they_are() -> None:
    """Trainings, landscapes and .onnx files record them."""
    x = torch.tensor([1.0, 2.0])
    assert hash_tensors({"x": x}) == hashlib.sha256(b"x torch.float32 (2,)\n" + x.numpy().tobytes()).hexdigest()
