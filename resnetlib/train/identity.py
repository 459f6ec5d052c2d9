"""Which training a folder belongs to, and where and with what it was made."""

import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from resnetlib.modules import Backbone
from resnetlib.train.feed import Feed
from resnetlib.train.recipe import Recipe
from resnetlib.weights.files import write_atomically

Identity = dict[str, Any]

_SAME = ("network", "recipe", "seed", "images", "classes")
"""What cannot be different where a training goes on."""


def identify(net: Backbone, feed: Feed, recipe: Recipe, seed: int, processes: int, dtype: torch.dtype, device: str) -> Identity:
    """Describe a training.

    Args:
        net: the network.
        feed: its images.
        recipe: how.
        seed: of its draws.
        processes: how many train it together.
        dtype: of the convolutions.
        device: where.

    Returns:
        Plain data.
    """
    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {
        "network": json.loads(net.spec.to_json()),
        "recipe": json.loads(recipe.to_json()),
        "seed": seed,
        "images": len(feed),
        "classes": list(feed.classes),
        "precision": str(dtype).removeprefix("torch."),
        "processes": processes,
        "hardware": gpu or f"{_cpu()}, {torch.get_num_threads()} threads",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "command": sys.argv,
    }


def claim(path: Path, identity: Identity) -> None:
    """Write down whose a folder is, or make sure that it is this training's.

    Args:
        path: of the file in the folder.
        identity: of the training.

    Raises:
        ValueError: if the folder is another training's.
    """
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(identity, indent=2) + "\n").encode())
        return
    try:
        there = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}. Delete {path.parent} to begin anew.") from error
    for key in _SAME:
        if there.get(key) != identity[key]:
            what = _difference(key, there.get(key), identity[key])
            raise ValueError(f"{path.parent} holds another training, whose {what}: give another folder")


def _difference(key: str, there: Any, here: Any) -> str:
    """Say what differs, as shortly as possible."""
    if isinstance(there, dict) and isinstance(here, dict):
        key, there, here = next((k, there.get(k), here.get(k)) for k in {**there, **here} if there.get(k) != here.get(k))
    return f"{key} is {there}, not {here}"


def _cpu() -> str:
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch has it since 2.11
    return str(capabilities.get("cpu_name") or platform.processor() or platform.machine())
