"""The command line, as a person calls it."""

import csv
import json
import shlex
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import call, right, wrong
from PIL import Image

from resnetlib import OptimizedNetwork, classify, create_model, evaluate, list_models, optimize, save_model, spec_of
from resnetlib.cli import common
from resnetlib.cli import evaluate as evaluation
from resnetlib.inference import read_batches
from resnetlib.weights import Preprocessing, PretrainedConfig, write_weights

SAMPLES = Path(__file__).parents[2] / "resnetlib" / "data" / "samples"


def test_list() -> None:
    assert [line.split()[0] for line in right("list").splitlines()] == list_models()
    assert right("list", "cifar_resnet2*").split() == ["cifar_resnet20", "resnetlib_c10", "cifar_resnet20b"]
    assert "no network's name matches 'vgg*'" in wrong("list", "vgg*")
    assert "`resnetlib weights list NAME`" in call("list").stderr


def test_a_reader_that_ends_first_is_no_error() -> None:
    command = f"{shlex.quote(sys.executable)} -m resnetlib list | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)  # noqa: S603, S607
    assert (done.returncode, done.stdout) == (141, "")
    assert "rror" not in done.stderr


def test_info() -> None:
    out = right("info", "resnet50")
    for words in ("resnet50: a ResNet", "bottleneck", "(3, 4, 6, 3)", "25,557,032", "4,089.18 M", "11.11 M", "97.7 MiB in float32"):
        assert words in out
    assert "stage 4 3 2048 x 7 x 7" in " ".join(out.split())
    assert "40.55 M" in right("info", "cifar_plain20")
    assert "For one image of 64 x 64" in right("info", "densenet121", "--size", "64")
    assert "nearest: resnet50" in wrong("info", "resnet51")
    assert "at least 29" in wrong("info", "densenet121", "--size", "28")


def test_demo(tmp_path: Path) -> None:
    out = right("demo", "--sheet", tmp_path / "sheet.png")
    lines = out.splitlines()
    assert len(lines) == 11
    assert lines[0].split()[:2] == ["test_0_cat.png", "cat"]
    assert sum("(actually " not in line for line in lines[:10]) >= 8
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (700, 330)
        assert len(sheet.getcolors(10**6) or []) > 1000


def test_predict(tmp_path: Path) -> None:
    image = SAMPLES / "test_1_ship.png"
    out = right("predict", "cifar_resnet20", image, image, "--top", "2", "--sheet", tmp_path / "sheet.png")
    assert out.count(str(image)) == 2
    assert out.splitlines()[1].split()[1] == "ship"
    assert len(out.splitlines()) == 7
    assert (tmp_path / "sheet.png").is_file()


def test_predict_takes_folders_and_patterns_and_writes_tables(tmp_path: Path) -> None:
    folder = tmp_path / "album"
    (folder / "more").mkdir(parents=True)
    for i in range(70):
        Image.open(SAMPLES / f"test_{('1_ship', '3_airplane')[i % 2]}.png").save(folder / f"{i:02}.png")
    Image.open(SAMPLES / "test_4_frog.png").save(folder / "more" / "frog.PNG")
    (folder / "broken.jpg").write_text("broken")
    (folder / "notes.txt").write_text("notes")
    result = call("predict", "cifar_resnet20", folder, "--out", tmp_path / "all.csv", "--top", "2")
    assert result.exit_code == 0, result.output
    assert f"wrote {tmp_path / 'all.csv'}: 71 images" in result.output
    assert f"skipped 1: {folder / 'broken.jpg'} cannot be read as an image" in result.output
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [str(path) for path in sorted(folder.rglob("*.[pP][nN][gG]"))]
    net = create_model("cifar_resnet20.resnetlib_c10")
    for row in rows:
        [ranked] = classify(net, [Image.open(row["image"])], top=2)
        assert [row["class_1"], row["class_2"]] == [guess.name for guess in ranked]
        assert float(row["probability_1"]) == pytest.approx(ranked[0].probability, abs=1e-4)
    right("predict", "cifar_resnet20", f"{folder}/0*.png", "--out", tmp_path / "some.json", "--top", "1")
    listed = json.loads((tmp_path / "some.json").read_text())
    assert [Path(entry["image"]).name for entry in listed] == [f"0{i}.png" for i in range(10)]
    assert listed[0]["predictions"][0].keys() == {"class", "label", "probability"}
    assert "there is no image in" in wrong("predict", "cifar_resnet20", f"{folder}/9*.png")
    assert "--out must end in .csv or .json" in wrong("predict", "cifar_resnet20", folder, "--out", tmp_path / "all.xls")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.png").write_text("broken")
    assert "none of the images can be read" in wrong("predict", "cifar_resnet20", tmp_path / "none")


