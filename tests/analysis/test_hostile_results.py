"""Files that hold no result, or a damaged one: said, and nothing else."""

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from resnetlib.analysis import Landscape, landscape, load_result

NET = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
BATCH = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("findings")
    found = landscape(NET, BATCH, points=2)
    for kind in ("json", "safetensors"):
        found.save(folder / f"whole.{kind}")
    return folder


def refused_or_read(path: Path) -> None:
    for load in (load_result, Landscape.load):
        with suppress(ValueError, OSError):
            assert isinstance(load(path), Landscape)


@pytest.mark.parametrize("kind", ["json", "safetensors"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bytes_that_changed(kind: str, folder: Path, data: st.DataObject) -> None:
    content = bytearray((folder / f"whole.{kind}").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    damaged = folder / f"damaged.{kind}"
    damaged.write_bytes(content)
    refused_or_read(damaged)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | st.fixed_dictionaries({"dtype": st.sampled_from(["float64", "float", "nn", "load", "int8"]) | inner, "data": inner})
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_values_that_are_others(folder: Path, data: st.DataObject) -> None:
    values = json.loads((folder / "whole.json").read_text())
    values[data.draw(st.sampled_from(sorted(values)))] = data.draw(PLAIN)
    (folder / "other.json").write_text(json.dumps(values))
    refused_or_read(folder / "other.json")


@pytest.mark.parametrize("text", ["", "null", "[]", "3", '"x"', "[" * 100_000, '{"result": ["Landscape"]}', '{"result": 1e999}'])
def test_other_json(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match="not a saved result"):
        load_result(tmp_path / "x.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_pipes_devices_folders_and_vast_files_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ValueError, match="a pipe"):
        load_result(tmp_path / "pipe.json")
    with pytest.raises(ValueError, match="a pipe"):
        landscape(NET, BATCH, points=2, out=tmp_path / "pipe.json")
    with pytest.raises(OSError, match="folder"):
        load_result(tmp_path)
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="device"):
        load_result(tmp_path / "zero.json")


@pytest.mark.parametrize("other", [{"data": [1.0], "dtype": "float64"}, {"data": [[1, 2], [3, 4]], "dtype": "int64"}])
def test_a_survey_does_not_go_on_from_values_of_another_shape(other: object, tmp_path: Path) -> None:
    path = tmp_path / "landscape.json"
    landscape(NET, BATCH, points=2, out=path)
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"loss": other}))
    with pytest.raises(ValueError, match="damaged"):
        landscape(NET, BATCH, points=2, out=path)
