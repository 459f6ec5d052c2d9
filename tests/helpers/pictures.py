"""Folders of small pictures, for tests."""

from pathlib import Path

import numpy as np
from PIL import Image

COLORS = {"red": 0, "green": 1, "blue": 2}


def draw(path: Path, color: int, *, seed: int = 0, side: int = 32) -> Path:
    """Write a picture in which one color is the brightest."""
    draws = np.random.default_rng(seed)
    pixels = draws.integers(0, 150, (side, side, 3), dtype=np.uint8)
    pixels[:, :, color] += 90
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def fill(root: Path, each: int, *, first: int = 0, classes: tuple[str, ...] = ("red", "green", "blue")) -> Path:
    """Make a folder for each class, with so many pictures."""
    for name in classes:
        for i in range(each):
            draw(root / name / f"{i}.png", COLORS[name], seed=1000 * COLORS[name] + first + i)
    return root
