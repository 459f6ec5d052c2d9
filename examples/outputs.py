"""Write what the examples measure."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnetlib.disk import write_atomically


def output_path(text: str) -> Path:
    """Return a path to write to; its folder is created now, not after hours of measuring."""
    path = Path(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_json(path: Path, content: dict[str, Any], indent: int | None = 1) -> None:
    """Write a JSON file, in one step, so that an interruption leaves the old or the new one."""
    write_atomically(path, (json.dumps(content, indent=indent) + "\n").encode())


def with_ending(path: Path, ending: str) -> Path:
    """Return a path with an ending such as ".json" added, whatever dots it has."""
    return path.with_name(path.name + ending)


def check_settings(path: Path, old: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Exit if what is in a file was measured with other settings."""
    if any(old.get(name) != value for name, value in about.items()):
        raise SystemExit(f"{path} was measured with other settings than {dict(about)}: move it away")
