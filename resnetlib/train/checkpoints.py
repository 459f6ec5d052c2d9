"""Checkpoints: written whole or not at all, checked when they are read."""

import hashlib
import io
import re
from pathlib import Path
from typing import Any, BinaryIO

import torch

from resnetlib.disk import open_file, write_atomically

State = dict[str, Any]

_NAME = re.compile(r"(\d{9})-([0-9a-f]{16})\.pt")


class Checkpoints:
    """A folder of checkpoints. Each is named after its iteration and the hash of its contents, so that damage is seen.

    Args:
        folder: where; it is made with the first checkpoint.
        keep: how many of the newest stay.
    """

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, iteration: int, state: State) -> Path:
        """Write a checkpoint, and delete those that are older than the newest `keep`.

        Args:
            iteration: how many were done.
            state: tensors and plain data.

        Returns:
            The file.

        Raises:
            OSError: if it cannot be written; the checkpoints before it are still there.
        """
        content = io.BytesIO()
        torch.save(state, content)
        digest = hashlib.sha256(content.getbuffer()).hexdigest()
        path = self.folder / f"{iteration:09d}-{digest[:16]}.pt"
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.getvalue())
        twins = [twin for twin in self.folder.glob(f"{iteration:09d}-*.pt") if twin != path]
        for old in [*twins, *[old for old in self.newest_first() if old not in twins][self.keep :]]:
            old.unlink(missing_ok=True)
        return path

    def load(self) -> tuple[State | None, list[str]]:
        """Read the newest checkpoint that is whole, and rename those that are not.

        Returns:
            What was saved, on the CPU, or None where there is nothing; and a line about each damaged one that was passed over.

        Raises:
            ValueError: if there are checkpoints, and all of them are damaged, or the newest is no checkpoint.
        """
        complaints: list[str] = []
        damaged = sorted(path.name for path in self.folder.glob("*.damaged"))
        for path in self.newest_first():
            with open_file(path) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                if digest.startswith(path.stem.partition("-")[2]):
                    file.seek(0)
                    return _read(file, path), complaints
            complaints.append(f"{path} is damaged: the hash of its {path.stat().st_size:,} bytes begins with {digest[:16]}")
            path.rename(path.with_suffix(".damaged"))
        if complaints or damaged:
            told = complaints or [f"{', '.join(damaged)} are damaged"]
            raise ValueError("\n".join([*told, f"No checkpoint in {self.folder} is whole: delete the folder to begin anew."]))
        return None, []

    def clean(self) -> None:
        """Delete what a process left that was killed while it wrote."""
        for path in self.folder.glob(".*.pt.*"):
            path.unlink(missing_ok=True)

    def newest_first(self) -> list[Path]:
        """Return the checkpoints, the newest first."""
        return sorted((path for path in self.folder.glob("*.pt") if _NAME.fullmatch(path.name)), reverse=True)


def _read(file: BinaryIO, path: Path) -> State:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle can fail in any way
        raise ValueError(f"{path} is no checkpoint, or holds more than tensors and plain data; nothing in it was run") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} is no checkpoint: it holds a {type(state).__name__}")
    return state
