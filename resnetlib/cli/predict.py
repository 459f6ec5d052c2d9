"""`resnetlib predict`: name what is in images, one or ten thousand."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resnetlib.cli.loading import load, weights_options
from resnetlib.cli.options import NEW_FILE, PATTERN
from resnetlib.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image

    from resnetlib.config import Normalization
    from resnetlib.inference import Prediction

_AT_ONCE, _PIXELS = 64, 2**28
"""Images in memory at a time: so many, or so many that together they have that many pixels."""

_LONGEST = 4_000
"""Characters of a path that are printed."""


@click.command()
@click.argument("name")
@click.argument("images", nargs=-1, required=True, type=PATTERN, metavar="IMAGE|FOLDER|PATTERN...")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many guesses to print.")
@click.option("--out", type=NEW_FILE, help="Write all guesses into this file, .csv or .json.")
@click.option("--sheet", type=NEW_FILE, help="Draw images and first guesses into this PNG.")
@weights_options
def predict(
    name: str,
    images: tuple[str, ...],
    top: int,
    out: Path | None,
    sheet: Path | None,
    weights: str | None,
    normalize: "Normalization | None",
    device: str | None,
) -> None:
    """Name what the network NAME sees in images.

    An image is given by its path; by a folder, in which all images count, in folders of it too; or by a pattern such as
    'holiday/*.jpg'. Files in folders and of patterns that are no readable images are passed over, and counted.
    """
    from tqdm import tqdm

    from resnetlib.cli.sheet import draw_sheet, thumbnail
    from resnetlib.disk import write_atomically
    from resnetlib.inference import classify

    if out is not None and out.suffix not in _WRITERS:
        raise ValueError(f"--out must end in {' or '.join(_WRITERS)}, got {out}")
    paths = find_paths(images)
    if out is not None and sheet is not None and out.resolve() == sheet.resolve():
        raise ValueError(f"--out and --sheet are the same file, {out}: give another one")
    if sheet is not None and sheet.exists() and any(path.exists() and path.samefile(sheet) for path, _ in paths):
        raise ValueError(f"--sheet {sheet} is one of the images, and would replace it: give another file")
    net, _ = load(name, weights, normalize, device)
    rows: list[tuple[Path, list[Prediction]]] = []
    pictures: list[Image] = []
    passed_over: list[str] = []
    with tqdm(total=len(paths), unit="image", disable=None) as bar:
        for opened in _chunks(_open(paths, passed_over, bar.update)):
            rows += zip((path for path, _ in opened), classify(net, [image for _, image in opened], top=top), strict=True)
            pictures += [thumbnail(image) for _, image in opened] if sheet else []
    if not rows:
        raise ValueError(f"there is no image that can be read: {'; '.join(passed_over[:3])}")
    if out is None:
        for path, ranked in rows:
            click.echo(printable(path, _LONGEST))
            for guess in ranked:
                click.echo(f"  {guess.probability:7.2%}  {printable(guess.name)}")
    else:
        write_atomically(out, _WRITERS[out.suffix](rows).encode())
        click.echo(f"wrote {printable(out)}: {len(rows):,} images")
    if sheet:
        draw_sheet(pictures, [f"{ranked[0].name} {ranked[0].probability:.0%}" for _, ranked in rows], sheet)
        click.echo(f"wrote {printable(sheet)}")
    if passed_over:
        some = "; ".join(printable(why, _LONGEST) for why in passed_over[:3])
        click.echo(f"{len(passed_over):,} passed over: {some}{' ...' if len(passed_over) > 3 else ''}", err=True)


def find_paths(images: Sequence[str]) -> list[tuple[Path, bool]]:
    """Find the images that a user means.

    Args:
        images: paths of files, folders, or patterns.

    Returns:
        The paths in their order, and whether each was named itself.

    Raises:
        ValueError: for a folder without images, and a pattern that matches nothing.
    """
    import glob

    from resnetlib.data.folder import ENDINGS

    found: list[tuple[Path, bool]] = []
    for text in images:
        path = Path(text)
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in ENDINGS and each.is_file())
        elif glob.has_magic(text) and not path.exists():
            inside = sorted(each for each in _match(text) if not each.is_dir())
        else:
            found.append((path, True))
            continue
        if not inside:
            raise ValueError(f"there is no image in {text} ({' '.join(ENDINGS)})")
        found += [(each, False) for each in inside]
    return found


def _match(pattern: str) -> Iterator[Path]:
    """Find the paths that match a pattern; below a ** in folders, but not in links to folders, which could lead in circles."""
    import glob

    parts = Path(pattern).parts
    if "**" not in parts:
        return map(Path, glob.glob(pattern))  # noqa: PTH207
    at = parts.index("**")
    inside = str(Path(*parts[at:], "*" if parts[-1] == "**" else ""))
    roots = map(Path, glob.glob(str(Path(*parts[:at]))) if at else ["."])  # noqa: PTH207
    found = ((path, path.relative_to(root)) for root in roots for path in root.glob(inside))
    return (path for path, below in found if not any(part.startswith(".") and part not in parts for part in below.parts))


def _open(paths: Sequence[tuple[Path, bool]], passed_over: list[str], done: Callable[[], object]) -> "Iterator[tuple[Path, Image]]":
    from resnetlib.data import read_image

    for path, named in paths:
        try:
            yield path, read_image(path)
        except ValueError as error:
            if named:
                raise
            passed_over.append(str(error))
        done()


def _chunks(opened: "Iterable[tuple[Path, Image]]") -> "Iterator[list[tuple[Path, Image]]]":
    """Gather images up to a number, and to a number of pixels."""
    chunk: list[tuple[Path, Image]] = []
    pixels = 0
    for path, image in opened:
        chunk.append((path, image))
        pixels += image.width * image.height
        if len(chunk) == _AT_ONCE or pixels >= _PIXELS:
            yield chunk
            chunk, pixels = [], 0
    if chunk:
        yield chunk


def _text(value: object) -> str:
    r"""Write what is no Unicode, as bytes of a file's name can be, as \udc80 to \udcff."""
    return str(value).encode(errors="backslashreplace").decode()


def _to_csv(rows: "Sequence[tuple[Path, list[Prediction]]]") -> str:
    """Write a line for each image: its path, and classes and probabilities, the most probable first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    count = len(rows[0][1])
    writer.writerow(["image", *(f"{what}_{i}" for i in range(1, count + 1) for what in ("class", "probability"))])
    for path, ranked in rows:
        row = [_text(path), *(value for guess in ranked for value in (_text(guess.name), f"{guess.probability:.6f}"))]
        writer.writerow([value.replace("\r", "\\r") for value in row])  # which Python's writer does not quote
    return text.getvalue()


def _to_json(rows: "Sequence[tuple[Path, list[Prediction]]]") -> str:
    """Write a list with an object for each image."""
    listed = [
        {
            "image": _text(path),
            "guesses": [{"class": _text(guess.name), "label": guess.label, "probability": guess.probability} for guess in ranked],
        }
        for path, ranked in rows
    ]
    return json.dumps(listed, indent=1) + "\n"


_WRITERS = {".csv": _to_csv, ".json": _to_json}
