"""Curves and results."""

from pathlib import Path

import pytest

from resnetlib.train import FinetuneResult, Result
from resnetlib.train.metrics import draw_curves, read_result, write_result


@pytest.mark.parametrize("split", ["test", "val"])
def test_curves(split: str, tmp_path: Path) -> None:
    keys = ("error", "loss", "train_error", "train_loss", f"{split}_error", f"{split}_loss")
    draw_curves([{"iteration": i, **dict.fromkeys(keys, 1 / i)} for i in (1, 2, 3)], tmp_path / "curves.png", split)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("kind", "split"), [(Result, "test"), (FinetuneResult, "val")])
def test_a_result_is_read_as_it_was_written(kind: type[Result], split: str, tmp_path: Path) -> None:
    values = {f"{split}_error": 3.0, f"{split}_loss": 0.4, f"best_{split}_error": 2.5}
    result = kind(iterations=3, train_error=1.0, train_loss=0.2, seconds=1.5, **values)
    write_result(tmp_path / "result.json", result, "hash", ["none"])
    assert read_result(tmp_path / "result.json", kind) == (result, {"training": "hash"})
    other = FinetuneResult if kind is Result else Result
    with pytest.raises(ValueError, match="it is not the result of a training"):
        read_result(tmp_path / "result.json", other)
