"""`resnetlib export`."""

from importlib.resources import files
from pathlib import Path

from commands import call, right, wrong

from resnetlib import classify, create_model
from resnetlib.deploy import OnnxModel

SAMPLES = Path(str(files("resnetlib.data"))) / "samples"
NAME = "cifar_resnet20.resnetlib_c10"


def test_int8_with_a_folder_of_images(tmp_path: Path) -> None:
    for image in SAMPLES.glob("*.png"):
        folder = tmp_path / "photos" / "train" / image.stem.split("_")[-1]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / image.name).write_bytes(image.read_bytes())
    file = tmp_path / "net.onnx"
    out = right("export", NAME, "--out", file, "--int8", "--data", tmp_path / "photos", "--size", 40)
    assert "int8, input (N, 3, 40, 40), opset " in out
    assert "on 10 images: the images for calibration" in out
    assert out.splitlines()[-1] == f"classify images with: resnetlib predict {file} IMAGE"
    model = OnnxModel(file)
    assert (model.metadata["weights"], model.metadata["int8"], model.preprocessing.size) == (NAME, True, 40)  # type: ignore


def test_fp32(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    assert "fp32, input (N, 3, H, W)" in right("export", NAME, "--out", file, "--size", "dynamic")
    sample = str(next(SAMPLES.glob("*cat.png")))
    [ours], [theirs] = classify(create_model(NAME), sample, top=1), OnnxModel(file).classify(sample, top=1)
    assert (ours.name, f"{ours.probability:.4f}") == (theirs.name, f"{theirs.probability:.4f}")  # type: ignore[union-attr]


def test_errors(tmp_path: Path) -> None:
    assert "--int8 needs images to calibrate with: add --data" in wrong("export", NAME, "--out", tmp_path / "a.onnx", "--int8")
    assert "must end in .onnx" in wrong("export", NAME, "--out", tmp_path / "a.pt")
    assert "from 1 to 4,096" in wrong("export", NAME, "--out", tmp_path / "a.onnx", "--size", "0")
    result = call("export", NAME, "--out", tmp_path / "a.onnx", "--size", "large")
    assert result.exit_code == 2
    assert "'large' is neither a number of pixels nor dynamic" in result.output
    assert not [*tmp_path.iterdir()]
