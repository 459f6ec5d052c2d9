"""The commands that take exported networks, `bench`, and the errors of those that do not."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import tiny as small
import torch
from commands import call, right, wrong
from PIL import Image

from resnetlib import save_model
from resnetlib.cli.bench import find_candidates
from resnetlib.deploy.onnx_model import Runtime

pytest.importorskip("onnx")
pytestmark = pytest.mark.skipif(not any(map(find_spec, ("onnxruntime", "openvino"))), reason="no runtime is installed")
RUNTIMES = [name for name in ("onnxruntime", "openvino") if find_spec(name)]

import onnx_files  # noqa: E402


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return onnx_files.write(tmp_path / "tiny.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a subfolder for each class, and an image of its color in it, twice."""
    for i, name in enumerate(onnx_files.CLASSES):
        pixels = np.zeros((20, 30, 3), np.uint8)
        pixels[..., i] = 255
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_predict(tiny: Path, photos: Path, tmp_path: Path, runtime: str) -> None:
    out = right("predict", tiny, photos / "blue" / "0.png", "--runtime", runtime, "--top", 1)
    assert out.splitlines()[0] == str(photos / "blue" / "0.png")
    assert out.splitlines()[1].endswith("%  blue")
    listed, sheet = tmp_path / "a.csv", tmp_path / "a.png"
    right("predict", tiny, photos, "--runtime", runtime, "--out", listed, "--sheet", sheet, "--workers", 0, "--no-exif")
    rows = list(csv.DictReader(listed.read_text().splitlines()))
    assert [row["class_1"] for row in rows] == ["blue", "blue", "green", "green", "red", "red"]
    with Image.open(sheet) as drawn:
        assert drawn.width > 100
    right("predict", tiny, str(photos / "*" / "0.png"), "--out", tmp_path / "a.json")
    assert len(json.loads((tmp_path / "a.json").read_text())) == 3


def test_predict_imports_no_torch(tiny: Path, photos: Path, tmp_path: Path) -> None:
    code = """
import sys
from resnetlib.cli import main
main(sys.argv[1:], standalone_mode=False)
print([name for name in ("torch", "torchvision", "safetensors", "matplotlib", "huggingface_hub") if name in sys.modules])
"""
    command = ["predict", tiny, photos, "--top", 2, "--out", tmp_path / "a.json", "--sheet", tmp_path / "a.png"]
    result = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", code, *map(str, command)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_evaluate(tiny: Path, photos: Path, tmp_path: Path, runtime: str) -> None:
    out = right("evaluate", tiny, "--data", photos, "--runtime", runtime, "--batch", 4, "--confusion", tmp_path / "confusion.png")
    assert out.startswith("top-1 100.00 %, top-5 100.00 %, loss ")
    assert "on 6 images" in out
    assert (tmp_path / "confusion.png").exists()
    (photos / "red").rename(photos / "violet")
    assert "the network has no class violet" in wrong("evaluate", tiny, "--data", photos)


def test_info(tiny: Path, tmp_path: Path) -> None:
    out = right("info", tiny)
    assert "  pretrained weights unknown\n  SHA-256 of weights 000000" in out
    lines = out.splitlines()
    assert lines[0] == f"{tiny}: cifar_resnet20, exported by resnetlib 0.2.0"
    facts = dict(line.strip().split(None, 1) for line in lines[1:])
    assert (facts["depths"], facts["int8"]) == ("[3, 3, 3]", "no")
    assert facts["classes"] == "3 (red, green, blue)"
    assert (facts["input"], facts["preprocessing"]) == ("(N, 3, 8, 8)", "resize to 9 (bilinear), crop 8 x 8")
    foreign = onnx_files.write(tmp_path / "foreign.onnx", about=None, shape=("N", 3, "H", "W"))
    out = right("info", foreign)
    assert "a network that another library exported" in out
    assert "(N, 3, any, any)" in out
    assert "preprocessing      unknown" in out
    odd = onnx_files.write(tmp_path / "odd.onnx", about=onnx_files.metadata(name="\x1b[2J", classes=["\r", "b", "c"]))
    assert right("info", odd).replace("\n", "").isprintable()
    assert "--size and --weights are for networks" in wrong("info", tiny, "--size", 8)


@pytest.mark.parametrize(
    "command",
    [
        "train {file} --data {data} --out {out}",
        "finetune {file} --data {data} --out {out}",
        "analyze lesion {file} --data {data} --out {out}",
        "analyze deepen {file} --depths 1,1 --out {out}",
        "verify {file} --data {data}",
        "weights convert {file} {out}.safetensors --to timm",
        "weights show {file}",
        "predict cifar_resnet20 --weights {file} {data}",
    ],
)
def test_commands_that_need_a_network_say_so(tiny: Path, photos: Path, tmp_path: Path, command: str) -> None:
    out = wrong(*command.format(file=tiny, data=photos, out=tmp_path / "out").split())
    [error] = [line for line in out.splitlines() if line.startswith("Error: ")]
    what = (
        "is an exported network, for predict, evaluate, info and bench: give the network or the weights that it was exported from"
    )
    assert error == f"Error: {tiny} {what}"
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("option", [["--weights", "tv_in1k"], ["--normalize", "imagenet"], ["--device", "cpu"]])
def test_options_of_networks_are_none_of_files(tiny: Path, photos: Path, option: list[str]) -> None:
    for command in (["predict", tiny, photos], ["evaluate", tiny, "--data", photos]):
        assert f"and runs on the CPU: leave out {option[0]}\n" in wrong(*command, *option)
    assert call("predict", tiny, photos, "--num-classes", 3).exit_code == 2


