"""The log of a training: a line of JSON for each measurement."""

import json
from pathlib import Path
from typing import Any

from resnetlib.disk import write_atomically

Record = dict[str, Any]


class Journal:
    """A file of JSON lines that grows, and that a resumed training continues where its checkpoint was.

    Args:
        path: the file; it is made with the first record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Record]:
        """Return all whole records; the last line may have been cut off with the process that wrote it."""
        if not self.path.is_file():
            return []
        records = []
        for line in self.path.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                break
        return records

    def add(self, record: Record) -> None:
        """Append a record.

        Args:
            record: plain data.
        """
        with self.path.open("a") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")

    def cut(self, iteration: int) -> None:
        """Forget what comes after an iteration.

        Args:
            iteration: of the checkpoint from which the training goes on.
        """
        kept = [record for record in self.read() if record["iteration"] <= iteration]
        if self.path.is_file():
            write_atomically(self.path, "".join(json.dumps(record) + "\n" for record in kept).encode())
