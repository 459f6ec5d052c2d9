"""Checkpoints of a training, and run.json, which identifies the training in a folder."""

import hashlib
import io
import json
import os
import platform
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import torch

from resnetlib import __version__
from resnetlib.config import PretrainedConfig
from resnetlib.disk import open_file, read_file, write_atomically
from resnetlib.errors import ExistingFileError, InputError
from resnetlib.images import processor_name
from resnetlib.modules import Backbone
from resnetlib.train.data import Loader
from resnetlib.train.recipe import Recipe
from resnetlib.train.trainer import Trainer
from resnetlib.weights.find import CONFIG, WEIGHTS_NAMES

_NAME = re.compile(r"(\d{9})-([0-9a-f]{16})\.pt")


class Checkpoints:
    """A folder with the newest checkpoints of a training, each named by its iteration and a hash."""

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep

    def save(self, iteration: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint, and delete older ones."""
        content = io.BytesIO()
        torch.save(state, content)
        buffer = content.getbuffer()  # getvalue would copy it
        digest = hashlib.sha256(buffer).hexdigest()
        path = self.folder / f"{iteration:09d}-{digest[:16]}.pt"
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer)
        for other in self.folder.glob(f"{iteration:09d}-*.pt"):
            if other != path:
                other.unlink(missing_ok=True)
        for old in self.newest_first()[self.keep :]:
            old.unlink(missing_ok=True)
        return path

    def load(self) -> tuple[dict[str, Any] | None, list[str]]:
        """Load the newest undamaged checkpoint onto the CPU, if there is any, and rename damaged ones to `*.damaged`.

        Returns the state, and a message for each damaged checkpoint.
        """
        messages: list[str] = []
        damaged = sorted(path.name for path in self.folder.glob("*.damaged"))
        for path in self.newest_first():
            with open_file(path) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                if digest.startswith(path.stem.partition("-")[2]):
                    file.seek(0)
                    return _load_state(file, path), messages
            messages.append(f"{path} is damaged: the hash of its {path.stat().st_size:,} bytes begins with {digest[:16]}")
            path.rename(path.with_suffix(".damaged"))
        if messages or damaged:
            found = messages or [f"{', '.join(damaged)} are damaged"]
            raise InputError("\n".join([*found, f"No checkpoint in {self.folder} is intact: delete the folder to start again."]))
        return None, []

    def clean(self) -> None:
        """Delete files that a killed process did not finish writing."""
        for path in self.folder.glob(".*.pt.*"):
            path.unlink(missing_ok=True)

    def newest_first(self) -> list[Path]:
        """Return the checkpoints, newest first."""
        return sorted((path for path in self.folder.glob("*.pt") if _NAME.fullmatch(path.name)), reverse=True)


def _load_state(file: BinaryIO, path: Path) -> dict[str, Any]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling can raise anything
        raise InputError(f"{path} is not a checkpoint, or holds more than tensors and plain data (nothing was executed)") from error
    if not isinstance(state, dict):
        raise InputError(f"{path} is not a checkpoint: it holds a {type(state).__name__}")
    return state


def identify(net: Backbone, data: Loader, recipe: Recipe, seed: int, start: str) -> dict[str, Any]:
    """Return the JSON values that must stay the same when a training continues."""
    config = net.pretrained_cfg
    random = config == PretrainedConfig(name=config.name, tag="", spec=config.spec)
    weights = "" if random else config.full_name
    return {
        "network": json.loads(net.spec.to_json()),
        "recipe": json.loads(recipe.to_json()),
        "seed": seed,
        "images": len(data),
        "classes": list(data.classes),
        "digest": data.digest,
        "weights": f"{weights} ({config.origin})" if config.origin else weights,
        "start": start,
        "license": config.license,
        "preprocess": json.loads(json.dumps(asdict(data.preprocess))),
    }


def check_folder(path: Path, identity: dict[str, Any], *, finished: bool) -> None:
    """Raise ValueError if run.json is another training's, and FileExistsError if the folder holds another network.

    `identity` may be a part of the training's. `finished` says that the network in the folder is this training's.
    """
    if os.path.lexists(path):
        run = read_run(path)
        for key, mine in identity.items():
            theirs = run.get(key)
            if theirs != mine:
                if isinstance(theirs, dict) and isinstance(mine, dict):
                    key = next(each for each in {**theirs, **mine} if theirs.get(each) != mine.get(each))
                    theirs, mine = theirs.get(key), mine.get(key)
                what = "the images differ" if key == "digest" else f"{key} was {theirs!r} in that training, but is {mine!r} now"
                raise InputError(f"{path.parent} holds another training: {what}; give another folder")
        return
    foreign = [] if finished else [name for name in (CONFIG, *WEIGHTS_NAMES, "README.md") if (path.parent / name).exists()]
    if foreign:
        raise ExistingFileError(f"{path.parent} holds {', '.join(foreign)}, which would be overwritten: give another folder")


def begin_session(path: Path, trainer: Trainer) -> None:
    """Add a session to run.json: the hardware and software on which the training continues, and which images are readable."""
    processes = trainer.processes
    if processes.device.type == "cuda":
        hardware = torch.cuda.get_device_name(processes.device)
    else:
        hardware = f"{processor_name()}, {torch.get_num_threads()} threads"
    session = {
        "from": trainer.iteration,
        "precision": str(trainer.dtype).removeprefix("torch."),
        "compiled": trainer.compiled,
        "processes": processes.world_size,
        "hardware": hardware,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "resnetlib": __version__},
        "command": [os.path.basename(sys.argv[0]), *sys.argv[1:]],  # noqa: PTH119 - it may be a flag, such as -c
    }
    run = read_run(path)
    write_run(path, {**run, "sessions": [*run["sessions"], session], "checked": trainer.data.checked})


def read_run(path: Path) -> dict[str, Any]:
    """Read run.json; raise ValueError if it is damaged."""
    try:
        run = json.loads(read_file(path, 2**26))
        if not isinstance(run, dict) or not isinstance(run.get("sessions"), list):
            raise InputError("it must be an object with a list of sessions")
    except (ValueError, RecursionError) as error:
        how = f"Delete it to continue from the checkpoints, or {path.parent} to start again."
        raise InputError(f"{path} cannot be read: {error}. {how}") from error
    return run


def write_run(path: Path, run: dict[str, Any]) -> None:
    """Write run.json."""
    write_atomically(path, (json.dumps(run, indent=2) + "\n").encode())
