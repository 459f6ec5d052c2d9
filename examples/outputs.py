"""Write what the examples measure."""

import json
from pathlib import Path
from typing import Any

from resnetlib.disk import write_atomically


def output_path(text: str) -> Path:
    """Return a path to write to; its folder is created now, not after hours of measuring."""
    path = Path(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_json(path: Path, content: dict[str, Any], indent: int | None = 1) -> None:
    """Write a JSON file, which is replaced at once, so that an interruption leaves the old or the new one."""
    write_atomically(path, (json.dumps(content, indent=indent) + "\n").encode())
