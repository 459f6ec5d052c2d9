"""Commands given odd files, names and paths: nothing hangs, is lost, or writes to the terminal what it should not."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import call, commands_of, right, wrong
from PIL import Image

from resnetlib import create_model
from resnetlib.cli import evaluate as evaluation
from resnetlib.cli import main
from resnetlib.cli import options as paths
from resnetlib.cli import predict as prediction

SAMPLE = Path(__file__).parents[2] / "resnetlib" / "data" / "samples" / "test_0_cat.png"
NAME = "cifar_resnet20"
NO_TEXT = os.fsdecode(b"\xff\xfe.png")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("a.png", NO_TEXT, "b\x1b[2J\r.png"):
        (folder / name).write_bytes(SAMPLE.read_bytes())
    (folder / "c\x1b]0;x\x07.png").write_bytes(b"broken")
    return folder


@pytest.fixture
def hostile_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    names = tuple(f"{i}\x1b[2J\r\n\ud800" for i in range(10))
    net.classes = names
    monkeypatch.setattr(import_module("resnetlib.cli.common"), "load", lambda *_, **__: (net, net.preprocess))


@pytest.mark.usefixtures("hostile_classes")
def test_names_of_files_and_classes_cannot_write_to_a_terminal(album: Path, tmp_path: Path) -> None:
    out = call("predict", NAME, album, "--sheet", tmp_path / "sh\x1b\udcff.png").output
    assert all(line.isprintable() for line in out.splitlines())
    for escaped in ("\\udcff\\udcfe.png", "b\\x1b[2J\\r.png", "c\\x1b]0;x\\x07.png", "\\x1b[2J\\r\\n\\ud800", "sh\\x1b\\udcff.png"):
        assert escaped in out


@pytest.mark.usefixtures("hostile_classes")
def test_tables_hold_every_name_and_are_valid(album: Path, tmp_path: Path) -> None:
    right("predict", NAME, album, "--out", tmp_path / "t.json", "--top", "1")
    right("predict", NAME, album, "--out", tmp_path / "t.csv", "--top", "1")
    content = (tmp_path / "t.json").read_bytes()
    assert b"\\ud" not in content.replace(b"\\\\ud", b"")
    listed = json.loads(content)
    names = ["a.png", "b\x1b[2J\r.png", "\\udcff\\udcfe.png"]
    assert [os.path.basename(entry["image"]) for entry in listed] == names  # noqa: PTH119
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [row[0].rpartition("/")[2] for row in rows] == [name.replace("\r", "\\r") for name in names]
    for entry, row in zip(listed, rows, strict=True):
        assert entry["predictions"][0]["class"] == f"{entry['predictions'][0]['label']}\x1b[2J\r\n\\ud800"
        assert row[1] == entry["predictions"][0]["class"].replace("\r", "\\r")


def test_a_confusion_matrix_of_any_classes_is_drawn(tmp_path: Path) -> None:
    names = ["$x^{$", "a\x1b\r\n", "\ud800", "n" * 100_000, "$\\frac$"]
    evaluation.draw_confusion(torch.eye(5, dtype=torch.int64), names, tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as picture:
        assert max(picture.size) < 2000


def options_of(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Give every command's parameters that are paths."""
    for name, each in commands_of(command).items():
        yield from options_of(each, (*path, name))
    for parameter in command.params:
        if type(parameter.type).__module__ == "resnetlib.cli.options" or "Path" in type(parameter.type).__name__:
            yield path, command, parameter


ALL = list(options_of(main))


def test_every_command_with_files_is_looked_at() -> None:
    assert {"predict", "evaluate", "verify", "bench", "export", "train", "finetune", "analyze", "weights", "demo"} == {
        path[0] for path, _, _ in ALL
    }


@pytest.mark.parametrize(("path", "command", "parameter"), ALL, ids=lambda value: getattr(value, "name", None))
def test_an_empty_path_is_not_the_current_folder(
    path: tuple[str, ...], command: Any, parameter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments: list[str] = []
    for each in command.params:
        if each is parameter or each.required:
            value = "" if each is parameter else "timm" if each.opts[0] == "--to" else "x"
            arguments += [each.opts[0], value] if each.opts[0].startswith("-") else [value]
    result = call(*path, *arguments)
    assert result.exit_code == 2, result.output
    assert "the path is empty" in result.output
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_noticed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("resnetlib.cli.common"), "load", None)
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "file").touch()
    for out, why in (
        (tmp_path / "none" / "t.csv", "No such file"),
        (tmp_path / "file" / "t.csv", "Not a directory"),
        (tmp_path / f"{'n' * 250}.csv", "name too long"),
        (tmp_path / f"{'n' * 245}.csv", "name too long"),
        (tmp_path, "is a directory"),
        (tmp_path / "pipe.csv", "is a pipe"),
        (Path("/proc/t.csv"), "cannot be written"),
        (Path(os.devnull), "is a pipe, a socket or a device"),
    ):
        for option in ("--out", "--sheet"):
            result = call("predict", NAME, SAMPLE, option, out)
            assert result.exit_code == 2, result.output
            assert why in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pipe.csv"]
    for command, option in (("evaluate", "--confusion"), ("demo", "--sheet")):
        arguments = [command, *([NAME, "--data", tmp_path] if command == "evaluate" else []), option, tmp_path / "none" / "x.png"]
        assert "No such file" in call(*arguments).output


def test_the_longest_name_that_is_accepted_can_be_written(tmp_path: Path) -> None:
    out = tmp_path / f"{'n' * 241}.csv"
    paths.NEW_FILE.convert(str(out), None, None)
    right("predict", NAME, SAMPLE, "--out", out)
    assert out.is_file()


