"""`resnetlib predict`: classify images."""

import csv
import glob
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import click
from PIL import Image, ImageDraw, ImageFont, ImageOps
from tqdm import tqdm

from resnetlib.cli.options import NETWORK, NEW_FILE, PATTERN, READING, RUNTIME, open_exported
from resnetlib.disk import write_atomically
from resnetlib.errors import InputError, printable
from resnetlib.images import ENDINGS, read_ahead, read_image
from resnetlib.predictions import Prediction

_IMAGES, _PIXELS = 64, 2**28  # images, and approximate pixels, in memory at a time
_MAX_PATH = 4_000  # characters of a path to print
_SIDE, _TEXT, _GAP, _COLUMNS = 128, 22, 10, 5  # of a contact sheet: thumbnail, line of text and gap in pixels; images per row


@click.command()
@NETWORK
@click.argument("images", nargs=-1, required=True, type=PATTERN, metavar="IMAGE|FOLDER|PATTERN...")
@click.option("--top", default=5, type=click.IntRange(1), help="Number of predictions per image.")
@click.option("--out", type=NEW_FILE, help="Write the predictions to this file, .csv or .json.")
@click.option("--sheet", type=NEW_FILE, help="Draw images and first predictions to this PNG.")
@RUNTIME
@READING
def predict(
    name: str,
    images: tuple[str, ...],
    top: int,
    out: Path | None,
    sheet: Path | None,
    workers: int | None,
    exif: bool,
    runtime: str | None,
    **network: Any,
) -> None:
    """Classify images with the network NAME, or with an exported one in the file NAME.onnx.

    Give paths of images, folders (searched recursively) or patterns such as 'holiday/*.jpg'. In folders and patterns, files that
    cannot be read as images are skipped and counted.
    """
    if out is not None and out.suffix not in _WRITERS:
        raise InputError(f"--out must end in {' or '.join(_WRITERS)}, got {out}")
    paths = find_paths(images)
    if out is not None and sheet is not None and out.resolve() == sheet.resolve():
        raise InputError(f"--out and --sheet are the same file, {out}: give another one")
    if sheet is not None and sheet.exists() and any(path.exists() and path.samefile(sheet) for path, _ in paths):
        raise InputError(f"--sheet {sheet} is one of the images, and would replace it: give another file")
    classify = _classifier(name, runtime, network, many=len(paths) > _IMAGES)
    rows: list[tuple[Path, list[Prediction]]] = []
    pictures: list[Image.Image] = []
    skipped: list[str] = []
    with tqdm(paths, unit="image", disable=None) as progress:
        for opened in _chunks(_open(progress, skipped, workers, exif)):
            rows += zip((path for path, _ in opened), classify([image for _, image in opened], top=top), strict=True)
            pictures += [thumbnail(image) for _, image in opened] if sheet else []
    if not rows:
        raise InputError(f"none of the images can be read: {'; '.join(skipped[:3])}")
    if out is None:
        for path, ranked in rows:
            click.echo(printable(path, _MAX_PATH))
            for prediction in ranked:
                click.echo(f"  {prediction.probability:7.2%}  {printable(prediction.name)}")
    else:
        write_atomically(out, _WRITERS[out.suffix](rows).encode())
        click.echo(f"wrote {printable(out)}: {len(rows):,} images")
    if sheet:
        draw_sheet(pictures, [f"{ranked[0].name} {ranked[0].probability:.0%}" for _, ranked in rows], sheet)
        click.echo(f"wrote {printable(sheet)}")
    if skipped:
        some = "; ".join(printable(why, _MAX_PATH) for why in skipped[:3])
        click.echo(f"skipped {len(skipped):,}: {some}{' ...' if len(skipped) > 3 else ''}", err=True)


def _classifier(name: str, runtime: str | None, network: Mapping[str, Any], *, many: bool) -> Callable[..., Any]:
    """Return the function that classifies images, with an optimized network if there are many. An .onnx file needs no torch."""
    if model := open_exported(name, runtime, **network):
        return model.classify
    from resnetlib.cli.common import load
    from resnetlib.deploy import optimize
    from resnetlib.inference import classify

    net, _ = load(name, **network)
    return partial(classify, optimize(net) if many else net)


