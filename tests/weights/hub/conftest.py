"""Files that a test can spoil, wherever they come from."""

import random
from pathlib import Path

import pytest
from loopback import Hub
from remotes import Remote


@pytest.fixture(params=["hub", "url"])
def remote(request: pytest.FixtureRequest, hub: Hub, tmp_path: Path) -> Remote:
    """A file of 100 kB on the hub, and behind a URL."""
    remote = Remote(request.param, hub, tmp_path, random.Random(0).randbytes(100_000))
    hub.add("org/name", {"config.json": b"{}", "model.safetensors": remote.content})
    hub.put("weights.pth", remote.content)
    return remote
