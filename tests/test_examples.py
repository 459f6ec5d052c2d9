"""The examples run, at toy size."""

import subprocess
import sys
from pathlib import Path

import pytest

from resnetlib.weights import read_weights

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.name)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 100
