"""An independent server of the hub's protocol, olah, where it is installed: `pip install olah`, in an environment of its own."""

import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import point_at

from resnetlib.config import HubFile
from resnetlib.weights.download import fetch
from resnetlib.weights.errors import FetchError

CONTENT = random.Random(0).randbytes(50_000)


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve a git repository, and return its commit."""
    olah = os.environ.get("RESNETLIB_TEST_OLAH") or shutil.which("olah-cli")
    if not olah:
        pytest.skip("olah-cli is not there: RESNETLIB_TEST_OLAH says where it is")
    repo = tmp_path / "mirror" / "models" / "org" / "name"
    repo.mkdir(parents=True)
    (repo / "config.json").write_text("{}")
    (repo / "model.safetensors").write_bytes(CONTENT)
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    for command in (("init", "-q", "-b", "main"), ("add", "."), (*identity, "commit", "-q", "-m", "weights")):
        subprocess.run(["git", *command], cwd=repo, check=True)  # noqa: S603, S607
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repo, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S607
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    basic = f'host = "127.0.0.1"\nport = {port}\nrepos-path = "{tmp_path}/repos"\nmirrors-path = ["{tmp_path}/mirror"]'
    (tmp_path / "olah.toml").write_text(f"[basic]\n{basic}\n[accessibility]\noffline = true\n")
    with (
        (tmp_path / "olah.log").open("wb") as log,
        subprocess.Popen([olah, "-c", "olah.toml", "--log-path", "logs"], cwd=tmp_path, stdout=log, stderr=log) as server,  # noqa: S603
    ):
        try:
            until = time.monotonic() + 30
            while not _answers(port):
                assert time.monotonic() < until, (tmp_path / "olah.log").read_text()
                time.sleep(0.1)
            point_at(f"http://127.0.0.1:{port}", tmp_path, monkeypatch)
            yield head
        finally:
            server.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_what_olah_serves_is_fetched_and_verified(commit: str) -> None:
    config = fetch(HubFile(repo="org/name", file="config.json"), refresh=True)
    assert (config.path.read_text(), config.revision) == ("{}", commit)
    for revision in ("main", commit):
        fetched = fetch(HubFile(repo="org/name", revision=revision))
        assert (fetched.path.read_bytes(), fetched.revision) == (CONTENT, commit)
    fetched.path.write_bytes(CONTENT[::-1])
    assert fetch(HubFile(repo="org/name")).path.read_bytes() == CONTENT
    with pytest.raises(FetchError, match="answered 401"):
        fetch(HubFile(repo="org/other"))
