"""Other people's tools, as examples/clients.py uses them: each that is installed, on one family."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples"))
clients = pytest.importorskip("clients")

OTHERS = {"onnx-runtime", "openvino", "pt2e-quantization", "compiled", "jit-script"}
"""Tools that have tests of their own, take long, or do not work, as docs/tools.md says."""

NEEDS = {"transformers-trainer": ("accelerate",)}
"""Packages that a tool needs besides its own."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(clients.CLIENTS.keys() - OTHERS))
def test_the_tool_works(name: str) -> None:
    client = clients.CLIENTS[name]
    for package in (client.package, *NEEDS.get(name, ())):
        if not clients.version_of(package):
            pytest.skip(f"{package} is not installed")
    clients.run(name, "C" if "C" in client.families and name != "torch-pruning" else client.families[0])


def test_the_page_lists_every_tool() -> None:
    page = (ROOT / "docs" / "tools.md").read_text()
    listed = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    assert listed[listed.index("tool") + 2 :] == list(clients.CLIENTS)
