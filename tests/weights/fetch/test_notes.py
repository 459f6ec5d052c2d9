"""What the library remembers of files, and how it does without: no home, and files that cannot be read."""

import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

import pytest
from remotes import Remote

from resnetlib.config import UrlFile
from resnetlib.weights.fetch import fetch, fetch_first, verified
from resnetlib.weights.fetch.errors import UnreadableError
from resnetlib.weights.fetch.verified import own_cache

CONTENT = bytes(range(256)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("changed", ["st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev"])
def test_a_file_is_another_if_it_is_elsewhere_or_later(tmp_path: Path, changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETLIB_CACHE", str(tmp_path / "own"))
    path = tmp_path / "w.pth"
    path.write_bytes(CONTENT)
    verified.sha256_of(path)
    (memory,) = (tmp_path / "own" / "hashes").iterdir()
    noted = json.loads(memory.read_bytes())
    memory.write_text(json.dumps({**noted, "sha256": "0" * 64}))
    assert verified.sha256_of(path) == "0" * 64, "what is remembered is believed"
    assert verified.sha256_of(path, fresh=True) == SHA256, "unless it is not asked"
    memory.write_text(json.dumps({**noted, "sha256": "0" * 64, changed: noted[changed] + 1}))
    assert verified.sha256_of(path) == SHA256
    memory.write_text(json.dumps({name: value for name, value in noted.items() if name != changed} | {"sha256": "0" * 64}))
    assert verified.sha256_of(path) == SHA256


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETLIB_CACHE", str(tmp_path / "own"))
    path = tmp_path / "w.pth"
    path.write_bytes(CONTENT)
    digest = hashlib.file_digest

    def change(file: BinaryIO, name: str) -> object:
        found = digest(file, name)  # type: ignore[arg-type]
        path.write_bytes(CONTENT + b"more")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", change)
        verified.sha256_of(path)
    assert not (tmp_path / "own").exists()
    assert verified.sha256_of(path) == hashlib.sha256(CONTENT + b"more").hexdigest()


def test_a_file_that_cannot_be_read_says_so(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch(remote.source).path
    other = UrlFile(url=remote.hub.put("spare.pth", b"spare"), sha256=hashlib.sha256(b"spare").hexdigest())
    open_file = verified.open_file

    def guarded(wanted: Path) -> object:
        if wanted == path:
            raise PermissionError(13, "Permission denied", str(wanted))
        return open_file(wanted)

    monkeypatch.setattr(verified, "open_file", guarded)
    path.touch()  # so that nothing is remembered of it
    with pytest.raises(
        UnreadableError, match=rf"Cannot read {path}: Permission denied. Make it readable, or let {remote.variable}"
    ):
        fetch(remote.source)
    assert fetch_first([remote.source, other]).source == other


def test_without_a_home_nothing_is_remembered(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RESNETLIB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert fetch(remote.source).path.read_bytes() == remote.content
    assert fetch(remote.source).path.read_bytes() == remote.content
    assert remote.hub.count("GET", remote.part) == 1
    assert own_cache() == Path(os.devnull) / "resnetlib"