def find_paths(images: Sequence[str]) -> list[tuple[Path, bool]]:
    """Expand folders and patterns; return paths, and whether each was given by its own name."""
    found: list[tuple[Path, bool]] = []
    for text in images:
        path = Path(text)
        if path.is_dir():
            below = (each for each in path.rglob("*") if each.suffix.lower() in ENDINGS and each.is_file())
            inside = sorted(each for each in below if not _hidden(each.relative_to(path)))
        elif glob.has_magic(text) and not path.exists():
            try:
                inside = sorted(each for each in _match(text) if not each.is_dir())
            except ValueError as error:
                raise InputError(f"{text} is not a valid pattern: {error}") from error
        else:
            found.append((path, True))
            continue
        if not inside:
            raise InputError(f"there is no image in {text} ({' '.join(ENDINGS)})")
        found += [(each, False) for each in inside]
    return found


def _match(pattern: str) -> Iterator[Path]:
    """Find the paths that match a pattern, without following links to folders under **, which could be circular."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return map(Path, glob.glob(pattern))  # noqa: PTH207
    at = parts.index("**")
    inside = str(Path(*parts[at:], "*" if parts[-1] == "**" else ""))
    roots = map(Path, glob.glob(str(Path(*parts[:at]))) if at else ["."])  # noqa: PTH207
    found = ((path, path.relative_to(root)) for root in roots for path in root.glob(inside))
    return (path for path, below in found if not _hidden(below, unless=parts))


def _hidden(path: Path, unless: Sequence[str] = ()) -> bool:
    """Return whether a file or a folder around it is hidden. Parts in `unless` were named by the user."""
    return any(part.startswith(".") and part not in unless for part in path.parts)


def _open(
    paths: Iterable[tuple[Path, bool]], skipped: list[str], workers: int | None, exif: bool
) -> Iterator[tuple[Path, Image.Image]]:
    def read(entry: tuple[Path, bool]) -> tuple[Path, Image.Image | str]:
        path, named = entry
        try:
            return path, read_image(path, exif=exif)
        except (ValueError, OSError) as error:
            if named:
                raise
            return path, str(error)

    for path, image in read_ahead(read, paths, workers):
        if isinstance(image, str):
            skipped.append(image)
        else:
            yield path, image


def _chunks(opened: Iterable[tuple[Path, Image.Image]]) -> Iterator[list[tuple[Path, Image.Image]]]:
    """Group images into chunks that fit into memory."""
    chunk: list[tuple[Path, Image.Image]] = []
    pixels = 0
    for path, image in opened:
        chunk.append((path, image))
        pixels += image.width * image.height
        if len(chunk) == _IMAGES or pixels >= _PIXELS:
            yield chunk
            chunk, pixels = [], 0
    if chunk:
        yield chunk


def _text(value: object) -> str:
    """Escape what is not valid Unicode, such as bytes of a file name."""
    return str(value).encode(errors="backslashreplace").decode()


def _to_csv(rows: Sequence[tuple[Path, list[Prediction]]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = range(1, len(rows[0][1]) + 1)
    writer.writerow(["image", *(f"{what}_{i}" for i in columns for what in ("class", "probability"))])
    for path, ranked in rows:
        row = [_text(path), *(value for each in ranked for value in (_text(each.name), f"{each.probability:.6f}"))]
        writer.writerow([value.replace("\r", "\\r") for value in row])  # which Python's writer does not quote
    return text.getvalue()


def _to_json(rows: Sequence[tuple[Path, list[Prediction]]]) -> str:
    listed = []
    for path, ranked in rows:
        predictions = [{"class": _text(each.name), "label": each.label, "probability": each.probability} for each in ranked]
        listed.append({"image": _text(path), "predictions": predictions})
    return json.dumps(listed, indent=1) + "\n"


_WRITERS = {".csv": _to_csv, ".json": _to_json}


def thumbnail(image: Image.Image) -> Image.Image:
    """Scale an image so that its longer side is that of a thumbnail."""
    method = Image.Resampling.NEAREST if max(image.size) < _SIDE else Image.Resampling.LANCZOS
    return ImageOps.contain(image, (_SIDE, _SIDE), method)


def draw_sheet(images: Sequence[Image.Image], captions: Sequence[str], path: Path) -> None:
    """Draw a contact sheet of images with captions, and write it as a PNG."""
    columns = min(_COLUMNS, len(images))
    rows = ceil(len(images) / columns)
    width, height = columns * (_SIDE + _GAP) + _GAP, rows * (_SIDE + _TEXT + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = _GAP + i % columns * (_SIDE + _GAP)
        top = _GAP + i // columns * (_SIDE + _TEXT + _GAP)
        sheet.paste(ImageOps.pad(thumbnail(image), (_SIDE, _SIDE), color="white"), (left, top))
        draw.text((left + _SIDE / 2, top + _SIDE + 3), printable(caption, 40), fill="black", font=font, anchor="ma")
    content = io.BytesIO()
    sheet.save(content, "PNG")
    write_atomically(path, content.getvalue())
