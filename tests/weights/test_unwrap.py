"""What scripts wrap around a state dict comes off; what is no state dict is refused."""

import pytest
import torch

from resnetlib.weights.files import unwrap


def test_wrappers_and_prefixes_come_off_in_any_order() -> None:
    state = {"fc.weight": torch.ones(2, 2)}
    for wrapped in (
        {"epoch": 3, "state_dict": state},
        {"state_dict": {"model": state, "epoch": 3}, "optimizer": {}},
        {"model": {"net": {f"module._orig_mod.module.{key}": tensor for key, tensor in state.items()}}},
        {"model_ema": {"n_averaged": torch.tensor(5), **{f"module.{key}": tensor for key, tensor in state.items()}}},
    ):
        assert unwrap(wrapped).keys() == state.keys()
    assert unwrap({"state_dict_ema": {"a": torch.ones(1)}, "state_dict": state}).keys() == {"a"}
    assert unwrap({"model": {"arch": "x"}, "model_state_dict": state}).keys() == state.keys()
    parts = {"encoder": {"conv1.weight": torch.ones(1)}, "head": {"weight": torch.ones(2, 2), "bias": torch.ones(2)}, "epoch": 3}
    assert unwrap(parts).keys() == {"encoder.conv1.weight", "head.weight", "head.bias"}
    endless: dict[str, object] = {}
    endless["model"] = endless
    with pytest.raises(ValueError, match="expected a state dict with tensors only"):
        unwrap(endless)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(1).expand(10**9), "holds fewer numbers than its shape, .1000000000,."),
        (torch.zeros(2, dtype=torch.complex64), "not a plain tensor of numbers"),
        (torch.zeros(2).to_sparse(), "not a plain tensor of numbers"),
        (torch.zeros(2, device="meta"), "not a plain tensor of numbers"),
        ("text", "tensors only, got 1 tensors and the keys"),
    ],
)
def test_what_is_no_tensor_of_numbers_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unwrap({"a": torch.zeros(1), "b": value})
