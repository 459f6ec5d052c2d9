"""The log of a training: a line of JSON for each measurement."""

import json
import os
from pathlib import Path
from typing import Any

from resnetlib.disk import read_file, write_atomically

Record = dict[str, Any]

_LARGEST = 2**28
"""The largest log that is read, in bytes."""


class Journal:
    """A file of JSON lines that grows. What it holds is in memory and in the checkpoints too, so damage to it is undone.

    Args:
        path: the file; it is made with the first record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = ""

    @property
    def records(self) -> list[Record]:
        """What was added."""
        return [json.loads(line) for line in self.text.splitlines()]

    def add(self, record: Record) -> None:
        """Append a record.

        Args:
            record: plain data.
        """
        line = json.dumps(record, allow_nan=False) + "\n"
        self.text += line
        with self.path.open("a") as file:
            file.write(line)

    def restore(self, text: str) -> None:
        """Write the file anew.

        Args:
            text: all its lines.
        """
        self.text = text
        if text or os.path.lexists(self.path):
            write_atomically(self.path, text.encode())


def read_log(path: Path) -> list[Record]:
    """Read the complete records of a log; an interrupted write may have cut off the last line.

    Args:
        path: of the file; it need not be there.

    Returns:
        The records, up to the first line that is none.

    Raises:
        ValueError: if it is no regular file.
    """
    records: list[Record] = []
    try:
        lines = read_file(path, _LARGEST).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return records
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict):
            break
        records.append(record)
    return records
