"""Image files of all kinds, whole, damaged and hostile: they are read, or refused in a line."""

import io
import os
import socket
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import fill
from PIL import EpsImagePlugin, Image, features

from resnetlib.data import find_images, read_image, verify_images
from resnetlib.errors import InputTypeError


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(mode: str = "RGB", size: tuple[int, int] = (9, 7)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width: int, height: int) -> bytes:
    """Make a PNG of 45 bytes that promises so many pixels."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"")


FRAMES = [picture(), picture().rotate(90)]
READABLE = {
    "one pixel": encoded(picture(size=(1, 1)), "PNG"),
    "a narrow strip": encoded(picture(size=(100, 1)), "PNG"),
    "gray with alpha": encoded(picture("LA"), "PNG"),
    "a palette with transparent colors": encoded(picture("P"), "PNG", transparency=bytes(range(256))),
    "CMYK": encoded(picture("CMYK"), "JPEG"),
    "CMYK in a TIFF": encoded(picture("CMYK"), "TIFF"),
    "16 bits": encoded(Image.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) << 10), "PNG"),
    "16 bits, big-endian": encoded(Image.fromarray(np.arange(63, dtype=">u2").reshape(7, 9)), "TIFF"),
    "an animated GIF": encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]),
    "an animated PNG": encoded(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]),
    "corrupt EXIF data": encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(60)) * 3),
    "bytes after its end": encoded(picture(), "PNG") + bytes(1000),
    "a TIFF with a tag of 256 MB": encoded(picture(), "TIFF", description="x" * 50).replace(
        struct.pack("<HHI", 270, 2, 51), struct.pack("<HHI", 270, 2, 2**28)
    ),
}
REFUSED = {
    "an empty file": (b"", "its content is none of BMP"),
    "a file of zeros": (bytes(10**6), "its content is none of BMP"),
    "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "its content is none of BMP"),
    "a truncated JPEG": (encoded(picture(size=(90, 70)), "JPEG")[:-300], "truncated"),
    "too many pixels": (png_header(30_000, 30_000), "decompression bomb"),
    "more pixels than there is memory": (png_header(2**31 - 1, 2**31 - 1), "decompression bomb"),
    "no pixels": (b"P6 0 0 255\n", ""),
    "a long strip": (encoded(picture(size=(1, 60_000)), "PNG"), r"one side is more than 100 times the other \(1 x 60000 pixels\)$"),
    "a wide strip": (encoded(picture(size=(505, 5)), "PNG"), r"one side is more than 100 times the other \(505 x 5 pixels\)$"),
    "a format with programs in it": (encoded(picture(), "EPS"), "its content is none of BMP"),
}


@pytest.mark.parametrize("what", READABLE)
def test_odd_images_are_read(what: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(READABLE[what])
    with warnings.catch_warnings(record=True, action="always") as shown:
        image = read_image(tmp_path / "x.png")
    assert image.mode == "RGB"
    assert min(image.size) > 0
    assert image == read_image(io.BytesIO(READABLE[what]))
    assert not shown
    if "animated" in what:
        assert np.array_equal(np.asarray(image) > 127, np.asarray(Image.open(io.BytesIO(READABLE[what])).convert("RGB")) > 127)


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_refused_in_a_line(what: str, tmp_path: Path) -> None:
    content, why = REFUSED[what]
    (tmp_path / "x.png").write_bytes(content)
    with (
        warnings.catch_warnings(record=True, action="always") as shown,
        pytest.raises(ValueError, match=rf"x\.png cannot be read as an image: .*{why}"),
    ):
        read_image(tmp_path / "x.png")
    assert not shown
    with pytest.raises(ValueError, match=f"the content cannot be read as an image: .*{why}"):
        read_image(io.BytesIO(content))


def test_names_that_are_words_of_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("its").write_bytes(b"no image")
    Image.new("RGB", (2000, 2)).save("one", format="PNG")
    with pytest.raises(ValueError, match=r"^its cannot be read as an image: its content is none of BMP, GIF, JPEG, PNG, [A-Z, ]*$"):
        read_image("its")
    why = r"one side is more than 100 times the other \(2000 x 2 pixels\)"
    with pytest.raises(ValueError, match=f"^one cannot be read as an image: {why}$"):
        read_image("one")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_never_taken_for_the_path_of_a_file(kind: Callable[[bytes], Any], tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(InputTypeError, match=r"got (bytes|bytearray|memoryview).* io.BytesIO\(data\)"):
        read_image(kind(bytes(tmp_path / "x.png")))


def test_threads_that_read_images_leave_the_filters_of_warnings(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(READABLE["corrupt EXIF data"])
    with warnings.catch_warnings(record=True, action="always") as shown:
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            images = list(pool.map(lambda _: read_image(tmp_path / "x.png"), range(200)))
            for thread in range(3):
                warnings.warn(f"mine, {thread}", stacklevel=1)
        assert list(warnings.filters) == before
    assert len(images) == 200
    assert [str(warning.message) for warning in shown] == ["mine, 0", "mine, 1", "mine, 2"]


def test_an_image_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(program))
    (tmp_path / "x.png").write_bytes(encoded(picture(), "EPS"))
    with pytest.raises(ValueError, match="cannot be read as an image"):
        read_image(tmp_path / "x.png")
    assert not (tmp_path / "started").exists()


def test_a_photo_of_100_million_pixels_is_read_without_a_warning(tmp_path: Path) -> None:
    Image.new("1", (10_000, 10_000)).save(tmp_path / "x.png")
    with warnings.catch_warnings(action="error"):
        assert read_image(tmp_path / "x.png").size == (10_000, 10_000)


HANGS = """
import sys
from resnetlib.data import find_images, read_image, verify_images
from resnetlib.errors import InputTypeError
for path in sys.argv[1:3]:
    try:
        read_image(path)
    except ValueError as error:
        assert "expected a regular file" in str(error) or "No such device" in str(error), error
    else:
        raise AssertionError(path)
