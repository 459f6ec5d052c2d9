"""Command lines that nobody should type: a line says so, without a traceback."""

import sys
from pathlib import Path

import pytest
import tiny
from commands import call, commands_of, right
from pictures import COLORS, fill

from resnetlib import ResNetSpec, save_model
from resnetlib.cli import main

NET = "cifar_resnet20"
COMMANDS = commands_of(main)
ANALYSES = sorted(commands_of(COMMANDS["analyze"]))


def refused(*args: str | Path) -> str:
    result = call(*args)
    assert result.exit_code != 0, (args, result.output)
    assert result.exception is None or isinstance(result.exception, SystemExit), (args, result.exception)
    said = result.output[result.output.index("Error: ") :]
    assert said.isprintable() or set(said) - {"\n"} == {c for c in said if c.isprintable()}
    assert said.count("\n") <= 3
    assert len(said) < 4_100
    return said


NAMES = [
    "",
    "resnet9999",
    "\x1b[2J\r",
    "a" * 5_000,
    "../..",
    ".",
    "/dev/null",
    "\u202ename",
    "resnet18.",
    "hf-hub:",
    "-1",
    "net\nname",
]


@pytest.mark.parametrize(
    "command", [("info",), ("verify", "--data", "."), ("analyze", "residual-decomposition", "--data", ".", "--out", "o")]
)
@pytest.mark.parametrize("name", NAMES)
def test_names(command: tuple[str, ...], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused(*command, "--", name)


@pytest.mark.parametrize("pattern", [name for name in NAMES if name != ""] + ["[", "no*such"])
def test_patterns(pattern: str) -> None:
    refused("list", "--", pattern)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("pictures"), 2)


ODD = {
    "--size": ("0", "-1", "x", "1.5", "", "1" * 20),
    "--images": ("-1", "x", ""),
    "--batch": ("0", "-1", "x", ""),
    "--seed": ("-1", "x", "9" * 30),
    "--device": ("tpu", "cuda:99", "", "\x1b[2J", "meta", "cpu:x"),
    "--weights": ("no such", "", "\x1b", ".", "/dev/zero"),
    "--normalize": ("x", ""),
    "--split": ("x", ""),
    "--precision": ("fp8", ""),
    "--points": ("0", "-1", "x", "1000000", "9" * 30),
    "--span": ("0", "-1", "nan", "inf", "x"),
    "--dimensions": ("0", "3"),
    "--batch-norm": ("x",),
    "--draws": ("-1", "x", "9" * 20),
    "--depths": ("", "a", "1,1,1", "-1,-1,-1", "9999999,3,3", "3;3;3", "1e9,3,3"),
    "--out": ("/dev/null", "/dev/null/x"),
    "--data": ("", "no such", "/dev/null", "\x1b[2J"),
}


def options() -> list[tuple[str, ...]]:
    own = [(("info",), COMMANDS["info"]), (("verify",), COMMANDS["verify"])]
    own += [(("analyze", name), commands_of(COMMANDS["analyze"])[name]) for name in ANALYSES]
    representative = ("verify", "residual-decomposition", "landscape", "deepen")  # the other analyses share their options
    common = {"--device", "--weights", "--normalize", "--split", "--precision", "--images", "--batch", "--seed", "--out", "--data"}
    return [
        (*path, option)
        for path, command in own
        for option in ODD
        if any(option in parameter.opts for parameter in command.params) and (option not in common or path[-1] in representative)
    ]


SPEC = ResNetSpec(block="basic", depths=(3, 2), widths=(4, 8), shortcut="A", stem="cifar", order="pre")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    save_model(tiny.network(SPEC), folder, classes=list(COLORS))
    return folder


def given_to(path: list[str], network: Path, pictures: Path, out: Path) -> dict[str, str]:
    """Return options that are right."""
    data, normalized, written = {"--data": str(pictures)}, {"--normalize": "cifar10"}, {"--out": str(out)}
    if path[-1] == "info":
        return {}
    if path[-1] == "verify":
        return data | normalized
    own = {"deepen": {"--depths": "4,3"}, "landscape": {"--points": "2"}}.get(path[-1], {})
    return normalized | written | own | ({} if path[-1] == "deepen" else data)


