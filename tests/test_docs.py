"""What the README and the manual show runs, and prints what they say."""

import doctest
import json
import re
from pathlib import Path

import pytest
import timm
import torch
import torchvision

import resnetlib

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "analysis").glob("*.md"), *(ROOT / "docs" / "lecture").glob("*.md")]),
]
BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_code_on_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for kind, code in BLOCK.findall(page.read_text()):
        if kind == "python":
            exec(compile(code, page.name, "exec"), names)  # noqa: S102
        else:
            test = doctest.DocTestParser().get_doctest(code, names, page.name, str(page), 0)
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            assert runner.run(test, clear_globs=False).failed == 0
            names = test.globs


def test_the_pages_show_code() -> None:
    assert sum(len(BLOCK.findall(page.read_text())) for page in PAGES) > 15


def test_the_drawing_of_a_block_has_a_name_and_its_equation() -> None:
    drawing = (ROOT / "docs" / "block.svg").read_text()
    named = re.search(r'aria-labelledby="([^"]+)"', drawing)
    assert named is not None
    assert all(f'id="{part}"' in drawing for part in named[1].split())
    assert {"x", "pre", "h", "branch F", "downsample", "join", "out", "y"} <= set(re.findall(r"<text[^>]*>([^<]+)</text>", drawing))


def test_every_network_in_the_readme_exists() -> None:
    from resnetlib import list_models

    text = (ROOT / "README.md").read_text()
    named = {word for word in re.findall(r"`([a-z_]*(?:net|plain)[a-z0-9_]*)`", text) if word[-1].isdigit()}
    assert len(named) > 5
    assert named - {"resnetlib_c10"} <= set(list_models())


def has_hookable_modules(net: torch.nn.Module) -> bool:
    for module in [*net.modules()][1:]:
        module.register_full_backward_hook(lambda module, grad_in, grad_out: None)
    try:
        net(torch.randn(2, 3, 64, 64, requires_grad=True)).sum().backward()
    except RuntimeError:
        return False
    return True


def test_the_table_beside_timm_and_torchvision_says_what_is_so() -> None:
    assert has_hookable_modules(resnetlib.resnet18())
    assert not has_hookable_modules(timm.create_model("resnet18"))
    assert not has_hookable_modules(torchvision.models.resnet18())
    theirs = [name for name in timm.list_models() if "resnetlib" not in timm.models.model_entrypoint(name).__module__]
    assert not [name for name in [*theirs, *torchvision.models.list_models()] if "plain" in name or "cifar" in name]
    for option in ({"output_stride": 8}, {"drop_path_rate": 0.1}):
        resnetlib.densenet121(**option)
        with pytest.raises(TypeError):
            timm.create_model("densenet121", **option)
    resnetlib.resnet18(output_stride=8)
    timm.create_model("resnet18", output_stride=8)
    with pytest.raises(NotImplementedError):
        torchvision.models.resnet18(replace_stride_with_dilation=[False, True, True])
    with pytest.raises(ValueError, match="num_classes"):
        torchvision.models.resnet18(weights="DEFAULT", num_classes=5)
    with pytest.raises(TypeError):
        torchvision.models.resnet18(in_chans=1)
    rows = [
        line.split(" | ")
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith("| seconds to create resnet50")
    ]
    times = json.loads((ROOT / "docs" / "results" / "loading.json").read_text())["results"]["resnet50"]
    seconds = {name: f"{each['warm']:.2f}" for name, each in times.items()}
    assert [row[1:] for row in rows] == [
        [seconds["resnetlib"], seconds["timm"], "- |"],
        [seconds["resnetlib, .pth"], "-", f"{seconds['torchvision, .pth']} |"],
    ]


def test_continuous_integration_runs_the_commands_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    commands = [line for line in text.splitlines() if line.startswith("pip install ") and "&&" in line]
    assert len(commands) == 2
    assert set(commands) <= {line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()}
