"""What the README and the manual show runs, and prints what they say."""

import doctest
import re
from pathlib import Path

import pytest

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


def test_every_network_in_the_readme_exists() -> None:
    from resnetlib import list_models

    text = (ROOT / "README.md").read_text()
    named = {word for word in re.findall(r"`([a-z_]*(?:net|plain)[a-z0-9_]*)`", text) if word[-1].isdigit()}
    assert len(named) > 5
    assert named - {"resnetlib_c10"} <= set(list_models())


def test_continuous_integration_runs_the_commands_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    commands = [line for line in text.splitlines() if line.startswith("pip install ") and "&&" in line]
    assert len(commands) == 2
    assert set(commands) <= set((ROOT / ".ci" / "run").read_text().splitlines())
