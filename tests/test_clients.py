"""Other people's tools, as examples/clients.py uses them: each that is installed, on one family."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples"))
clients = pytest.importorskip("clients")

OTHERS = {"onnx-runtime", "openvino", "pt2e-quantization", "compiled", "jit-script"}
"""Tools that have tests of their own, take long, or do not work, as docs/tools.md says."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(clients.CLIENTS.keys() - OTHERS))
def test_the_tool_works(name: str) -> None:
    client = clients.CLIENTS[name]
    if not clients.version_of(client.package):
        pytest.skip(f"{client.package} is not installed")
    family = "C" if "C" in client.families and name != "torch-pruning" else client.families[0]
    try:
        clients.run(name, family)
    except ImportError as error:  # some tools need others
        pytest.skip(str(error))


def test_the_page_lists_every_tool() -> None:
    page = (ROOT / "docs" / "tools.md").read_text()
    listed = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    assert listed[listed.index("tool") + 2 :] == list(clients.CLIENTS)
