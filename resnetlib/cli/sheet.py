"""A contact sheet: images with a line of text under each."""

import io
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from resnetlib.disk import write_atomically
from resnetlib.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE, _TEXT, _GAP, _COLUMNS = 128, 22, 10, 5


def thumbnail(image: "Image") -> "Image":
    """Make an image as large as it is on a sheet."""
    from PIL import Image

    scale = _SIDE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)


def draw_sheet(images: Sequence["Image"], captions: Sequence[str], path: Path) -> None:
    """Draw images in rows of five, and write them as a PNG.

    Args:
        images: the images, of any sizes, or their thumbnails.
        captions: a line for each.
        path: the file to write.
    """
    from PIL import Image, ImageDraw, ImageFont

    columns = min(_COLUMNS, len(images))
    rows = ceil(len(images) / columns)
    width, height = columns * (_SIDE + _GAP) + _GAP, rows * (_SIDE + _TEXT + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = _GAP + i % columns * (_SIDE + _GAP)
        top = _GAP + i // columns * (_SIDE + _TEXT + _GAP)
        shown = thumbnail(image)
        sheet.paste(shown, (left + (_SIDE - shown.width) // 2, top + (_SIDE - shown.height) // 2))
        draw.text((left + _SIDE / 2, top + _SIDE + 3), printable(caption, 40), fill="black", font=font, anchor="ma")
    content = io.BytesIO()
    sheet.save(content, "PNG")
    write_atomically(path, content.getvalue())
