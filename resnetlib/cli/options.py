"""Option types for paths."""

import os
import tempfile
from pathlib import Path
from typing import Any

import click


class _Path(click.Path):
    """A path that is not empty: an empty one, as of a variable that is not set, would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty path."""
        if not os.fspath(value):
            self.fail("the path is empty; the current folder is .", param, ctx)
        return super().convert(value, param, ctx)


class _NewFile(_Path):
    """A file to write, which is tried before the work begins that fills it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Make a file beside it, as `write_atomically` will, and delete it."""
        path = super().convert(value, param, ctx)
        if path.exists() and not path.is_file():
            self.fail(f"{value!r} is a pipe, a socket or a device, expected a file", param, ctx)
        try:
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
                return path
        except OSError as error:
            self.fail(f"{value!r} cannot be written: {error.strerror}", param, ctx)


PATH = _Path(path_type=Path)
FOLDER = _Path(path_type=Path, file_okay=False)
NEW_FILE = _NewFile(path_type=Path, dir_okay=False, writable=True)
PATTERN = _Path(path_type=str)
