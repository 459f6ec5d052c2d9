"""Files that are written whole or not at all, and read only if they are files."""

import fcntl
import os
import re
import stat
from pathlib import Path

import pytest

from resnetlib.disk import check_writable, open_file, read_file, write_atomically
from resnetlib.errors import InputError, MissingFileError, ResourceError


def test_a_new_file_has_the_permissions_that_open_gives(tmp_path: Path) -> None:
    with (tmp_path / "plain").open("wb") as file:
        file.write(b"x")
    write_atomically(tmp_path / "ours", b"x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "private"
    path.write_bytes(b"old")
    path.chmod(0o600)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_left_when_the_target_cannot_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="would be replaced"):
        write_atomically(tmp_path / "pipe", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_lock_that_somebody_keeps_does_not_stop_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetlib.disk._LOCK_TIMEOUT", 0.1)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    write_atomically(tmp_path / "file", b"x")
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"x"


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", Path(os.devnull)):
        with pytest.raises(ValueError, match="expected a regular file"):
            open_file(path)
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)
    for path in (tmp_path / "none", tmp_path / "pipe" / "none"):
        with pytest.raises(MissingFileError, match=f"^there is no file {path}$"):
            open_file(path)
    with pytest.raises(InputError, match="is not the path of a file: embedded null byte"):
        open_file(f"{tmp_path}/a\0b")


def test_names_that_are_too_long_or_hold_a_null_byte(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("x" * 245), b"x")
    for name in ("x" * 246, "\u00e4" * 123, "a\0b", "\ud800"):
        wrong = f"{re.escape(repr(str(tmp_path / name)))} cannot be written"
        with pytest.raises(InputError, match=f"^{wrong}: a name has at most 245 bytes of UTF-8, and no null byte$"):
            write_atomically(tmp_path / name, b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["x" * 245]
    long = tmp_path / ("x" * 300)
    with pytest.raises(MissingFileError, match=f"^there is no file {long}: File name too long$"):
        open_file(long)
    with pytest.raises(ResourceError, match=f"^{long} cannot be written: File name too long$"):
        check_writable(long)
    with pytest.raises(MissingFileError, match=f"^there is no folder {long}$"):
        write_atomically(long / "file", b"x")
    for name in ("a\0b", "\ud800"):
        with pytest.raises(InputError, match=f"^{re.escape(repr(name))} cannot be written: it has a null byte, or is not UTF-8$"):
            check_writable(Path(name))


def test_a_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(ValueError, match=f"^{path} is larger than the limit of 4 bytes$"):
        read_file(path, 4)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f"there is no folder {tmp_path / 'none'}")):
        write_atomically(tmp_path / "none" / "file", b"x")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(NotADirectoryError, match=r"file is a file, and not a folder"):
        write_atomically(tmp_path / "file" / "file", b"x")
