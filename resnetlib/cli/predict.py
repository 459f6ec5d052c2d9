"""`resnetlib predict`: name what is in images, one or ten thousand."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resnetlib.cli.loading import load, weights_options

if TYPE_CHECKING:
    from PIL.Image import Image

    from resnetlib.inference import Guess
    from resnetlib.weights.preprocess import Normalization

_AT_ONCE = 64
"""Images in memory at a time."""


@click.command()
@click.argument("name")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|FOLDER|PATTERN...")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many guesses to print.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write all guesses into this file, .csv or .json.")
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False), help="Draw images and first guesses into this PNG.")
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

    from resnetlib.cli.sheet import draw_sheet
    from resnetlib.disk import write_atomically
    from resnetlib.inference import classify

    if out is not None and out.suffix not in _WRITERS:
        raise ValueError(f"--out must end in {' or '.join(_WRITERS)}, got {out}")
    paths = find_paths(images)
    net, _ = load(name, weights, normalize, device)
    rows: list[tuple[Path, list[Guess]]] = []
    pictures: list[Image] = []
    passed_over: list[str] = []
    with tqdm(total=len(paths), unit="image", disable=None) as bar:
        todo = iter(paths)
        while chunk := list(islice(todo, _AT_ONCE)):
            opened = list(_open(chunk, passed_over))
            rows += zip((path for path, _ in opened), classify(net, [image for _, image in opened], top=top), strict=True)
            pictures += [image for _, image in opened] if sheet else []
            bar.update(len(chunk))
    if not rows:
        raise ValueError(f"there is no image that can be read: {'; '.join(passed_over[:3])}")
    if out is None:
        for path, ranked in rows:
            click.echo(path)
            for guess in ranked:
                click.echo(f"  {guess.probability:7.2%}  {guess.name}")
    else:
        write_atomically(out, _WRITERS[out.suffix](rows).encode())
        click.echo(f"wrote {out}: {len(rows):,} images")
    if sheet:
        draw_sheet(pictures, [f"{ranked[0].name} {ranked[0].probability:.0%}" for _, ranked in rows], sheet)
        click.echo(f"wrote {sheet}")
    if passed_over:
        click.echo(
            f"{len(passed_over):,} passed over: {'; '.join(passed_over[:3])}{' ...' if len(passed_over) > 3 else ''}", err=True
        )


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
            inside = sorted(Path(each) for each in glob.glob(text, recursive=True) if not Path(each).is_dir())  # noqa: PTH207
        else:
            found.append((path, True))
            continue
        if not inside:
            raise ValueError(f"there is no image in {text} ({' '.join(ENDINGS)})")
        found += [(each, False) for each in inside]
    return found


def _open(paths: Sequence[tuple[Path, bool]], passed_over: list[str]) -> "Iterator[tuple[Path, Image]]":
    from resnetlib.data import read_image

    for path, named in paths:
        try:
            yield path, read_image(path)
        except ValueError as error:
            if named:
                raise
            passed_over.append(str(error))


def _to_csv(rows: "Sequence[tuple[Path, list[Guess]]]") -> str:
    """Write a line for each image: its path, and classes and probabilities, the most probable first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    count = len(rows[0][1])
    writer.writerow(["image", *(f"{what}_{i}" for i in range(1, count + 1) for what in ("class", "probability"))])
    for path, ranked in rows:
        writer.writerow([path, *(value for guess in ranked for value in (guess.name, f"{guess.probability:.6f}"))])
    return text.getvalue()


def _to_json(rows: "Sequence[tuple[Path, list[Guess]]]") -> str:
    """Write a list with an object for each image."""
    listed = [
        {
            "image": str(path),
            "guesses": [{"class": guess.name, "label": guess.label, "probability": guess.probability} for guess in ranked],
        }
        for path, ranked in rows
    ]
    return json.dumps(listed, indent=1) + "\n"


_WRITERS = {".csv": _to_csv, ".json": _to_json}