def test_a_sheet_does_not_replace_an_image(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(SAMPLE.read_bytes())
    (tmp_path / "link.png").symlink_to(image)
    for given in (image, tmp_path, tmp_path / "link.png"):
        assert "is one of the images, and would replace it" in wrong("predict", NAME, given, "--sheet", image)
    assert image.read_bytes() == SAMPLE.read_bytes()


def test_outputs_replace_neither_data_nor_each_other(tmp_path: Path) -> None:
    for i in range(10):
        (tmp_path / "data" / str(i)).mkdir(parents=True)
        (tmp_path / "data" / str(i) / "a.png").write_bytes(SAMPLE.read_bytes())
    image = tmp_path / "data" / "0" / "a.png"
    assert "is a file of the data" in wrong("evaluate", NAME, "--data", tmp_path / "data", "--confusion", image)
    assert image.read_bytes() == SAMPLE.read_bytes()
    both = tmp_path / "both.json"
    assert "are the same file" in wrong("predict", NAME, SAMPLE, "--out", both, "--sheet", both)
    assert not both.exists()


def test_ctrl_c_is_never_an_empty_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(pattern: str) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("resnetlib.cli.list"), "list_models", interrupt)
    result = call("list")
    assert (result.exit_code, result.output.strip()) == (130, "interrupted")


def test_a_sheet_is_made_of_thumbnails(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.effect_noise((600, 300), 50).save(album / "a.png")
    kept: list[tuple[int, int]] = []
    draw = prediction.draw_sheet

    def record(images: Any, *rest: Any) -> None:
        kept.extend(image.size for image in images)
        draw(images, *rest)

    monkeypatch.setattr(prediction, "draw_sheet", record)
    right("predict", NAME, album, "--sheet", tmp_path / "sheet.png")
    assert kept == [(128, 64), (128, 128), (128, 128)]


def test_large_images_are_not_held_together(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = import_module("resnetlib.cli.predict")
    monkeypatch.setattr(module, "_PIXELS", 1000)
    images = [(Path(str(side)), Image.new("L", (side, side))) for side in (10, 10, 40, 5, 30, 10, 10)]
    assert [[image.width for _, image in chunk] for chunk in module._chunks(images)] == [[10, 10, 40], [5, 30, 10], [10]]
    assert max(len(chunk) for chunk in module._chunks((Path(), Image.new("L", (1, 1))) for _ in range(200))) == 64


def test_patterns_find_what_a_shell_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import glob

    monkeypatch.chdir(tmp_path)
    for name in ("a/b/1.png", "a/2.png", "3.png", "a/.hidden/4.png", ".5.png", "c/b/6.jpg", "a/b/c/7.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    module: Any = import_module("resnetlib.cli.predict")
    for pattern in (
        "**/*.png",
        "a/**",
        "**",
        "*/b/**/*.png",
        "**/b/*",
        "a/**/.hidden/*.png",
        "*/*.png",
        "[ac]/**/b/*",
        f"{tmp_path}/**/*.png",
    ):
        expected = sorted(Path(path) for path in glob.glob(pattern, recursive=True) if not Path(path).is_dir())  # noqa: PTH207
        assert expected
        assert [path for path, _ in module.find_paths([pattern])] == expected


COULD_HANG = """
import sys
from click.testing import CliRunner
from resnetlib.cli import main
for given in sys.argv[1:]:
    result = CliRunner().invoke(main, ["predict", "cifar_resnet20.resnetlib_c10", given, "--top", "1"])
    print(result.exit_code, repr(result.output))
"""


def test_pipes_devices_and_links_in_circles_do_not_hang(album: Path, tmp_path: Path) -> None:
    os.mkfifo(album / "pipe.png")
    given = [str(album / "pipe.png"), "/dev/zero", f"{album}/*", str(album)]
    said = ["1 .*expected a regular file", "1 .*expected a regular file", "0 .*skipped 2", "0 .*skipped 1"]
    circle = tmp_path / "circle"
    circle.mkdir()
    (circle / "a.png").write_bytes(SAMPLE.read_bytes())
    for name in ("x", "y", "z"):
        (circle / name).symlink_to(circle)
    given += [f"{circle}/**/*.png", f"{circle}/**", str(circle)]
    said += [rf"0 '{circle}/a\.png\\n  [^/]*'"] * 3
    command = [sys.executable, "-c", COULD_HANG, *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    for line, pattern in zip(done.stdout.splitlines(), said, strict=True):
        assert re.fullmatch(f"{pattern}.*", line), line


@pytest.mark.parametrize("size", [(1, 1), (1, 60_000), (60_000, 1), (2, 200)])
def test_images_of_any_shape_are_classified_or_refused(size: tuple[int, int], tmp_path: Path) -> None:
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / "x.png")
    if max(size) > 1000:
        assert "one side is more than 100 times the other" in wrong("predict", NAME, tmp_path / "x.png")
    else:
        right("predict", NAME, tmp_path / "x.png", "--sheet", tmp_path / "sheet.png")


def test_patterns_homes_and_batches_that_cannot_be_are_said(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    data = ("--data", tmp_path)
    assert "nosuchuser" in wrong("evaluate", "~nosuchuser/x", *data)
    assert "org/name" in wrong("evaluate", "hf-hub:org/n--x", *data)
    assert tmp_path.name in wrong("predict", NAME, f"{tmp_path}/d/**/a**")
    result = call("evaluate", NAME, *data, "--batch", "9" * 30)
    assert result.exit_code == 2
    assert "2147483647" in result.output