files = verify_images(find_images(sys.argv[3]))
print(len(files), files.report)
"""


def test_pipes_and_devices_do_not_hang(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", 2)
    os.mkfifo(root / "red" / "pipe.png")
    (root / "red" / "zero.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(root / "red" / "s.png"))
    command = [sys.executable, "-c", HANGS, root / "red" / "pipe.png", "/dev/zero", root]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)  # noqa: S603 - its own interpreter
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"6 skipped 3 in {root}, cannot be read: red/pipe.png, red/s.png, red/zero.png\n"


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", 1)
    for name in ("a", "b", "c"):
        (root / "red" / name).symlink_to(root / "red")
        (root / "green" / name).symlink_to(root)
        (root / f"x{name}.png").symlink_to(root / f"x{name}.png")
    files = find_images(root)
    assert [path for path, _ in files.samples] == ["blue/0.png", "green/0.png", "red/0.png"]
    (root / "all").symlink_to(root)
    with pytest.raises(FileNotFoundError, match="has no image of all: add some"):
        find_images(root)


def test_names_cannot_write_to_a_terminal(tmp_path: Path) -> None:
    root = fill(tmp_path / "da\x1b[2Jta", 1)
    (root / "red" / "a\r\x1b]0;title\x07.png").write_bytes(b"")
    (root / "red" / "a\n.txt").write_bytes(b"")
    report = verify_images(find_images(root)).report
    assert report.isprintable() or len(report.splitlines()) == 2
    assert "red/a\\r\\x1b]0;title\\x07.png" in report
    assert "red/a\\n.txt" in report
    assert "da\\x1b[2Jta" in report
    assert "\x1b" not in report


SEEDS = {
    kind: encoded(picture(mode), kind)
    for kind, mode in (("PNG", "RGB"), ("JPEG", "L"), ("GIF", "P"), ("WEBP", "RGBA"), ("TIFF", "RGB"), ("BMP", "P"), ("PPM", "RGB"))
}
if features.check("avif"):
    SEEDS["AVIF"] = encoded(picture(), "AVIF")


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut a file, and change some of its bytes, those of its head most often."""
    changed = bytearray(content[: draw(st.integers(0, len(content)) | st.just(len(content)))])
    place = st.integers(0, 60) | st.integers(0, len(content))
    for at, new in draw(st.lists(st.tuples(place, st.binary(max_size=4)), max_size=6)):
        changed[at : at + draw(st.integers(0, 4))] = new
    return bytes(changed)


@pytest.mark.parametrize("kind", SEEDS)
def test_any_bytes_are_an_image_or_refused(kind: str, tmp_path: Path) -> None:
    @settings(max_examples=100)
    @given(mutated(SEEDS[kind]))
    def check(content: bytes) -> None:
        (tmp_path / "x.png").write_bytes(content)
        with warnings.catch_warnings(record=True, action="always") as shown:
            try:
                image = read_image(tmp_path / "x.png")
            except ValueError:
                pass
            else:
                assert image.mode == "RGB"
                assert 0 < max(image.size) <= 100 * min(image.size)
        assert not shown

    check()
