"""Which training a folder belongs to, and where and with what it was made."""

import hashlib
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from resnetlib import __version__
from resnetlib.disk import read_file, write_atomically
from resnetlib.distributed import Processes
from resnetlib.modules import Backbone
from resnetlib.train.feed import Feed
from resnetlib.train.recipe import Recipe
from resnetlib.weights.find import CONFIG, WEIGHTS_NAMES

Identity = dict[str, Any]

_LARGEST = 2**26
"""Bytes of a file about a training that are read."""


def identify(net: Backbone, feed: Feed, recipe: Recipe, seed: int, start: str = "") -> Identity:
    """Say which training it is: what cannot be different where it goes on.

    Args:
        net: the network, with the pretrained config of the weights that it begins with.
        feed: its images.
        recipe: how.
        seed: of its draws.
        start: tells the weights that it begins with from others.

    Returns:
        Plain data, as JSON has it.
    """
    return {
        "network": json.loads(net.spec.to_json()),
        "recipe": json.loads(recipe.to_json()),
        "seed": seed,
        "images": len(feed),
        "classes": list(feed.classes),
        "digest": feed.digest,
        "weights": _weights(net),
        "start": start,
        "license": net.pretrained_cfg.license if net.pretrained_cfg is not None else "",
        "preprocess": json.loads(json.dumps(asdict(feed.preprocess))),
    }


def digest_of(identity: Identity) -> str:
    """Hash which training it is, for what belongs to it.

    Args:
        identity: of the training.

    Returns:
        The SHA-256, in hexadecimal.
    """
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _weights(net: Backbone) -> str:
    """Say which weights a network begins with."""
    if net.pretrained_cfg is None:
        return ""
    name, origin = net.pretrained_cfg.full_name, net.pretrained_cfg.origin
    return f"{name} ({origin})" if origin else str(name)


def session(processes: Processes, dtype: torch.dtype, compiled: bool) -> dict[str, Any]:
    """Say where and with what it is done this time.

    Args:
        processes: the processes.
        dtype: of the convolutions.
        compiled: whether the network is.

    Returns:
        Plain data.
    """
    gpu = torch.cuda.get_device_name(processes.device) if processes.device.type == "cuda" else None
    return {
        "precision": str(dtype).removeprefix("torch."),
        "compiled": compiled,
        "processes": processes.world_size,
        "hardware": gpu or f"{_cpu()}, {torch.get_num_threads()} threads",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "resnetlib": __version__},
        "command": [os.path.basename(sys.argv[0]), *sys.argv[1:]],  # noqa: PTH119 - it may be a flag, such as -c
    }


def claim(path: Path, identity: Identity, *, finished: bool = False) -> None:
    """Write down whose a folder is, or make sure that it is this training's.

    Args:
        path: of the file in the folder.
        identity: of the training.
        finished: whether the folder holds this very training's result, so that the network in it is its own.

    Raises:
        ValueError: if the folder is another training's.
        FileExistsError: if it holds another network.
    """
    if os.path.lexists(path):
        there = read_run(path)
        for key, here in identity.items():
            if there.get(key) != here:
                what = _difference(key, there.get(key), here)
                raise ValueError(f"{path.parent} holds another training, whose {what}: give another folder")
        return
    foreign = [] if finished else [name for name in (CONFIG, *WEIGHTS_NAMES, "README.md") if (path.parent / name).exists()]
    if foreign:
        raise FileExistsError(f"{path.parent} holds {', '.join(foreign)}, which would be overwritten: give another folder")
    _write(path, {**identity, "sessions": []})


def begin_session(path: Path, iteration: int, about: dict[str, Any]) -> None:
    """Write down that a training goes on.

    Args:
        path: of the file that `claim` wrote.
        iteration: how many are done.
        about: what `session` returned.
    """
    run = read_run(path)
    run["sessions"].append({"from": iteration, **about})
    _write(path, run)


def read_run(path: Path) -> dict[str, Any]:
    """Read what `claim` and `begin_session` wrote.

    Args:
        path: of the file.

    Returns:
        Its contents.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        run = json.loads(read_file(path, _LARGEST))
        if not isinstance(run, dict) or not isinstance(run.get("sessions"), list):
            raise ValueError("it must be an object with a list of sessions")
    except (ValueError, RecursionError) as error:
        how = f"Delete it to go on from the checkpoints, or {path.parent} to begin anew."
        raise ValueError(f"{path} cannot be read: {error}. {how}") from error
    return run


def _write(path: Path, run: dict[str, Any]) -> None:
    write_atomically(path, (json.dumps(run, indent=2) + "\n").encode())


def _difference(key: str, there: Any, here: Any) -> str:
    """Say what differs, as shortly as possible."""
    if isinstance(there, dict) and isinstance(here, dict):
        key, there, here = next((k, there.get(k), here.get(k)) for k in {**there, **here} if there.get(k) != here.get(k))
    if key == "digest":
        return "images are others"
    return f"{key} is {there}, not {here}"


def _cpu() -> str:
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch has it since 2.11
    return str(capabilities.get("cpu_name") or platform.processor() or platform.machine())