def test_options_of_files_are_none_of_networks(photos: Path) -> None:
    error = "--runtime openvino is for .onnx files, not for cifar_resnet20"
    assert error in wrong("predict", "cifar_resnet20", photos, "--runtime", "openvino")
    assert error in wrong("evaluate", "cifar_resnet20", "--data", photos, "--runtime", "openvino")


def test_files_that_cannot_be_used(photos: Path, tmp_path: Path) -> None:
    assert f"Error: there is no file {tmp_path / 'no.onnx'}\n" in wrong("predict", tmp_path / "no.onnx", photos)
    (tmp_path / "bad.onnx").write_bytes(b"\x80PK")
    for command in (["predict", tmp_path / "bad.onnx", photos], ["info", tmp_path / "bad.onnx"], ["bench", tmp_path / "bad.onnx"]):
        assert "bad.onnx: is not an ONNX model, or is damaged or truncated" in wrong(*command)
    foreign = onnx_files.write(tmp_path / "foreign.onnx", about=None)
    assert "foreign.onnx has no preprocessing in its metadata" in wrong("predict", foreign, photos)
    assert "foreign.onnx has no preprocessing in its metadata: export" in wrong("evaluate", foreign, "--data", photos)


@pytest.fixture
def threads() -> Iterator[None]:
    """Restore the number of threads, which `resnetlib bench` sets."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("threads")
def test_bench_of_a_file(tiny: Path, tmp_path: Path) -> None:
    out = right("bench", tiny, "--rounds", 2, "--batch", "1,3", "--threads", 1, "--out", tmp_path / "bench.json")
    header, *lines = out.splitlines()
    assert header.split()[:4] == ["network", "runtime", "img/s", "at"]
    assert [line.split()[:2] for line in lines[: len(RUNTIMES)]] == [["cifar_resnet20", runtime] for runtime in RUNTIMES]
    assert "\n1 threads of " in out
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert figures["threads"] == 1
    for row in figures["rows"]:
        assert set(row["batches"]) == {"1", "3"}
        for speed in row["batches"].values():
            assert speed["images_per_second"] * speed["ms_per_image"] == pytest.approx(1000)
            assert speed["over_torchvision"] is None
        assert row["cold_start_seconds"] > 0
        assert row["peak_mib"] is None or 10 < row["peak_mib"] < 1000


@pytest.mark.slow
@pytest.mark.usefixtures("threads")
def test_bench_of_a_network_for_gray_images(tmp_path: Path) -> None:
    from resnetlib import create_model, save_model

    save_model(create_model("cifar_resnet20", num_classes=3, in_chans=1), tmp_path / "gray")
    assert right("bench", tmp_path / "gray", "--rounds", 1, "--batch", "1").count("cifar_resnet20") == 2


@pytest.mark.usefixtures("threads")
def test_bench_says_what_fails(tmp_path: Path) -> None:
    path = onnx_files.write(tmp_path / "wrong.onnx", weight=np.ones((3, 4, 1, 1), np.float32))  # for four channels
    assert f"{RUNTIMES[0]} cannot run {path}: " in wrong("bench", path)


@pytest.mark.slow
@pytest.mark.usefixtures("threads")
def test_bench_of_a_network_beside_torchvisions(tmp_path: Path) -> None:
    from resnetlib import spec_of

    about = onnx_files.metadata(name="resnet18", spec=json.loads(spec_of("resnet18").to_json()))
    same = onnx_files.write(tmp_path / "same.onnx", about=about)
    right("bench", "resnet18", same, "--rounds", 1, "--batch", "1", "--out", tmp_path / "bench.json")
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    kinds = [row["runtime"] for row in rows if row["runtime"] != "optimize"]
    assert kinds == ["torchvision", "eager", *RUNTIMES]
    assert rows[0]["batches"]["1"]["over_torchvision"] == 1
    assert all(row["batches"]["1"]["over_torchvision"] > 0.05 for row in rows)


def test_bench_of_a_network_that_torchvision_calls_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(small.network(), "googlenet")
    onnx_files.write(tmp_path / "a.onnx", about=onnx_files.metadata(name="googlenet"))
    found = find_candidates(["googlenet", "a.onnx"])
    assert {each.network for each in found} == {"googlenet"}
    assert [each.runtime for each in found] == ["eager", "optimize", *(name for name in get_args(Runtime) if name in RUNTIMES)]


@pytest.mark.parametrize("batch", ["0", "", "1,x", "5000"])
def test_bench_of_no_batches(tiny: Path, batch: str) -> None:
    assert "--batch must be numbers from 1 to 4,096" in wrong("bench", tiny, "--batch", batch)


def test_bench_of_no_network() -> None:
    assert "there is no network named 'resnet51'" in wrong("bench", "resnet51")
