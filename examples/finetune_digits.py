"""Fine-tune on real images of something new, from a folder to an exported model, and keep what the commands print.

    pip install scikit-learn "resnetlib[onnx]"
    python examples/finetune_digits.py --work digits --out docs/results/finetune

The images are scans of handwritten digits by 43 people, of 8 x 8 pixels, from scikit-learn's package; nothing is downloaded. The
pretrained network has learned ten kinds of animals and vehicles, and no digit. A few images of each digit go to WORK/photos, the
others to WORK/test. Writes OUT.txt, the commands with their output; OUT.json, the errors; OUT.png, the curves.
"""

import argparse
import io
import json
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from outputs import output_path, with_ending, write_json
from PIL import Image
from sklearn.datasets import load_digits

from resnetlib.analysis.style import FIRST, SECOND, new_figure
from resnetlib.cli import main as resnetlib

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
COMMANDS = (
    "finetune cifar_resnet20.resnetlib_c10 --data photos --out digits --set augmentation=none --set lr=0.05 --workers 0",
    "evaluate digits --data test --workers 0",
    "predict digits test/seven --top 2 --workers 0",
    "export digits --out digits.int8.onnx --int8 --data photos",
    "evaluate digits.int8.onnx --data test",
    "finetune cifar_resnet20 --from-scratch --data photos --out scratch --set augmentation=none --set lr=0.1 --workers 0",
    "evaluate scratch --data test --workers 0",
)


def write_folders(work: Path, each: int, test: int) -> None:
    """Write the first images of each digit to WORK/photos, and the next ones to WORK/test."""
    digits = load_digits()
    for label, name in enumerate(NAMES):
        for i, pixels in enumerate(digits.images[digits.target == label][: each + test]):
            path = work / ("photos" if i < each else "test") / name / f"{i:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 255 / 16).round().astype("uint8")).save(path)


def run(command: str, work: Path, options: list[str]) -> str:
    """Run a command of the library in this process, and return it with its output."""
    words = [*command.split(), *(options if command.startswith("finetune") else [])]
    with chdir(work), redirect_stdout(io.StringIO()) as out:
        resnetlib(words, standalone_mode=False)
    lines = out.getvalue().splitlines()
    shown = lines if len(lines) <= 10 else [*lines[:8], f"... and {len(lines) - 8} more lines"]
    return "\n".join([f"$ resnetlib {' '.join(words)}", *shown]) + "\n"


def collect(work: Path) -> dict[str, Any]:
    results = {}
    for way, folder in {"fine-tuned": "digits", "from scratch": "scratch"}.items():
        log = [*map(json.loads, (work / folder / "log.jsonl").read_text().splitlines())]
        curves = {key: [record[key] for record in log] for key in ("epoch", "train_error", "val_error")}
        result = json.loads((work / folder / "result.json").read_text())
        results[way] = {key: result[key] for key in ("train_error", "val_error", "iterations")} | {"log": curves}
    return {"images": {part: len(list((work / part).rglob("*.png"))) for part in ("photos", "test")}, "results": results}


def draw(work: Path, results: dict[str, Any], path: Path) -> None:
    figure, (left, right) = new_figure(2)
    rows = [[np.pad(np.asarray(Image.open(path)), 1) for path in sorted((work / "photos" / name).iterdir())[:3]] for name in NAMES]
    left.imshow(np.hstack([np.vstack([np.hstack(row) for row in half]) for half in (rows[:5], rows[5:])]), cmap="gray")
    left.set_title("three of the images of each class")
    left.axis("off")
    for (way, result), color in zip(results.items(), (FIRST, SECOND), strict=True):
        log = result["log"]
        right.plot(log["epoch"], log["val_error"], color=color, linewidth=2, label=f"{way}, validation images")
        right.plot(log["epoch"], log["train_error"], color=color, linewidth=0.8, label=f"{way}, training images")
    right.set(xlabel="epoch", xticks=range(0, 21, 5), ylabel="error (%)", ylim=(0, 100))
    right.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--work", type=Path, default=Path("digits"), help="new folder for images and networks")
    cli.add_argument("--out", type=output_path, default="docs/results/finetune", help="files to write, without their endings")
    cli.add_argument("--each", type=int, default=20, help="images of each class to train and to choose by")
    cli.add_argument("--test", type=int, default=1000, help="the most test images of each class")
    args, options = cli.parse_known_args()  # other options go to `resnetlib finetune`
    args.work.mkdir(parents=True)  # it must be new, or training images could be among the test images
    write_folders(args.work, args.each, args.test)
    said = "\n".join(run(command, args.work, options) for command in COMMANDS)
    with_ending(args.out, ".txt").write_text(said)
    write_json(with_ending(args.out, ".json"), data := collect(args.work))
    draw(args.work, data["results"], with_ending(args.out, ".png"))
    print(said)


if __name__ == "__main__":
    main()