def test_a_saved_model_is_named_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(create_model("cifar_resnet20.resnetlib_c10"), tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "./mine", tmp_path / "mine"):
        assert "ship" in right("predict", name, SAMPLES / "test_1_ship.png", "--top", "1")


def test_predict_with_a_file(tmp_path: Path) -> None:
    image = SAMPLES / "test_0_cat.png"
    torch.save(create_model("cifar_plain20", num_classes=3).state_dict(), tmp_path / "w.pth")
    assert "is unknown: add --normalize" in wrong("predict", "cifar_plain20", image, "--weights", tmp_path / "w.pth")
    out = right("predict", "cifar_plain20", image, "--weights", tmp_path / "w.pth", "--normalize", "imagenet")
    assert sorted(line.split()[1] for line in out.splitlines()[1:]) == ["0", "1", "2"]


def test_predict_with_a_network_for_gray_images(tmp_path: Path) -> None:
    save_model(create_model("cifar_resnet20", num_classes=3, in_chans=1), tmp_path / "gray")
    out = right("predict", tmp_path / "gray", SAMPLES / "test_0_cat.png", "--normalize", "cifar10")
    assert sorted(line.split()[1] for line in out.splitlines()[1:]) == ["0", "1", "2"]


def test_hidden_files_are_not_predicted(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png", ".thumbnails/a.png", "more/b.png", "more/.c.png"):
        (tmp_path / ".album" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.open(SAMPLES / "test_4_frog.png").save(tmp_path / ".album" / name)
    right("predict", "cifar_resnet20", tmp_path / ".album", "--out", tmp_path / "all.json")
    listed = json.loads((tmp_path / "all.json").read_text())
    assert [entry["image"] for entry in listed] == [str(tmp_path / ".album" / name) for name in ("a.png", "more/b.png")]


def test_predict_says_what_is_wrong(tmp_path: Path) -> None:
    image = SAMPLES / "test_0_cat.png"
    (tmp_path / "no.png").write_text("no image")
    assert "no.png cannot be read as an image" in wrong("predict", "cifar_resnet20", tmp_path / "no.png")
    assert "Error: there is no file missing.png\n" in wrong("predict", "cifar_resnet20", "missing.png")
    assert "plain18 has no pretrained weights: give a file as weights" in wrong("predict", "plain18", image)
    assert "there is no file other" in wrong("predict", "cifar_resnet20", image, "--weights", "other")
    assert "leave out --normalize" in wrong("predict", "cifar_resnet20", image, "--normalize", "imagenet")
    assert call("predict", "cifar_resnet20").exit_code == 2


def test_an_image_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    Image.new("1", (40_000, 10_000)).save(tmp_path / "bomb.png")
    assert "bomb.png cannot be read as an image" in wrong("predict", "cifar_resnet20", tmp_path / "bomb.png")


def test_weights_without_a_classifier_cannot_predict(tmp_path: Path) -> None:
    torch.save(create_model("cifar_plain20", num_classes=0).state_dict(), tmp_path / "w.pth")
    image = SAMPLES / "test_0_cat.png"
    assert "has no classifier" in wrong(
        "predict", "cifar_plain20", image, "--weights", tmp_path / "w.pth", "--normalize", "cifar10"
    )


def test_the_device_can_be_chosen() -> None:
    assert "cat" in right("predict", "cifar_resnet20", SAMPLES / "test_0_cat.png", "--device", "cpu")
    for device in ("abacus", "meta", "cuda:99"):
        assert f"device '{device}' cannot be used" in wrong(
            "predict", "cifar_resnet20", SAMPLES / "test_0_cat.png", "--device", device
        )


def write_samples_as_cifar10(folder: Path) -> Path:
    folder.mkdir()
    names = create_model("cifar_resnet20", weights="resnetlib_c10").classes
    assert names is not None
    records = b""
    for sample in sorted(SAMPLES.glob("*.png")):
        pixels = np.asarray(Image.open(sample)).transpose(2, 0, 1)
        records += struct.pack("B", names.index(sample.stem.split("_")[-1])) + pixels.tobytes()
    (folder / "test_batch.bin").write_bytes(records)
    return folder


@pytest.mark.parametrize("count", [64, 65])
def test_many_images_are_predicted_by_an_optimized_network(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(count):
        Image.effect_noise((32, 32), i + 1).save(tmp_path / f"{i:02}.png")
    optimized: list[object] = []
    monkeypatch.setattr("resnetlib.deploy.fuse.optimize", lambda net: optimized.append(net) or optimize(net))
    right("predict", "cifar_resnet20", tmp_path, "--out", tmp_path / "out.json", "--top", 1)
    assert len(optimized) == (count > 64)
    guesses = json.loads((tmp_path / "out.json").read_text())
    net = create_model("cifar_resnet20.resnetlib_c10")
    expected = classify(net, sorted(tmp_path.glob("*.png")), top=1)
    assert [each["predictions"][0]["label"] for each in guesses] == [found.label for [found] in expected]
    for each, [found] in zip(guesses, expected, strict=True):
        assert each["predictions"][0]["probability"] == pytest.approx(found.probability, abs=1e-5)


def test_evaluate_on_class_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = create_model("cifar_resnet20", weights="resnetlib_c10").classes
    assert names is not None
    for name in names:
        (tmp_path / name).mkdir()
        source = next(iter(sorted(SAMPLES.glob(f"*_{name}.png"))), SAMPLES / "test_0_cat.png")
        Image.open(source).resize((48, 64)).save(tmp_path / name / "image.png")
    measured: list[object] = []
    monkeypatch.setattr(evaluation, "measure", lambda net, *args, **more: measured.append(net) or evaluate(net, *args, **more))
    out = right("evaluate", "cifar_resnet20", "--data", tmp_path)
    assert isinstance(measured[0], OptimizedNetwork)  # which is faster
    assert out.splitlines()[-1].startswith("top-1 ")
    assert out.rstrip().endswith("on 10 images")
    right("evaluate", "cifar_resnet20", "--data", tmp_path, "--confusion", tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as picture:
        assert len(picture.convert("RGB").getcolors(10**6) or []) > 50
    (tmp_path / "an eleventh class").mkdir()
    Image.open(SAMPLES / "test_0_cat.png").save(tmp_path / "an eleventh class" / "image.png")
    said = wrong("evaluate", "cifar_resnet20", "--data", tmp_path)
    assert "the network has no class an eleventh class: its classes are airplane, automobile, bird" in said


def test_evaluate_matches_folders_by_their_names(tmp_path: Path) -> None:
    """The accuracy is that of the same images in folders of the network's own names."""

    def make(root: Path, names: dict[str, str]) -> Path:
        for name, folder in names.items():
            for i, sample in enumerate(sorted(SAMPLES.glob(f"*_{name}.png"))):
                (root / folder).mkdir(parents=True, exist_ok=True)
                Image.open(sample).save(root / folder / f"{i}.png")
        return root

    def measure(root: Path) -> list[str]:
        done = call("evaluate", "cifar_resnet20", "--data", root)
        assert done.exit_code == 0, done.output
        return [line for line in done.output.splitlines() if line.startswith((str(tmp_path), "top-1"))]

    present = sorted({sample.stem.split("_")[-1] for sample in SAMPLES.glob("*.png")})
    some = measure(make(tmp_path / "some", {name: name for name in present}))
    other = {name: name.upper() if i % 2 else f"{name[:3]}-{name[3:]}_" for i, name in enumerate(present)}
    assert len(present) < 10  # the package has samples of some classes
    assert some[0].endswith(f"has images of {len(present)} of the network's 10 classes")
    assert measure(make(tmp_path / "other", other))[-1] == some[-1]
    make(tmp_path / "split" / "train", {present[0]: present[0]})
    make(tmp_path / "split" / "Valid", other)
    lines = measure(tmp_path / "split")
    assert lines[0].endswith(f"has the folders train, Valid: taking {tmp_path / 'split' / 'Valid'}")
    assert lines[-1] == some[-1]
    for workers in (0, 3):
        assert right("evaluate", "cifar_resnet20", "--data", tmp_path / "some", "--workers", workers).splitlines()[-1] == some[-1]
    make(tmp_path / "renamed", {name: "car" if name == present[0] else name for name in present})
    said = wrong("evaluate", "cifar_resnet20", "--data", tmp_path / "renamed")
    assert "the network has no class car: its classes are airplane, automobile, bird" in said


def test_evaluate_without_names_of_classes(tmp_path: Path) -> None:
    net = create_model("cifar_plain20", num_classes=11)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    for i in range(11):
        (tmp_path / "data" / str(i)).mkdir(parents=True)
        Image.effect_noise((32, 32), 10 * i + 1).save(tmp_path / "data" / str(i) / "a.png")
    arguments = ("cifar_plain20", "--weights", tmp_path / "w.pth", "--normalize", "cifar10", "--data")
    loaded = common.load("cifar_plain20", str(tmp_path / "w.pth"), "cifar10", "cpu")[0]
    count, batches = read_batches(loaded, tmp_path / "data", 11)
    [(_, labels)] = batches
    assert (count, labels.tolist()) == (11, [0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9])  # the folders' numbers, not their places
    right("evaluate", *arguments, tmp_path / "data")
    (tmp_path / "data" / "3").rename(tmp_path / "data" / "three")
    right("evaluate", *arguments, tmp_path / "data")
    (tmp_path / "data" / "4").rename(tmp_path / "four")
    assert "has 10 classes, but the network has 11 logits" in wrong("evaluate", *arguments, tmp_path / "data")


def test_predict_reads_in_workers_and_upright(tmp_path: Path) -> None:
    image = Image.open(SAMPLES / "test_0_cat.png").transpose(Image.Transpose.ROTATE_90)
    image.getexif()[0x0112] = 6
    image.save(tmp_path / "lying.png", exif=image.getexif())
    for name in ("a.png", "b.png"):
        Image.open(SAMPLES / "test_0_cat.png").save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"broken")
    said = [call("predict", "cifar_resnet20", tmp_path, "--top", "1", "--workers", workers).output for workers in (0, 1, 4)]
    assert said[0] == said[1] == said[2]
    guesses = [line for line in said[0].splitlines() if line.startswith("  ")]
    assert len(guesses) == 3
    assert len(set(guesses)) == 1
    assert "skipped 1" in said[0]
    lying = right("predict", "cifar_resnet20", tmp_path / "lying.png", "--top", "1", "--no-exif")
    assert lying.splitlines()[1] != guesses[0]


def test_evaluate_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no folders of images: it must look like" in wrong("evaluate", "cifar_resnet20", "--data", tmp_path / "empty")
    assert "there is no folder" in wrong("evaluate", "cifar_resnet20", "--data", tmp_path / "nowhere")
    torch.save(create_model("cifar_plain20", num_classes=100).state_dict(), tmp_path / "w.pth")
    folder = write_samples_as_cifar10(tmp_path / "cifar")
    assert "is damaged or not the published file" in wrong("evaluate", "cifar_resnet20", "--data", folder)


@pytest.mark.slow
def test_a_pretrained_config_with_its_own_preprocessing_is_used(tmp_path: Path) -> None:
    net = create_model("cifar_plain20", num_classes=2)
    cfg = PretrainedConfig(
        name="cifar_plain20",
        tag="t",
        spec=spec_of("cifar_plain20"),
        classes=("left", "right"),
        preprocess=Preprocessing.named("imagenet", resize=40, size=32),
        top1=0.0,
        evaluated_on="",
        recipe="",
        license="",
        origin="",
    )
    write_weights(net, tmp_path / "w.safetensors", cfg)
    out = right("predict", "cifar_plain20", SAMPLES / "test_0_cat.png", "--weights", tmp_path / "w.safetensors")
    assert sorted(line.split()[1] for line in out.splitlines()[1:]) == ["left", "right"]


def test_help_and_version() -> None:
    assert "evaluate" in right("-h")
    assert "--top" in right("predict", "--help")
    assert right("--version").startswith("resnetlib")


def test_a_file_of_two_networks(tmp_path: Path) -> None:
    state = create_model("cifar_plain20").state_dict()
    both = {f"{prefix}.{key}": tensor for prefix in ("student", "teacher") for key, tensor in state.items()}
    torch.save(both, tmp_path / "two.pth")
    arguments = ("predict", "cifar_plain20", SAMPLES, "--weights", tmp_path / "two.pth", "--normalize", "cifar10", "--top", "1")
    assert "it holds 2 networks: choose one, prefix='student.' or 'teacher.'" in wrong(*arguments)
    assert right(*arguments, "--prefix", "teacher").count("%") == 10