@pytest.mark.parametrize("place", options(), ids=" ".join)
def test_options(place: tuple[str, ...], network: Path, pictures: Path, tmp_path: Path) -> None:
    *path, option = place
    for value in ODD[option]:
        given = given_to(path, network, pictures, tmp_path) | {option: value}
        refused(*path, "cifar_resnet20" if path[-1] == "info" else network, *(part for pair in given.items() for part in pair))


@pytest.mark.parametrize("command", ["residual-decomposition", "landscape", "deepen"])
def test_without_the_odd_option_it_works(command: str, network: Path, pictures: Path, tmp_path: Path) -> None:
    given = given_to([command], network, pictures, tmp_path)
    right("analyze", command, network, *(part for pair in given.items() for part in pair))


def test_a_folder_of_control_characters_does_not_reach_the_terminal(network: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "\x1b[2J"
    for command in ("residual-decomposition", "deepen", "landscape"):
        given = given_to([command], network, pictures, out)
        said = right("analyze", command, network, *(part for pair in given.items() for part in pair))
        assert "\x1b" not in said
        assert "\\x1b" in said


ODD_NAME = "a\x1b[31m\u202ered"
STRANGE = {
    "verify": ("weights", "verify", f"{ODD_NAME}.pth"),
    "verify in color": ("weights", "verify", f"./{ODD_NAME}.pth"),
    "fetch": ("weights", "fetch", f"hf-hub:{ODD_NAME}"),
    "list": ("weights", "list", ODD_NAME),
    "show": ("weights", "show", ODD_NAME),
    "convert": ("weights", "convert", f"{ODD_NAME}.pth", f"{ODD_NAME}.safetensors", "--to", "timm"),
    "command": (ODD_NAME,),
    "option": ("info", f"--{ODD_NAME}"),
    "first option": (f"--{ODD_NAME}",),
    "choice": ("verify", NET, "--data", ".", "--normalize", ODD_NAME),
    "number": ("info", NET, "--size", ODD_NAME),
    "file": ("predict", NET, "a.png", "--out", f"{ODD_NAME}/a.csv"),
    "argument": ("info", NET, ODD_NAME),
    "folder": ("train", NET, "--data", ODD_NAME, "--out", ODD_NAME),
    "axis": ("train", "--grid", f"models={ODD_NAME}", f"{ODD_NAME}=1", "--data", "data", "--out", "out"),
}


@pytest.mark.parametrize("args", STRANGE.values(), ids=STRANGE)
def test_control_characters_are_escaped(args: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = call(*args).output
    assert all(line.isprintable() for line in said.split("\n")), said
    assert "\\x1b[31m\\u202ered" in said


def test_control_characters_are_escaped_in_what_is_written(
    pictures: Path, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for part in ("train", "val"):
        (tmp_path / "data" / part).symlink_to(pictures)
    fast = ("--set", "epochs=1", "--device", "cpu", "--workers", "0")
    tuned = ("finetune", NET, "--data", "data", "--out", ODD_NAME, *fast)
    trained = ("train", NET, "--data", "data", "--out", f"{ODD_NAME} 2", *fast)
    converted = ("weights", "convert", network / "model.safetensors", f"{ODD_NAME}.safetensors", "--to", "resnetlib")
    monkeypatch.setenv("RESNETLIB_CACHE", ODD_NAME)
    for args in (tuned, trained, converted, ("weights", "cache"), ("weights", "verify", f"./{ODD_NAME}")):
        said = right(*args)
        assert all(line.isprintable() for line in said.split("\n")), said
        assert "\\x1b[31m\\u202ered" in said


def test_a_package_that_is_not_installed_is_named(
    network: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    given = given_to(["landscape"], network, pictures, tmp_path)
    said = refused("analyze", "landscape", network, *(part for pair in given.items() for part in pair), "--h5")
    assert "h5py" in said
    assert "resnetlib[landscape]" in said
    assert not (tmp_path / "landscape.json").exists()  # before hours were spent
