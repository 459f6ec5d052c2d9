"""What tests fetch, from both kinds of places."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from loopback import Hub

from resnetlib.config import HubFile, UrlFile


@dataclass
class Remote:
    """A file on the hub, or behind a URL, that a test can spoil."""

    kind: str
    hub: Hub
    folder: Path
    content: bytes

    @property
    def source(self) -> HubFile | UrlFile:
        """Where it is, and what is known of it: of the hub's file nothing but what the hub says."""
        if self.kind == "hub":
            return HubFile(repo="org/name")
        return UrlFile(url=f"{self.hub.url}/files/weights.pth", sha256=hashlib.sha256(self.content).hexdigest())

    @property
    def part(self) -> str:
        """What the path of its requests contains."""
        return "model.safetensors" if self.kind == "hub" else "weights.pth"

    @property
    def variable(self) -> str:
        """Which variable names its folder."""
        return "HF_HOME" if self.kind == "hub" else "TORCH_HOME"

    def left(self) -> list[Path]:
        """Return the files of its size, or a part of it, that are in the caches."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and "own" not in path.relative_to(self.folder).parts)
        return [path for path in files if path.stat().st_size > 1000]
