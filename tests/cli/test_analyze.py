"""`resnetlib analyze`, as a person calls it."""

import math
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import tiny
import torch
from commands import call, right, wrong
from pictures import COLORS, draw, fill
from torch._dynamo.utils import counters

from resnetlib import ResNetSpec, analysis, create_model, save_model
from resnetlib.analysis import AnalysisResult, load_result

SPEC = ResNetSpec(block="basic", depths=(3, 2), widths=(4, 8), shortcut="A", stem="cifar", order="pre")

FINDINGS = {
    "residual-decomposition": {"residual_decomposition"},
    "gradients": {"gradient_flow", "gradient_decomposition"},
    "response": {"response_std", "branch_ratio"},
    "propagation": {"propagation"},
    "shattered": {"autocorrelation", "effective_rank"},
    "lesion": {"lesion", "lesion_many", "reorder"},
    "paths": {"paths"},
    "survival": {"survival"},
    "noise": {"input_noise", "weight_noise", "branch_noise"},
}


@pytest.fixture
def network(tmp_path: Path) -> Path:
    save_model(tiny.network(SPEC), tmp_path / "network", classes=sorted(COLORS))
    return tmp_path / "network"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return fill(tmp_path / "pictures", 4)


@pytest.mark.parametrize("command", FINDINGS)
def test_each_analysis_writes_what_it_finds(command: str, network: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = right("analyze", command, network, "--data", pictures, "--out", out, "--normalize", "cifar10", "--batch", 5)
    assert {path.stem for path in out.glob("*.json")} == FINDINGS[command]
    for stem in FINDINGS[command]:
        assert isinstance(load_result(out / f"{stem}.json"), AnalysisResult)
        assert (out / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
        assert f"wrote {out / stem}.json and .png" in said


def test_the_ratio_of_gradients_is_named(network: Path, pictures: Path, tmp_path: Path) -> None:
    said = right("analyze", "gradients", network, "--data", pictures, "--out", tmp_path, "--normalize", "cifar10")
    ratio = analysis.GradientFlow.load(tmp_path / "gradient_flow.json").first_to_last
    assert said.splitlines()[0].endswith(f"; ratio of the first to the last: {ratio:.3g}")


def test_it_is_what_the_function_finds(network: Path, pictures: Path, tmp_path: Path) -> None:
    from resnetlib.data import ImageDataset, find_images
    from resnetlib.weights import Preprocessing

    right(
        "analyze", "lesion", network, "--data", pictures, "--out", tmp_path, "--normalize", "cifar10", "--draws", 0, "--images", 6
    )
    data = ImageDataset(find_images(pictures), Preprocessing.named("cifar10", resize=32, size=32))
    x, y = zip(*(data[i] for i in range(0, 12, 2)), strict=True)
    expected = analysis.lesion(create_model(f"{network}/"), (torch.stack(x), torch.tensor(y)))
    found = analysis.Perturbation.load(tmp_path / "lesion.json")
    assert found.images == 6
    assert torch.equal(found.error, expected.error)
    torch.testing.assert_close(found.loss, expected.loss)


def test_landscape_goes_on_where_it_was(network: Path, pictures: Path, tmp_path: Path) -> None:
    fixed = ("--data", pictures, "--normalize", "cifar10", "--points", 3, "--h5", "--out", tmp_path / "out")
    said = right("analyze", "landscape", network, *fixed)
    assert "accuracy" in said
    files = ("landscape.json", "landscape.png", "landscape-3d.png", "landscape.h5", "landscape.html")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(files)
    found = analysis.Landscape.load(tmp_path / "out" / "landscape.json")
    assert found.loss.shape == (3, 3)
    assert found.computed == 1
    assert right("analyze", "landscape", network, *fixed).splitlines()[0] == said.splitlines()[0]
    assert "another call" in wrong("analyze", "landscape", network, *fixed, "--seed", 1)
    line = right("analyze", "landscape", network, *fixed[:-1], tmp_path / "line", "--dimensions", 1)
    assert "on the line from" in line
    assert not (tmp_path / "line" / "landscape-3d.png").exists()


def test_the_losses_of_a_landscape_that_are_finite(
    network: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = ("--data", pictures, "--normalize", "cifar10", "--points", 3, "--dimensions", 1, "--out", tmp_path / "out")
    right("analyze", "landscape", network, *fixed)
    found = analysis.Landscape.load(tmp_path / "out" / "landscape.json")
    for losses, said in (
        ([2.5, 1.5, math.nan], "on the line from 1.5000 to 2.5, not finite at 1 of 3 points"),
        ([math.nan, math.nan, math.inf], "on the line no loss is finite"),
        ([2.5, 1.5, 2.0], "on the line from 1.5000 to 2.5"),
    ):
        measured = replace(found, loss=torch.tensor(losses))
        monkeypatch.setattr(analysis, "landscape", partial(lambda found, *_, **__: found, measured))
        assert right("analyze", "landscape", network, *fixed).splitlines()[0].endswith(f" % at the weights; {said}")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="the default compiler needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
def test_a_compiled_landscape(network: Path, pictures: Path, tmp_path: Path) -> None:
    fixed = ("--data", pictures, "--normalize", "cifar10", "--points", 2, "--dimensions", 1, "--out", tmp_path / "out")
    before = counters["stats"]["unique_graphs"]
    right("analyze", "landscape", network, *fixed, "--compile")
    assert counters["stats"]["unique_graphs"] == before + 1
    compiled = analysis.Landscape.load(tmp_path / "out" / "landscape.json")
    right("analyze", "landscape", network, *fixed[:-1], tmp_path / "plain")
    torch.testing.assert_close(
        compiled.loss, analysis.Landscape.load(tmp_path / "plain" / "landscape.json").loss, rtol=1e-5, atol=0
    )


def test_weights_drawn_at_random(tmp_path: Path) -> None:
    for i in range(10):
        draw(tmp_path / "pictures" / f"class {i}" / "0.png", i % 3, seed=i)
    fixed = ("analyze", "propagation", "cifar_preact_resnet20", "--untrained", "--data", tmp_path / "pictures")
    lines = [right(*fixed, "--out", tmp_path / str(i), "--seed", seed).splitlines()[0] for i, seed in enumerate((0, 0, 1))]
    assert lines[0] == lines[1] != lines[2]
    said = wrong(*fixed, "--out", tmp_path / "no", "--weights", "anything")
    assert "--untrained cannot be combined with --weights anything" in said
    said = wrong(*fixed, "--out", tmp_path / "no", "--prefix", "encoder_q.")
    assert "--untrained cannot be combined with --prefix encoder_q." in said


def test_nothing_is_written_among_the_images(network: Path, pictures: Path) -> None:
    said = wrong("analyze", "response", network, "--data", pictures, "--out", pictures / "results", "--normalize", "cifar10")
    assert f"{pictures / 'results'} is inside {pictures}, so its files would be read as data: give another folder" in said
    assert not (pictures / "results").exists()


def test_trained_weights_are_not_measured_as_untrained(network: Path, pictures: Path, tmp_path: Path) -> None:
    for name in ("cifar_resnet20.resnetlib_c10", str(network), str(network / "model.safetensors"), "hf-hub:org/name"):
        said = wrong("analyze", "lesion", name, "--untrained", "--data", pictures, "--out", tmp_path / "out")
        assert f"--untrained draws random weights, but {name} names weights: give the name of a network" in said
    assert not (tmp_path / "out").exists()


def test_deepen(network: Path, tmp_path: Path) -> None:
    said = right("analyze", "deepen", network, "--depths", "4,3", "--out", tmp_path / "deeper", "--normalize", "cifar10")
    assert said.startswith("5 blocks became 7; on two images of noise the logits differ by 0.0e+00 at most")
    assert create_model(f"{tmp_path / 'deeper'}/").spec.depths == (4, 3)
    assert "depths must be 2 numbers" in wrong(
        "analyze", "deepen", network, "--depths", "4", "--out", tmp_path / "no", "--normalize", "cifar10"
    )
    assert "--depths must be numbers" in wrong(
        "analyze", "deepen", network, "--depths", "a,b", "--out", tmp_path / "no", "--normalize", "cifar10"
    )


def test_what_is_wrong_is_said(network: Path, pictures: Path, tmp_path: Path) -> None:
    two = fill(tmp_path / "two", 1, classes=("red", "blue"))
    (two / "red").rename(two / "rouge")
    assert "the network has no class rouge: its classes are blue, green, red" in wrong(
        "analyze", "residual-decomposition", network, "--data", two, "--out", tmp_path, "--normalize", "cifar10"
    )
    assert "rounding errors" in wrong(
        "analyze",
        "residual-decomposition",
        network,
        "--data",
        pictures,
        "--out",
        tmp_path,
        "--normalize",
        "cifar10",
        "--precision",
        "bf16",
    )
    assert "cifar_plain110 has no pretrained weights" in wrong(
        "analyze", "residual-decomposition", "cifar_plain110", "--data", pictures, "--out", tmp_path
    )


def test_each_result_is_written_when_it_is_found(
    network: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(analysis, "reorder", stop)
    out = tmp_path / "out"
    result = call("analyze", "lesion", network, "--data", pictures, "--out", out, "--normalize", "cifar10", "--draws", 2)
    assert result.exit_code == 130
    assert {path.name for path in out.iterdir()} == {
        f"{stem}.{end}" for stem in ("lesion", "lesion_many") for end in ("json", "png")
    }
    monkeypatch.undo()
    said = right("analyze", "lesion", network, "--data", pictures, "--out", out, "--normalize", "cifar10", "--draws", 2)
    assert "after k swaps of two blocks, median of 2 draws: 1: " in said
